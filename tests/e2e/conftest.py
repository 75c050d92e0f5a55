"""A router in front of a mock upstream, both real processes, shared by the tests of one file."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import openai
import pytest
import pytest_asyncio

from tests.e2e.processes import Mock, Router, deployment, mock_process, router_process, settings

KEY = "sk-e2e-everything"
NARROW_KEY = "sk-e2e-narrow"
MODELS = ("gpt-4o", "refused", "odd", "conflict", "limited", "limited-for-now", "down", "slow", "broken", "cut", "auth")
"""All on one mock upstream, but each a backend of its own: the trouble of one test is not the next one's."""


@pytest.fixture(scope="module")
def shared_mock() -> Iterator[Mock]:
    with mock_process("--api-key", "sk-upstream") as mock:
        yield mock


@pytest.fixture
def mock(shared_mock: Mock) -> Mock:
    """The upstream, well-behaved at the start of every test."""
    shared_mock.reset()
    return shared_mock


@pytest.fixture(scope="module")
def router(shared_mock: Mock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    keys = [{"name": "everything", "key": KEY}, {"name": "narrow", "key": NARROW_KEY, "models": ["gpt-*", "odd"]}]
    deployments = [deployment(shared_mock, name, api_key="sk-upstream", id=f"{name}-1") for name in MODELS]
    models = {"gpt-4o": {"aliases": ["gpt-latest"]}}
    config = settings(*deployments, auth={"keys": keys}, models=models)
    with router_process(config, tmp_path_factory.mktemp("router")) as router:
        yield router


@pytest.fixture
def many_files() -> Iterator[Callable[[int], None]]:
    """`many_files(streams)`: room for three sockets each, here and in the processes that are started."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def room_for(streams: int) -> None:
        wanted = 3 * streams + 1000
        if hard != resource.RLIM_INFINITY and hard < wanted:
            pytest.skip(f"only {hard} open files are allowed here, and {wanted} are needed")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))

    yield room_for
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


Figure = Callable[[str], None]
_FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """What was measured: shown at the end of the run."""
    return request.config.stash.setdefault(_FIGURES, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash.get(_FIGURES, [])
    if figures:
        terminalreporter.section("figures")
        for text in figures:
            terminalreporter.line(text)


Ask = Callable[[Callable[[Any], Any]], Awaitable[Any]]
"""`await ask(lambda client: client.models.list())`: a stream comes back as the list of its chunks."""


@pytest_asyncio.fixture(params=["sync", "async"])
async def ask(request: pytest.FixtureRequest, router: Router) -> AsyncIterator[Ask]:
    """The official client, the one kind and the other."""
    options: dict[str, Any] = {"base_url": router.url, "api_key": KEY, "max_retries": 0, "timeout": 20}
    if request.param == "sync":
        with openai.OpenAI(**options) as client:

            def settle(make: Callable[[Any], Any]) -> Any:
                result = make(client)
                return list(result) if isinstance(result, openai.Stream) else result

            async def in_a_thread(make: Callable[[Any], Any]) -> Any:
                return await asyncio.to_thread(settle, make)

            yield in_a_thread
    else:
        async with openai.AsyncOpenAI(**options) as async_client:

            async def directly(make: Callable[[Any], Any]) -> Any:
                result = await make(async_client)
                return [chunk async for chunk in result] if isinstance(result, openai.AsyncStream) else result

            yield directly
