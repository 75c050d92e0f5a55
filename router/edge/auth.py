"""Who is asking: a bearer key becomes a principal, from memory alone. Fails closed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from fnmatch import fnmatchcase
from typing import NamedTuple

from router.core.errors import RouterError
from router.core.types import Principal

ANYONE = Principal("anonymous")
"""Who everyone is where no keys are configured; the router then listens on loopback only."""


_KNOWN_KEPT = 10_000
"""A bound: one key can be written with more or less space around it."""


class Key(NamedTuple):
    """One configured key. `expires`: the last day on which it is valid (UTC)."""

    secret: str
    principal: Principal
    expires: date | None = None


class Authenticator:
    """Keys are looked up by their SHA-256, so the time taken tells nothing about how much of a guess was right."""

    def __init__(self, keys: Iterable[Key], today: Callable[[], date]) -> None:
        """`today` is the date in UTC. Raises as `replace` does."""
        self._today = today
        self.replace(keys)

    def replace(self, keys: Iterable[Key]) -> None:
        """These and no others are valid from now on.

        Raises ValueError on an empty secret, and changes nothing: it would match a client that sends nothing.
        """
        found: dict[bytes, Key] = {}
        for key in keys:
            if not key.secret:
                raise ValueError(f"the key of {key.principal.name} is empty")
            found[_digest(key.secret)] = key
        self._keys = found
        self._known: dict[str, Key] = {}

    def authenticate(self, headers: Mapping[str, str]) -> Principal:
        """The principal of the request's bearer key. Raises RouterError 401."""
        if not self._keys:
            return ANYONE
        header = headers.get("Authorization") or _from_azure(headers)
        key = self._known.get(header) or self._find(header)
        if key.expires is not None and self._today() > key.expires:
            raise _refused(f"this API key expired on {key.expires}")
        return key.principal

    def _find(self, header: str) -> Key:
        """The key that a field value presents; what was right once is known by its text from then on."""
        scheme, _, secret = header.partition(" ")
        secret = secret.strip()
        if not secret or scheme.lower() != "bearer":
            raise _refused("no API key: send it as `Authorization: Bearer KEY`")
        key = self._keys.get(_digest(secret))
        if key is None:
            raise _refused("this API key is not known here")
        if len(self._known) < _KNOWN_KEPT:
            self._known[header] = key
        return key


def _from_azure(headers: Mapping[str, str]) -> str:
    """Azure's clients send their key in a field of its own."""
    key = headers.get("api-key")
    return f"Bearer {key}" if key else ""


def may_use(principal: Principal, model: str) -> bool:
    """Whether one of the principal's patterns allows `model`; no patterns allow everything."""
    patterns = principal.models
    return not patterns or model in patterns or any(fnmatchcase(model, pattern) for pattern in patterns)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def _refused(message: str) -> RouterError:
    return RouterError(401, "invalid_api_key", message, type="authentication_error")
