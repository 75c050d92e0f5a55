"""A story: who serves what and how, and who asks when. `play` lets it happen in virtual time."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson

from router.core.catalogue import Catalogue
from router.core.errors import RouterError
from router.core.events import Event, Finished
from router.core.hedging import FEWEST
from router.core.override import Override
from router.core.types import Deployment, Estimate, RouteRequest
from router.dialects.base import InferenceRequest, WireRequest
from router.dialects.openai import OpenAIDialect
from router.flow.runner import Runner
from router.state.books import Exact
from router.state.strict import StrictLimits
from tests.flow.behaviours import script_for
from tests.flow.interruption import interrupted
from tests.flow.recording import CLIENT, Client, RecordingExchange, WatchedStore
from tests.flow.scripted import Script, ScriptedUpstream, Sent
from tests.virtual_time import VirtualTimeLoop

START = 1000.0
KEEPALIVE = 2.0
HEDGED_AFTER = 0.4
"""Seconds to first token that groups which hedge have seen all along."""


@dataclass(frozen=True)
class Asks:
    """One request. Times in seconds from the start; the client goes away `steps` turns of the loop after `leaves`.

    `rest`: how long it reads nothing after each read. `hangs_up_at` is the number of the write it hangs up on, and
    `interrupted_at` (from 0) that of the await; `waking`: only when that await is over, but nobody has noticed yet.
    """

    model: str = "alpha"
    stream: bool = True
    at: float = 0.0
    timeout: float = 30.0
    tokens: int = 10
    num_retries: int | None = None
    fallbacks: tuple[str, ...] | None = None
    leaves: float | None = None
    steps: int = 0
    hangs_up_at: int | None = None
    interrupted_at: int | None = None
    waking: bool = False
    rest: float = 0.0
    override: Override | None = None


@dataclass(frozen=True)
class Story:
    """`behaviours`: what each host does, request by request, beginning anew at the end. `exact` keeps strict limits."""

    catalogue: Catalogue
    behaviours: Mapping[str, tuple[str, ...]]
    asks: tuple[Asks, ...]
    seed: int = 0
    early: float = 0.0
    exact: Exact | None = None


@dataclass
class Told:
    """How one request ended."""

    asks: Asks
    client: Client
    record: Finished
    sent: list[Sent]
    error: RouterError | None = None
    cancelled: bool = False
    finished: float = 0.0
    open_at_end: int = 0

    @property
    def exchange(self) -> RecordingExchange:
        return self.client.exchange


@dataclass
class Played:
    """Everything that was seen."""

    story: Story
    told: list[Told]
    events: list[Event]
    store: WatchedStore
    upstream: ScriptedUpstream
    in_flight: list[int]
    accidents: list[dict[str, Any]]

    @property
    def deployments(self) -> list[Deployment]:
        return deployments_of(self.story.catalogue)


def deployments_of(catalogue: Catalogue) -> list[Deployment]:
    groups = [*catalogue.groups.values(), *catalogue.wildcards]
    return [deployment for group in groups for tier in group.tiers for deployment in tier]


def play(story: Story) -> Played:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(_play(story))


async def _play(story: Story) -> Played:
    loop = asyncio.get_running_loop()
    accidents: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: accidents.append(context))
    events: list[Event] = []
    store = WatchedStore(loop.time, events.append)
    store.configure(story.catalogue)
    for hedges in store.view().hedges.values():
        for _ in range(FEWEST):
            hedges.add(HEDGED_AFTER)
            hedges.stream(1.0)
    for candidate in store.candidates():
        if candidate.deployment.model_name in store.view().hedges:
            candidate.load.succeeded_at = loop.time()
    store.strict = None if story.exact is None else StrictLimits(story.exact, lambda: False, loop.time)
    upstream = ScriptedUpstream(Behaviours(story), story.early)
    runner = Runner(
        {"openai": OpenAIDialect()},
        {"http": upstream},
        store,
        events.append,
        loop.time,
        Random(story.seed),
        KEEPALIVE,
    )
    told = await asyncio.gather(*(_ask(asks, runner, store, upstream) for asks in story.asks))
    in_flight = [candidate.load.in_flight for candidate in store.candidates()]
    await asyncio.sleep(1000.0)  # streams that nobody waits for end by their limits
    return Played(story, told, events, store, upstream, in_flight, accidents)


async def _ask(asks: Asks, runner: Runner, store: WatchedStore, upstream: ScriptedUpstream) -> Told:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(asks.at)
    task: asyncio.Task[None]
    calls = 0

    def heard(letter: str) -> None:
        nonlocal calls
        calls += 1
        if calls == asks.hangs_up_at:
            loop.call_soon(task.cancel)

    exchange = RecordingExchange(asks.rest, heard)
    group = runner.catalogue.resolve(asks.model)
    assert group is not None
    body = {"model": asks.model, "messages": [{"role": "user", "content": "tell"}], "stream": asks.stream}
    request = InferenceRequest("chat", "req-1", orjson.dumps(body), body, asks.stream, override=asks.override)
    route = RouteRequest(
        "chat",
        asks.model,
        asks.stream,
        Estimate(asks.tokens, 10),
        loop.time() + min(asks.timeout, group.policy.timeout),
        asks.num_retries,
        asks.fallbacks,
        hurried=asks.timeout < group.policy.timeout,
    )
    record = Finished(request.id, "chat")
    client = Client(route, exchange)
    serving = runner.run(request, route, group, exchange, record)
    if asks.interrupted_at is not None:
        serving = interrupted(serving, asks.interrupted_at, waking=asks.waking)
    CLIENT.set(client)
    task = loop.create_task(serving)
    leaving = loop.create_task(_leave(task, asks)) if asks.leaves is not None else None
    told = Told(asks, client, record, [])
    try:
        await task
    except RouterError as error:
        told.error = error
    except asyncio.CancelledError:
        told.cancelled = True
    told.finished = loop.time()
    told.sent = [sent for sent in upstream.sent if sent.client is client]
    told.open_at_end = sum(sent.open for sent in told.sent)
    if leaving is not None:
        leaving.cancel()
    return told


async def _leave(task: asyncio.Task[None], asks: Asks) -> None:
    await asyncio.sleep(asks.leaves or 0.0)
    for _ in range(asks.steps):
        await asyncio.sleep(0)
    task.cancel()


class Behaviours:
    """What the host of a wire request does next."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._asked: Counter[str] = Counter()

    def __call__(self, wire: WireRequest) -> Script:
        host = wire.origin.host
        steps = self._story.behaviours.get(host, ("ok",))
        behaviour = steps[self._asked[host] % len(steps)]
        self._asked[host] += 1
        return script_for(behaviour, streaming=bool(body_of(wire)["stream"]))


def body_of(wire: WireRequest) -> Any:
    """The body as upstream parses it."""
    assert isinstance(wire.body, bytes)
    return orjson.loads(wire.body)


def header(wire: WireRequest, name: str) -> list[str]:
    """Every value of a field in the head as it went out."""
    return re.findall(rf"(?im)^{name}:\s*(.*?)\r$", wire.head.decode("latin-1"))


def content(body: bytes) -> str:
    """The text in a client's event stream, as far as its events are whole, or in its whole reply."""
    if body.startswith(b"{"):
        return "".join(choice["message"]["content"] for choice in orjson.loads(body)["choices"])
    text = ""
    for event in body.replace(b"\r\n", b"\n").split(b"\n\n")[:-1]:
        if event.startswith(b'data: {"id"'):
            for choice in orjson.loads(event[6:])["choices"]:
                text += choice["delta"].get("content") or ""
    return text
