"""Where Redis is, as one URL says it.

    redis://[user:password@]host[:6379][/db]                 one server; `rediss://` over TLS
    redis+sentinel://[user:password@]host[:26379][,…]/service[/db]
    redis+cluster://[user:password@]host[:6379][,…]

`rediss+sentinel://` and `rediss+cluster://` are the same over TLS. Query parameters: `ca_file`, `cert_file` and
`key_file` name PEM files for TLS; `sentinel_user` and `sentinel_password` are for the sentinels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

Form = Literal["single", "sentinel", "cluster"]

_FORMS: dict[str, tuple[Form, bool]] = {
    "redis": ("single", False),
    "rediss": ("single", True),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
SCHEMES = tuple(f"{scheme}://" for scheme in _FORMS)
_PORT = 6379
_SENTINEL_PORT = 26379
_TLS_OPTIONS = frozenset({"ca_file", "cert_file", "key_file"})
_SENTINEL_OPTIONS = frozenset({"sentinel_user", "sentinel_password"})


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """`hosts` are (name, port); `service` is the sentinels' name for the master; `options` the query's."""

    form: Form
    hosts: tuple[tuple[str, int], ...]
    tls: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    db: int = 0
    service: str = ""
    options: dict[str, str] = field(default_factory=dict, repr=False)


def parse_redis_url(url: str) -> RedisAddress:
    """Raises ValueError, without quoting the URL, which holds a password."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _FORMS:
        raise ValueError(f"must begin with one of {', '.join(SCHEMES)}")
    form, tls = _FORMS[scheme]
    try:
        parts = urlsplit(f"//{rest}")
    except ValueError:
        raise ValueError("is no URL") from None
    login, _, places = parts.netloc.rpartition("@")
    user, has_password, password = login.partition(":")
    hosts = tuple(_host(place, _SENTINEL_PORT if form == "sentinel" else _PORT) for place in places.split(","))
    if form == "single" and len(hosts) > 1:
        raise ValueError("names several hosts, which redis+sentinel:// and redis+cluster:// are for")
    service, db = _path(form, parts)
    return RedisAddress(
        form,
        hosts,
        tls,
        unquote(user) or None,
        unquote(password) if has_password else None,
        db,
        service,
        _options(form, tls, parts.query),
    )


def _host(place: str, port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{place}")
        host, given = parts.hostname, parts.port
    except ValueError:
        raise ValueError("names a port that is none") from None
    if not host:
        raise ValueError("names no host")
    return host, port if given is None else given


def _path(form: Form, parts: SplitResult) -> tuple[str, int]:
    """(service, database)."""
    steps = [unquote(step) for step in parts.path.split("/") if step]
    service = ""
    if form == "sentinel":
        if not steps:
            raise ValueError("needs the service's name as its path: redis+sentinel://host/SERVICE")
        service = steps.pop(0)
    if form == "cluster" and steps:
        raise ValueError("has a path, but a cluster has one database only")
    if len(steps) > 1 or not all(step.isdecimal() for step in steps):
        raise ValueError("has a path that is no database's number")
    return service, int(steps[0]) if steps else 0


def _options(form: Form, tls: bool, query: str) -> dict[str, str]:
    known = (_TLS_OPTIONS if tls else frozenset()) | (_SENTINEL_OPTIONS if form == "sentinel" else frozenset())
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in known:
            told = f"known are {', '.join(sorted(known))}" if known else "there are none for this scheme"
            raise ValueError(f"has the parameter {name[:40]}, which is not known here; {told}")
    return options
