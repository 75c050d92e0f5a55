"""One line a request; never a prompt, never a secret."""

from __future__ import annotations

import pytest

from router.core.types import Prices
from router.dialects.mock.behaviour import Behaviour
from router.mock.server import MockServer
from tests.edge.house import Open, group, inside, remote
from tests.edge.wire import CHAT, HI, STREAM

KEYS = [{"name": "search", "key": "sk-client-secret"}]
AUTH = "authorization: Bearer sk-client-secret\r\n"


@pytest.mark.parametrize("body", [HI, STREAM], ids=["whole", "stream"])
async def test_a_served_request_is_one_line_with_all_its_facts(house: Open, body: dict[str, object]) -> None:
    async with house(group(inside("east", prices=Prices(1.0, 1.0))), aliases={"mm": "m"}, keys=KEYS) as router:
        await router.ask(CHAT, body | {"model": "mm"}, headers=AUTH + "x-request-id: r-1\r\n")
        (line,) = await router.log_lines()
    times = {name: line.pop(name) for name in ("duration", "first_token", "upstream", "time")}
    assert line == {
        "event": "request", "request_id": "r-1", "kind": "chat", "key": "search", "team": None, "model": "m",
        "served_by": "m", "deployment": "east", "provider": "mock", "stream": body is STREAM, "status": 200,
        "outcome": "ok", "error": None, "attempts": 1, "prompt_tokens": 2, "completion_tokens": 7, "cost": 9.0,
        "cached_tokens": 0, "reasoning_tokens": 0, "audio_tokens": 0, "usage_estimated": False,
    }  # fmt: skip
    assert 0 <= times["upstream"] <= times["duration"] < 5
    assert (times["first_token"] is not None) == (body is STREAM)


async def test_refusals_are_lines_too_and_pages_are_not(house: Open) -> None:
    async with house(keys=KEYS) as router:
        await router.ask(CHAT, HI)
        await router.ask(CHAT, b"{", headers=AUTH)
        await router.ask(CHAT, HI | {"model": "no-such-model"}, headers=AUTH)
        await router.ask("/health")
        await router.ask("/nowhere")
        lines = await router.log_lines()
    assert [(line["status"], line["outcome"], line["error"], line["key"], line["model"]) for line in lines] == [
        (401, "error", "invalid_api_key", "", "other"),
        (400, "error", "invalid_request_error", "search", "other"),
        (404, "error", "model_not_found", "search", "other"),
    ]


async def test_no_secret_and_no_prompt_is_in_any_line_or_answer(house: Open, capfd: pytest.CaptureFixture[str]) -> None:
    answers = b""
    async with MockServer(api_key="sk-something-else") as mock:
        async with house(group(remote("d", mock), num_retries=0), keys=KEYS) as router:
            for behaviour in (Behaviour(), Behaviour(script=("503",)), Behaviour(script=("401",))):
                mock.behaviour = behaviour
                for body in (HI, STREAM, b"{sk-client-secret", HI | {"model": "nope"}, HI | {"api_key": "sk-own"}):
                    answers += (await router.ask(CHAT, body, headers=AUTH)).raw
            answers += (await router.ask("/metrics")).body
            lines = await router.log_lines()
            assert len(lines) == 15
        written = router.log.read_text() + capfd.readouterr().err + answers.decode("latin-1")
    for secret in ("sk-client-secret", "sk-upstream-secret", "sk-own", "say hi", str(mock.port)):
        assert secret not in written


@pytest.mark.interpreted
async def test_what_an_unforeseen_error_says_is_for_the_log_alone(
    house: Open, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async def fall(*_: object) -> None:
        raise RuntimeError("an inner detail")

    monkeypatch.setattr("router.flow.runner.Runner.run", fall)
    async with house() as router:
        seen = await router.ask(CHAT, HI, headers="x-request-id: r-1\r\n")
        assert (seen.status, seen.error()["code"], seen.headers["x-should-retry"]) == (500, "internal_error", "false")
        assert b"inner detail" not in seen.raw
        assert await router.in_flight() == 0
        (line,) = await router.log_lines()
    assert (line["status"], line["outcome"], line["error"]) == (500, "error", "internal_error")
    told = capfd.readouterr().err
    assert "an inner detail" in told
    assert '"request_id": "r-1"' in told
