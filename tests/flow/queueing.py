"""A router whose upstream answers when it is told to: who is served when, and who waits meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson

from router.core.catalogue import Catalogue
from router.core.errors import RouterError, UpstreamFailure
from router.core.events import Event, Finished, Queued
from router.core.types import Deployment, Estimate, Kind, ModelGroup, QueuePolicy, RouteRequest, RoutingPolicy
from router.dialects.base import InferenceRequest, WireRequest
from router.dialects.openai import OpenAIDialect
from router.flow.runner import Runner
from router.state.memory import MemoryStore
from router.upstream.base import Timing, UpstreamResponse
from tests.flow.recording import RecordingExchange

QUEUE = QueuePolicy(max_waiting=10, timeout=10.0)


def deployment(id: str, model_name: str = "gpt", **fields: Any) -> Deployment:
    return Deployment(id, model_name, "openai", id, f"http://{id}.test/v1", **fields)


def group(*deployments: Deployment, name: str = "gpt", queue: QueuePolicy | None = QUEUE, **policy: Any) -> ModelGroup:
    return ModelGroup(name, (deployments,), RoutingPolicy(queue=queue, **policy))


def reply(prompt: int = 10, completion: int = 10, headers: Mapping[bytes, bytes] | None = None) -> UpstreamResponse:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion}
    return UpstreamResponse(200, headers or {}, orjson.dumps({"choices": [], "usage": usage}), None)


@dataclass(eq=False)
class Asked:
    """One request. `asked` and `ended` in clock seconds; `sent` where it got as far as an upstream."""

    name: str
    route: RouteRequest
    asked: float
    record: Finished = field(default_factory=lambda: Finished("req-1", "chat"))
    task: asyncio.Task[None] | None = None
    sent: asyncio.Future[UpstreamResponse] | None = None
    error: RouterError | None = None
    gone: bool = False
    ended: float | None = None

    @property
    def state(self) -> str:
        if self.ended is None:
            return "waits" if self.sent is None else "runs"
        if self.gone:
            return "gone"
        return "served" if self.error is None else f"{self.error.status} {self.error.code}"

    def answered(self, response: UpstreamResponse | UpstreamFailure | None = None) -> None:
        """Upstream has come to its end with this request."""
        assert self.sent is not None
        if isinstance(response, UpstreamFailure):
            self.sent.set_exception(response)
        else:
            self.sent.set_result(response or reply())


class Router:
    """`order` are the names of requests as they were sent, `all` every request ever asked."""

    def __init__(self, *groups: ModelGroup) -> None:
        self.loop = asyncio.get_running_loop()
        self.events: list[Event] = []
        self.order: list[str] = []
        self.all: list[Asked] = []
        catalogue = Catalogue({each.name: each for each in groups})
        self.store = MemoryStore(self.loop.time, self.events.append)
        self.store.configure(catalogue)
        self.runner = Runner(
            {"openai": OpenAIDialect()}, {"http": self}, self.store, self.events.append, self.loop.time,
            Random(1), 15.0,
        )  # fmt: skip
        self._by_task: dict[asyncio.Task[Any], Asked] = {}

    def reload(self, *groups: ModelGroup) -> None:
        """Another catalogue, in force from now on."""
        self.store.configure(Catalogue({each.name: each for each in groups}))

    async def send(self, wire: WireRequest, timing: Timing) -> UpstreamResponse:
        """An upstream that waits for `Asked.answered`."""
        task = asyncio.current_task()
        assert task is not None
        asked = self._by_task[task]
        self.order.append(asked.name)
        asked.sent = self.loop.create_future()
        return await asked.sent

    async def close(self) -> None:
        """Nothing is kept."""

    def ask(
        self, name: str, key: str = "k", *, priority: int = 0, tokens: int = 10, timeout: float = 100.0,
        model: str = "gpt", kind: Kind = "chat",
    ) -> Asked:  # fmt: skip
        now = self.loop.time()
        route = RouteRequest(kind, model, False, Estimate(tokens, 0), now + timeout, key=key, priority=priority)
        asked = Asked(name, route, now)
        asked.task = self.loop.create_task(self._serve(asked))
        self._by_task[asked.task] = asked
        self.all.append(asked)
        return asked

    async def ask_all(self, *names: str, **more: Any) -> list[Asked]:
        """One after the other, with time for each to be sent or to wait."""
        found = []
        for name in names:
            found.append(self.ask(name, **more))
            await settled()
        return found

    async def answer_next(self) -> str:
        """End what runs longest; the name of it."""
        asked = next(each for each in self.all if each.state == "runs")
        asked.answered()
        await settled()
        return asked.name

    def waiting(self) -> list[str]:
        return [each.name for each in self.all if each.state == "waits"]

    def running(self) -> list[str]:
        return [each.name for each in self.all if each.state == "runs"]

    def left(self) -> list[str]:
        """How requests left the queue."""
        return [event.outcome for event in self.events if isinstance(event, Queued)]

    @property
    def in_flight(self) -> int:
        return sum({id(each.load): each.load.in_flight for each in self.store.candidates()}.values())

    async def _serve(self, asked: Asked) -> None:
        route = asked.route
        body = {"model": route.model, "messages": [{"role": "user", "content": "hi"}]}
        request = InferenceRequest("chat", "req-1", orjson.dumps(body), body, False)
        found = self.runner.catalogue.resolve(route.model)
        assert found is not None
        try:
            await self.runner.run(request, route, found, RecordingExchange(), asked.record)
        except RouterError as error:
            asked.error = error
        except asyncio.CancelledError:
            asked.gone = True
            raise
        finally:
            asked.ended = self.loop.time()


async def settled() -> None:
    """Let everything run that needs no time to pass."""
    for _ in range(12):
        await asyncio.sleep(0)


async def turns_until(condition: Callable[[], bool]) -> None:
    """Turn by turn of the event loop, until it is so."""
    for _ in range(100):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never was so")
