"""Entra ID tokens, fetched and renewed in the background: a request only ever reads the one in memory.

Whoever signs in (azure-identity, or whatever stands in for it) blocks, and so runs in a thread of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from router.core.catalogue import Catalogue
from router.core.clock import Clock
from router.dialects.azure import EntraOptions, options_of

AHEAD = 300.0
"""Seconds before its end at which a token is renewed, or half of its life where that is shorter."""
RETRY, RETRY_MAX = 1.0, 60.0
"""Seconds between two tries while it fails: doubling, up to the longer."""
LATE = 30.0
"""Seconds after which a sign-in is given up."""


class AccessToken(Protocol):
    """`expires_on` in seconds since 1970."""

    @property
    def token(self) -> str: ...

    @property
    def expires_on(self) -> int: ...


SignIn = Callable[[], AccessToken]
"""Fetches a token. Blocks; raises whatever it likes."""


def sign_in(identity: EntraOptions) -> SignIn:
    """azure-identity's way. Raises ImportError without the extra `azure`."""
    from azure.identity import ClientSecretCredential, DefaultAzureCredential

    # An authority of one's own is not to be looked up at Microsoft's.
    own: dict[str, Any] = {"authority": identity.authority, "disable_instance_discovery": True}
    more = own if identity.authority else {}
    if identity.client_secret:
        application = ClientSecretCredential(identity.tenant_id, identity.client_id, identity.client_secret, **more)
        return lambda: application.get_token(identity.scope)
    options = {
        **more,
        "managed_identity_client_id": identity.client_id,
        "workload_identity_client_id": identity.client_id,
        "workload_identity_tenant_id": identity.tenant_id,
    }
    machine = DefaultAzureCredential(**{name: value for name, value in options.items() if value})
    return lambda: machine.get_token(identity.scope)


def identities(catalogue: Catalogue) -> list[EntraOptions]:
    """Whom to sign in with Entra ID."""
    groups = (*catalogue.groups.values(), *catalogue.wildcards)
    deployments = [deployment for group in groups for tier in group.tiers for deployment in tier]
    found = [options_of(deployment).entra for deployment in deployments if deployment.provider == "azure"]
    return [identity for identity in found if identity is not None]


class EntraTokens:
    """The tokens of some identities. `failed` hears of every sign-in that does not succeed."""

    def __init__(
        self,
        identities: Iterable[EntraOptions],
        failed: Callable[[Exception], None],
        sign_in: Callable[[EntraOptions], SignIn] = sign_in,
        wall_clock: Clock = time.time,
    ) -> None:
        """Raises ImportError where there are identities and nothing to sign in with."""
        self._sign_in = sign_in
        self._ways: Mapping[EntraOptions, SignIn] = {}
        self._ways = self.ways(identities)
        self._failed = failed
        self._wall_clock = wall_clock
        self._tokens: dict[EntraOptions, AccessToken] = {}
        self._tasks: dict[EntraOptions, asyncio.Task[None]] = {}
        self.failures = 0

    def start(self) -> None:
        """Begin to keep tokens."""
        self.follow(self._ways)

    def ways(self, identities: Iterable[EntraOptions]) -> Mapping[EntraOptions, SignIn]:
        """How to sign in with these. Changes nothing, and may take its time. Raises ImportError as `__init__` does."""
        return {identity: self._ways.get(identity) or self._sign_in(identity) for identity in dict.fromkeys(identities)}

    def follow(self, ways: Mapping[EntraOptions, SignIn]) -> None:
        """Keep the tokens of these from now on, and of no others."""
        loop = asyncio.get_running_loop()
        self._ways = ways
        for identity in self._tasks.keys() - ways.keys():
            self._tasks.pop(identity).cancel()
            self._tokens.pop(identity, None)
        for identity in ways.keys() - self._tasks.keys():
            self._tasks[identity] = loop.create_task(self._keep(identity, ways[identity]))

    async def stop(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def __call__(self, identity: EntraOptions) -> str | None:
        """The token in force; None where there is none."""
        token = self._tokens.get(identity)
        return None if token is None or token.expires_on <= self._wall_clock() else token.token

    def samples(self) -> Iterator[tuple[str, tuple[str, ...], float]]:
        """For the metrics; nothing where nobody signs in."""
        if self._ways:
            yield "router_entra_failures_total", (), float(self.failures)
            now = self._wall_clock()
            ends = [float(token.expires_on) for token in self._tokens.values()]
            known = len(ends) == len(self._ways)
            yield "router_entra_token_seconds", (), max(min(ends) - now, 0.0) if known else 0.0

    async def _keep(self, identity: EntraOptions, way: SignIn) -> None:
        pause = RETRY
        while True:
            try:
                async with asyncio.timeout(LATE):
                    token = await asyncio.to_thread(way)
            except Exception as error:
                self.failures += 1
                self._failed(error)
                await asyncio.sleep(pause)
                pause = min(pause * 2.0, RETRY_MAX)
                continue
            pause = RETRY
            self._tokens[identity] = token
            life = token.expires_on - self._wall_clock()
            await asyncio.sleep(max(life - AHEAD, life / 2.0, RETRY))
