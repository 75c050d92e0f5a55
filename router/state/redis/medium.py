"""The exchange through Redis: one scripted call for each trade, and a channel for what can not wait.

Every key has the namespace as its hash tag, so that a cluster keeps them together, and the layout's version.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable
from importlib.resources import files
from typing import Any, cast

import orjson
from redis import exceptions as errors
from redis.asyncio.cluster import RedisCluster

from router.state.exchange import LIFETIMES, TOTAL_TIMEOUT, Batch, Cooldown, Lifetimes, MediumError, Picture
from router.state.heeding import heed_cancel
from router.state.redis.client import FAILURES, Client, close
from router.state.redis.link import Dial, Link
from router.state.wire import batch_to_json, cooldown_of, picture_from_json, place_of

LAYOUT = "v2"
"""Replicas of different layouts do not see each other."""
QUIET = 5.0
"""Seconds without a message after which a subscription is asked whether it is still there."""

_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (errors.AuthenticationError, "auth"),
    (errors.NoPermissionError, "auth"),
    (errors.AuthorizationError, "auth"),
    (errors.ReadOnlyError, "read_only"),
    (errors.OutOfMemoryError, "out_of_memory"),
    (errors.BusyLoadingError, "loading"),
    (errors.ClusterDownError, "failing_over"),
    (errors.MasterDownError, "failing_over"),
    (errors.RedisClusterException, "failing_over"),
    (errors.TimeoutError, "timeout"),
    (TimeoutError, "timeout"),
    (errors.ConnectionError, "unreachable"),
    (OSError, "unreachable"),
)
_CODES = {
    "NOAUTH": "auth",
    "WRONGPASS": "auth",
    "NOPERM": "auth",
    "OOM": "out_of_memory",
    "MISCONF": "read_only",
    "READONLY": "read_only",
    "LOADING": "loading",
    "CLUSTERDOWN": "failing_over",
    "MASTERDOWN": "failing_over",
    "MOVED": "failing_over",
    "ASK": "failing_over",
    "TRYAGAIN": "failing_over",
}
"""What the server's errors begin with, for those that the client library has no kind for."""


def prefix_of(namespace: str) -> str:
    """What every key begins with."""
    return f"{{{namespace}}}:{LAYOUT}:"


class Script:
    """Sent by its hash; a server that does not know it is sent all of it, and knows it from then on."""

    def __init__(self, name: str) -> None:
        self.text = files(__package__).joinpath(name).read_text("utf-8")
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    async def call(self, client: Client, keys: list[str], *arguments: bytes | str | int) -> Any:
        try:
            return await cast(Any, client.evalsha(self.sha, len(keys), *keys, *arguments))
        except errors.NoScriptError:
            return await cast(Any, client.eval(self.text, len(keys), *keys, *arguments))


