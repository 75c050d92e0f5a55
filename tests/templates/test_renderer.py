"""The operator's templates, on real worker processes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio

from router.core.errors import FailureKind, UpstreamFailure
from router.core.prompts import JinjaTemplate
from router.templates.renderer import TemplateRenderer

HELLO = "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"
VARIABLES: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Hi"}], "bos_token": "<s>", "eos_token": "</s>",
    "add_generation_prompt": True,
}  # fmt: skip
FOR_EVER = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


@pytest_asyncio.fixture
async def renderer() -> AsyncIterator[TemplateRenderer]:
    made = TemplateRenderer(seconds=10.0, patience=30.0)
    yield made
    await made.close()


def named(text: str) -> JinjaTemplate:
    return JinjaTemplate("mine", text)


async def error_of(renderer: TemplateRenderer, text: str, variables: dict[str, Any] | None = None) -> tuple[int, Any]:
    """Status and error of a rendering that fails."""
    with pytest.raises(UpstreamFailure) as caught:
        await renderer.render(named(text), variables or VARIABLES)
    assert caught.value.kind is FailureKind.UNSUPPORTED
    assert caught.value.status is not None
    return caught.value.status, orjson.loads(caught.value.body)["error"]


@pytest.mark.both_loops
async def test_a_template_is_rendered_as_models_expect_it(renderer: TemplateRenderer) -> None:
    assert await renderer.render(named(HELLO), VARIABLES) == "<s><user>Hi"
    trimmed = "{% if add_generation_prompt %}\n    {% set x = 1 %}\n<a>{% endif %}\n"
    assert await renderer.render(named(trimmed), VARIABLES) == "<a>"
    looped = "{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}"
    assert await renderer.render(named(looped), VARIABLES) == "01"
    assert await renderer.render(named("{{ messages | tojson }}"), VARIABLES) == '[{"role": "user", "content": "Hi"}]'
    assert (await renderer.render(named("{{ strftime_now('%Y') }}"), VARIABLES)).isdigit()
    assert await renderer.render(named("{{ missing }}é<&"), VARIABLES) == "é<&"


async def test_what_a_template_refuses_is_a_400_that_names_the_messages(renderer: TemplateRenderer) -> None:
    status, error = await error_of(renderer, "{{ raise_exception('roles must alternate') }}")
    assert (status, error["param"]) == (400, "messages")
    assert error["message"] == "the chat template mine refuses this: roles must alternate"


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update(role='x') }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ (1).__class__ }}",
        "{{ raise_exception.__globals__ }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{{ range(10 ** 9) | list }}",
        "{{ messages[0].nothing.more }}",
        "{{ 1 / 0 }}",
        "{% for %}",
    ],
)
async def test_what_the_sandbox_does_not_allow_fails_and_the_worker_goes_on(
    renderer: TemplateRenderer, text: str
) -> None:
    made = (await asyncio.gather(renderer.render(named(text), VARIABLES), return_exceptions=True))[0]
    if isinstance(made, UpstreamFailure):
        assert (made.status, orjson.loads(made.body)["error"]["code"]) == (500, "template_failed")
    else:
        assert made == ""  # an undefined value, and nothing of what was asked for
    workers = renderer.processes
    assert await renderer.render(named(HELLO), VARIABLES) == "<s><user>Hi"
    assert renderer.processes == workers


async def test_a_template_cannot_take_all_memory_nor_make_endless_text(renderer: TemplateRenderer) -> None:
    status, error = await error_of(renderer, "{{ 'x' * (1024 ** 3) }}")
    assert (status, error["code"]) == (500, "template_failed")
    assert await renderer.render(named(HELLO), VARIABLES) == "<s><user>Hi"
    _, error = await error_of(renderer, "{{ 'x' * (17 * 1024 ** 2) }}")
    assert "made more than" in error["message"]


async def test_a_template_that_takes_too_long_is_ended_and_the_loop_never_stops_for_it() -> None:
    renderer = TemplateRenderer(seconds=0.3, patience=30.0)
    try:
        await renderer.render(named(HELLO), VARIABLES)
        (worker,) = renderer.processes
        longest, last, done = 0.0, time.perf_counter(), asyncio.Event()

        async def beat() -> None:
            nonlocal longest, last
            while not done.is_set():
                await asyncio.sleep(0.001)
                longest, last = max(longest, time.perf_counter() - last), time.perf_counter()

        beating = asyncio.create_task(beat())
        began = time.perf_counter()
        status, error = await error_of(renderer, FOR_EVER)
        took = time.perf_counter() - began
        done.set()
        await beating
        assert (status, error["message"]) == (500, "the chat template mine took longer than 0.3 s")
        assert 0.3 <= took < 10.0
        assert longest < 0.25  # a rendering on the loop would have held it for all of the 0.3 s
        assert renderer.processes == []
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)
        assert await renderer.render(named(HELLO), VARIABLES) == "<s><user>Hi"
    finally:
        await renderer.close()


async def test_a_client_that_goes_takes_its_rendering_with_it(renderer: TemplateRenderer) -> None:
    await renderer.render(named(HELLO), VARIABLES)
    rendering = asyncio.create_task(renderer.render(named(FOR_EVER), VARIABLES))
    await asyncio.sleep(0.05)
    rendering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rendering
    assert renderer.processes == []


async def test_a_worker_that_dies_is_replaced(renderer: TemplateRenderer) -> None:
    await renderer.render(named(HELLO), VARIABLES)
    os.kill(renderer.processes[0], 9)
    status, _ = await error_of(renderer, HELLO)
    assert status == 500
    assert await renderer.render(named(HELLO), VARIABLES) == "<s><user>Hi"


async def test_workers_are_few_and_used_again_and_who_finds_none_free_waits() -> None:
    renderer = TemplateRenderer(seconds=10.0, patience=30.0, workers=2)
    try:
        made = await asyncio.gather(*(renderer.render(named(HELLO + str(i)), VARIABLES) for i in range(20)))
        assert made == [f"<s><user>Hi{i}" for i in range(20)]
        assert len(renderer.processes) == 2
    finally:
        await renderer.close()
    assert renderer.processes == []


async def test_nobody_waits_for_ever_for_a_worker() -> None:
    renderer = TemplateRenderer(seconds=5.0, patience=0.2, workers=1)
    try:
        first = asyncio.create_task(renderer.render(named(FOR_EVER), VARIABLES))
        await asyncio.sleep(0)
        _, error = await error_of(renderer, HELLO)
        assert error["message"] == "the chat template mine had no worker within 0.2 s"
        with pytest.raises(UpstreamFailure):
            await first
    finally:
        await renderer.close()


async def test_workers_know_none_of_the_routers_secrets(
    renderer: TemplateRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    await renderer.render(named(HELLO), VARIABLES)
    with open(f"/proc/{renderer.processes[0]}/environ", "rb") as file:  # noqa: ASYNC230
        assert b"sk-secret" not in file.read()
