"""Counts by the real vocabularies, and what the bounds and estimates are worth against them."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest

from router.core.encodings import CL100K, O200K, encoding_of
from router.core.tokens import measure
from router.upstream import exact
from router.upstream.exact import ExactCounter, can_count
from router.upstream.exact_child import Unknown, count, length

HOUSE = Path(__file__).parents[2]


def texts() -> Iterator[tuple[str, str]]:
    """200 of five kinds, the same every time."""
    rng = Random(7)

    def pieces(paths: list[Path]) -> Iterator[str]:
        whole = "\n".join(path.read_text() for path in sorted(paths))
        for _ in range(40):
            start = rng.randrange(len(whole) - 6000)
            yield whole[start : start + rng.randrange(50, 6000)]

    for text in pieces(list((HOUSE / "router").rglob("*.py"))):
        yield "code", text
    for text in pieces(list((HOUSE / "docs").rglob("*.md"))):
        yield "prose", text
    for _ in range(40):
        yield "cjk", "".join(chr(rng.randrange(0x4E00, 0x9FA5)) for _ in range(rng.randrange(20, 2000)))
        yield "emoji", "".join(chr(rng.randrange(0x1F300, 0x1F6FF)) for _ in range(rng.randrange(20, 800)))
        yield "base64", b64encode(rng.randbytes(rng.randrange(20, 4000))).decode()


def chat(text: str, **more: Any) -> tuple[dict[str, Any], bytes]:
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": text}], **more}
    return body, orjson.dumps(body)


@pytest.mark.parametrize("encoding", [O200K, CL100K])
def test_the_bound_is_never_below_the_count_and_the_estimate_is_near_it(encoding: str) -> None:
    off: dict[str, list[float]] = {}
    seen = 0
    for kind, text in texts():
        body, raw = chat(text)
        expected, size = measure(raw, body, None, None)
        exactly = count(body, "chat", encoding, "gpt-4o")
        assert size is not None
        assert size >= exactly, (kind, text[:50])
        ratio = expected.prompt_tokens / exactly
        off.setdefault(kind, []).append(max(ratio, 1.0 / ratio))
        seen += 1
    assert seen == 200
    assert statistics.median(off["code"]) <= 1.25
    assert statistics.median(off["prose"]) <= 1.25


def test_what_looks_like_a_special_token_is_text() -> None:
    assert length("<|endoftext|>", O200K) > 1


def test_messages_names_and_tools_are_counted_by_the_published_rules() -> None:
    """The example of OpenAI's cookbook, and the numbers that it gives."""
    system = "You are a helpful, pattern-following assistant that translates corporate jargon into plain English."
    messages = [
        {"role": "system", "content": system},
        {"role": "system", "name": "example_user", "content": "New synergies will help drive top-line growth."},
        {"role": "system", "name": "example_assistant", "content": "Things working well together will"
         " increase revenue."},
        {"role": "system", "name": "example_user", "content": "Let's circle back when we have more bandwidth to"
         " touch base on opportunities for increased leverage."},
        {"role": "system", "name": "example_assistant", "content": "Let's talk later when we're less busy about how"
         " to do better."},
        {"role": "user", "content": "This late pivot means we don't have time to boil the ocean for the client"
         " deliverable."},
    ]  # fmt: skip
    body = {"messages": messages}
    assert count(body, "chat", CL100K, "gpt-4-0613") == 129
    assert count(body, "chat", O200K, "gpt-4o") == 124
    weather = {
        "name": "get_current_weather",
        "description": "Get the current weather in a given location",
        "parameters": {"type": "object", "properties": {
            "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
            "unit": {"type": "string", "description": "The unit of temperature to return",
                     "enum": ["celsius", "fahrenheit"]},
        }, "required": ["location"]},
    }  # fmt: skip
    asked = [
        {"role": "system", "content": "You are a helpful assistant that can answer to questions about the weather."},
        {"role": "user", "content": "What's the weather like in San Francisco?"},
    ]
    tooled = {"messages": asked, "tools": [{"type": "function", "function": weather}]}
    assert count(tooled, "chat", CL100K, "gpt-4") == 105
    assert count(tooled, "chat", O200K, "gpt-4o") == 101


def test_what_has_no_rule_is_not_counted() -> None:
    sound = {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "x"}}]}]}
    far = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}]}
    for body in (sound, far):
        with pytest.raises(Unknown):
            count(body, "chat", O200K, "gpt-4o")


def test_several_texts_have_the_window_each_to_itself() -> None:
    assert count({"input": ["a b", "a b c d"]}, "embedding", CL100K, "") == 4
    assert count({"prompt": [1, 2, 3]}, "completion", CL100K, "") == 3


@pytest.mark.parametrize(
    ("model", "encoding"),
    [("gpt-4o-2024-11-20", O200K), ("gpt-4.1-mini", O200K), ("o3-mini", O200K), ("gpt-4-0613", CL100K),
     ("ft:gpt-4o:x", O200K), ("gpt-35-turbo", CL100K), ("text-embedding-3-small", CL100K),
     ("claude-3", ""), ("my-gpt-4o", "")],
)  # fmt: skip
def test_only_openais_models_have_a_vocabulary(model: str, encoding: str) -> None:
    assert encoding_of("openai", model) == encoding
    assert encoding_of("bedrock", model) == ""


@pytest.fixture
async def counter() -> AsyncIterator[ExactCounter]:
    made = ExactCounter()
    yield made
    await made.stop()


async def test_the_process_counts_one_prompt_after_the_other(counter: ExactCounter) -> None:
    assert can_count()
    body, raw = chat("hello world " * 500)
    one, two = await asyncio.gather(
        counter.count(raw, "chat", O200K, "gpt-4o"), counter.count(b"[]", "chat", O200K, "gpt-4o")
    )
    assert (one, two) == (count(body, "chat", O200K, "gpt-4o"), None)
    assert await counter.count(raw, "chat", "no-such", "") is None
    assert await counter.count(raw, "chat", O200K, "gpt-4o") == one


async def test_a_megabyte_never_blocks_the_loop_for_more_than_five_milliseconds(counter: ExactCounter) -> None:
    """Of this thread's own processor time: what others do with the machine is not the loop's fault."""
    _, raw = chat("the quick brown fox jumps over the lazy dog. " * 23_500)
    assert len(raw) > 1_000_000
    assert await counter.count(b'{"prompt":"a"}', "completion", O200K, "") == 1
    counting = asyncio.create_task(counter.count(raw, "chat", O200K, "gpt-4o"))
    longest = 0.0
    while not counting.done():
        began = time.thread_time()
        await asyncio.sleep(0)
        longest = max(longest, time.thread_time() - began)
    assert (counting.result() or 0) > 200_000
    assert longest < 0.005


async def test_a_process_that_does_not_answer_is_given_up_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "LATE", 0.2)
    for script in ("import time; time.sleep(60)", "raise SystemExit(1)", "print('nonsense', flush=True)"):
        counter = ExactCounter((sys.executable, "-c", script))
        assert await counter.count(b"{}", "chat", O200K, "") is None
        assert counter.given_up == 1
        assert await counter.count(b"{}", "chat", O200K, "") is None
        assert counter.given_up == 1, "it is not asked again at once"
        await counter.stop()