class RedisMedium:
    """`connect` makes a client, and `dial` the link that trades go over, for want of which they go over the client.
    Both are called anew after every failure, so that nothing of what is broken is left."""

    def __init__(
        self,
        connect: Callable[[], Client],
        namespace: str,
        lifetimes: Lifetimes = LIFETIMES,
        dial: Dial | None = None,
        total_timeout: float = TOTAL_TIMEOUT,
    ) -> None:
        """`total_timeout`: seconds for one trade, connecting included."""
        self._connect = connect
        self._dial = dial
        self._total_timeout = total_timeout
        self._client: Client | None = None
        self._link: Link | None = None
        self._prefix = prefix_of(namespace)
        self._trade = Script("trade.lua")
        self._cool = Script("cool.lua")
        self._leave = Script("leave.lua")
        self._keys = [
            self._prefix + name
            for name in (
                "replicas",
                "ages",
                "samples",
                "cooldowns",
                "trials",
                "recovered",
                "spent",
                "spent-at",
                "spent-until",
            )
        ]
        self._lifetimes = [b"%d" % round(each * 1000) for each in lifetimes]

    async def trade(self, batch: Batch) -> Picture:
        keys = [*self._keys, f"{self._prefix}applied:{batch.replica}"]
        arguments = (batch.replica.encode(), *batch_to_json(batch), *self._lifetimes)
        link = self._link
        try:
            if link is not None and not link.lost:
                answer = await self._ask(link, keys, arguments)
            else:
                async with asyncio.timeout(self._total_timeout):
                    answer = await self._begin(keys, arguments)
        except FAILURES as error:
            await self._hang_up()
            raise medium_error(error) from error
        except asyncio.CancelledError:
            await asyncio.shield(self._hang_up())
            raise
        try:
            return picture_from_json(answer)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise MediumError("error", f"the script's answer can not be read: {error}") from error

    async def publish(self, replica: str, cooldown: Cooldown) -> None:
        await self._call(
            self._cool,
            [self._prefix + "cooldowns"],
            replica,
            place_of(cooldown),
            round(cooldown.seconds * 1000),
            int(cooldown.refused),
            self._prefix + "cooled",
        )

    async def listen(self, replica: str) -> AsyncGenerator[Cooldown, None]:
        client = self._connect()
        try:
            if isinstance(client, RedisCluster):
                _ = await client.initialize()  # or it knows no node to subscribe at
            async with client.pubsub() as channel:
                await channel.subscribe(self._prefix + "cooled")
                asked = False
                while True:
                    heed_cancel()
                    message = await channel.get_message(timeout=QUIET)
                    if message is None:
                        if asked:
                            raise MediumError("timeout", "the subscription does not answer")
                        await channel.ping()
                        asked = True
                        continue
                    asked = False
                    if message["type"] == "message":
                        by, *told = orjson.loads(message["data"])
                        if by != replica:
                            yield cooldown_of(*told)
        except (*FAILURES, ValueError) as error:
            raise medium_error(error) from error
        finally:
            await close(client)

    async def leave(self, replica: str) -> None:
        await self._call(self._leave, [self._prefix + "replicas", self._prefix + "trials"], replica)

    async def close(self) -> None:
        await self._hang_up()

    async def _begin(self, keys: list[str], arguments: tuple[bytes, ...]) -> bytes:
        """The first trade over a new link."""
        client = self._client = self._client or self._connect()
        if self._dial is None:
            answer: bytes = await self._trade.call(client, keys, *arguments)
            return answer
        link = self._link = await self._dial(client, keys[0])
        return await self._ask(link, keys, arguments)

    async def _ask(self, link: Link, keys: list[str], arguments: tuple[bytes, ...]) -> bytes:
        script = self._trade
        told = (b"%d" % len(keys), *(key.encode() for key in keys), *arguments)
        try:
            return await link.ask(b"EVALSHA", script.sha.encode(), *told)
        except errors.ResponseError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
            return await link.ask(b"EVAL", script.text.encode(), *told)

    async def _hang_up(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()
        client, self._client = self._client, None
        if client is not None:
            await close(client)

    async def _call(self, script: Script, keys: list[str], *arguments: bytes | str | int) -> Any:
        """Raises MediumError. After a failure, and after being cancelled, the next call connects anew."""
        client = self._client = self._client or self._connect()
        try:
            return await script.call(client, keys, *arguments)
        except FAILURES as error:
            await self._drop(client)
            raise medium_error(error) from error
        except asyncio.CancelledError:
            await asyncio.shield(self._drop(client))
            raise

    async def _drop(self, client: Client) -> None:
        if self._client is client:
            self._client = None
        await close(client)


def medium_error(error: Exception) -> MediumError:
    """The first line of what the server or the system said: no password is ever in it."""
    text = str(error).partition("\n")[0]
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return MediumError(reason, text)
    code = "NOAUTH" if "unauthenticated" in text else text.partition(" ")[0]
    return MediumError(_CODES.get(code, "error"), text)
