from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest
from aiohttp import web

from router.dialects.azure import EntraOptions
from router.upstream import entra
from router.upstream.entra import EntraTokens, SignIn
from tests.core.making import FakeClock

IDENTITY = EntraOptions("tenant", "client", "secret")


class Token(NamedTuple):
    token: str
    expires_on: int


@asynccontextmanager
async def kept(way: SignIn, clock: FakeClock | None = None) -> AsyncIterator[tuple[EntraTokens, list[Exception]]]:
    failed: list[Exception] = []
    tokens = EntraTokens([IDENTITY, IDENTITY], failed.append, lambda identity: way, clock or FakeClock())
    tokens.start()
    try:
        yield tokens, failed
    finally:
        await tokens.stop()


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise TimeoutError


async def test_a_token_is_there_soon_after_the_start_and_until_it_ends() -> None:
    clock = FakeClock(1000.0)
    async with kept(lambda: Token("t-1", 4600), clock) as (tokens, _):
        assert tokens(IDENTITY) is None
        await until(lambda: tokens(IDENTITY) == "t-1")
        clock.now = 4599.0
        assert tokens(IDENTITY) == "t-1"
        clock.now = 4600.0
        assert tokens(IDENTITY) is None
        assert tokens(EntraOptions("another")) is None


async def test_signing_in_blocks_a_thread_and_not_the_loop() -> None:
    release = threading.Event()

    def slow() -> Token:
        assert release.wait(10)
        return Token("t-1", 5000)

    async with kept(slow) as (tokens, _):
        for _ in range(10):
            await asyncio.sleep(0.005)
        assert tokens(IDENTITY) is None
        release.set()
        await until(lambda: tokens(IDENTITY) == "t-1")


async def test_a_token_is_renewed_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entra, "RETRY", 0.01)
    names = iter(range(1, 1000))
    async with kept(lambda: Token(f"t-{next(names)}", 1000 + 0), FakeClock(1000.0)) as (_, failed):
        await until(lambda: next(names) > 3)
        assert not failed


async def test_a_failure_is_told_counted_and_made_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entra, "RETRY", 0.01)
    answers: Iterator[Exception | Token] = iter([PermissionError("no"), OSError("down"), Token("t-1", 5000)])

    def way() -> Token:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with kept(way) as (tokens, failed):
        await until(lambda: tokens(IDENTITY) == "t-1")
        assert [str(error) for error in failed] == ["no", "down"]
        figures = {name: value for name, _, value in tokens.samples()}
        assert figures == {"router_entra_failures_total": 2.0, "router_entra_token_seconds": 4000.0}


async def test_nobody_to_sign_in_costs_nothing() -> None:
    tokens = EntraTokens([], lambda error: None)
    tokens.start()
    assert list(tokens.samples()) == []
    await tokens.stop()


async def test_azures_own_library_signs_in_at_an_authority_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """azure-identity over its transport, against a token endpoint on this machine."""
    asked: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("/.well-known/openid-configuration"):
            root = f"https://login.test/{request.match_info['tenant']}"
            return web.json_response({
                "token_endpoint": f"{root}/oauth2/v2.0/token", "authorization_endpoint": f"{root}/authorize",
                "issuer": f"{root}/v2.0",
            })  # fmt: skip
        asked.append({name: str(value) for name, value in (await request.post()).items()})
        return web.json_response({"access_token": "from-entra", "expires_in": 3600, "token_type": "Bearer"})

    app = web.Application()
    app.router.add_route("*", "/{tenant}/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    import requests

    original = requests.Session.send

    def local(session: requests.Session, prepared: requests.PreparedRequest, **options: object) -> requests.Response:
        assert prepared.url is not None
        prepared.url = prepared.url.replace("https://login.test", f"http://127.0.0.1:{port}")
        return original(session, prepared, **options)

    monkeypatch.setattr(requests.Session, "send", local)
    try:
        identity = EntraOptions("7e57", "app", "hush", "https://login.test", "api://x/.default")
        token = await asyncio.to_thread(entra.sign_in(identity))
    finally:
        await runner.cleanup()
    assert token.token == "from-entra"
    (form,) = asked
    assert (form["client_id"], form["client_secret"]) == ("app", "hush")
    assert "api://x/.default" in form["scope"]
