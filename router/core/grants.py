"""What a client's key allows its requests to set of a deployment, and which hosts they may name."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import NamedTuple

OVERRIDABLE = frozenset(
    {"api_base", "api_key", "api_version", "model_list", "headers", "extra_headers", "input_cost_per_token",
     "output_cost_per_token"}
)  # fmt: skip
USUAL_PORTS = {"http": 80, "https": 443}


class HostRule(NamedTuple):
    """One host, by its name or its address as `ipaddress` writes it. `port` None: the scheme's own."""

    host: str
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Grants:
    """`allow` are names of OVERRIDABLE."""

    allow: frozenset[str]
    hosts: frozenset[HostRule] = frozenset()

    def covers(self, scheme: str, host: str, port: int) -> bool:
        """Whether a request may be sent to `host`, as the client has written it."""
        place = canonical(host)
        return HostRule(place, port) in self.hosts or (
            port == USUAL_PORTS.get(scheme) and HostRule(place) in self.hosts
        )

    def names(self, address: str, port: int) -> bool:
        """Whether an entry is that very address, which is what private ones need."""
        return HostRule(canonical(address), port) in self.hosts or HostRule(canonical(address)) in self.hosts


def parse_host(text: str) -> HostRule:
    """`host`, `host:port`, `10.0.0.5:8000`, `[::1]:8000`. Raises ValueError for anything else."""
    host, port = text, None
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        ipaddress.IPv6Address(host)
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("is no host")
        port = _port(rest[1:]) if rest else None
    elif text.count(":") == 1:
        host, _, digits = text.partition(":")
        port = _port(digits)
    elif ":" in text:
        ipaddress.IPv6Address(text)
    if not host or not host.isascii() or any(character in host for character in "/@\\?#% \t*"):
        raise ValueError("is no host")
    return HostRule(canonical(host), port)


def canonical(host: str) -> str:
    """One spelling: names in lower case, addresses as `ipaddress` writes them. Odd spellings of an address (`0x7f.1`)
    stay what they are: names that no entry has."""
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return host.lower()


def _port(digits: str) -> int:
    if not (digits.isascii() and digits.isdecimal() and 0 < int(digits) < 65536):
        raise ValueError("has no valid port")
    return int(digits)
