"""Whatever clients write, no series is added: labels come from the configuration and from closed sets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import orjson
import pytest

from router.dialects.mock.behaviour import Behaviour
from tests.edge.house import House, group, inside, open_house
from tests.edge.wire import CHAT
from tests.telemetry.scraping import samples

MANY = 100_000
BATCH = 500
KEYS = [{"name": "search", "key": "sk-client-secret", "team": "web"}]
ODD = ['"}', "\\", "{", "é", "%0a", "'; drop", "\u2028", "🦄", "le", "0" * 50]


def request(path: str, body: bytes, *fields: str) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
    return (head + "".join(f"{field}\r\n" for field in fields) + "\r\n").encode("utf-8") + body


def chat(model: str = "m") -> bytes:
    return orjson.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}]})


def models(number: int) -> bytes:
    return request(CHAT, chat(f"{ODD[number % len(ODD)]}{number}"), "authorization: Bearer sk-client-secret")


def wildcards(number: int) -> bytes:
    return request(CHAT, chat(f"open/{number}{ODD[number % len(ODD)]}"), "authorization: Bearer sk-client-secret")


def keys(number: int) -> bytes:
    return request(CHAT, chat(), f"authorization: Bearer sk-{number}")


def paths(number: int) -> bytes:
    return request(f"/v1/{number}/chat/completions", chat(), "authorization: Bearer sk-client-secret")


def headers(number: int) -> bytes:
    return request(
        CHAT, chat(), "authorization: Bearer sk-client-secret", f"x-request-id: id-{number}", f"x-{number}: {number}",
        f"x-router-tags: tag-{number}", f"x-router-affinity: {number}", f"user-agent: agent/{number}",
    )  # fmt: skip


async def send(router: House, requests: Iterator[bytes]) -> None:
    """All of them, pipelined over one connection, and every answer read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", router.port, limit=2**24)
    while batch := [one for _, one in zip(range(BATCH), requests, strict=False)]:
        writer.write(b"".join(batch))
        for _ in batch:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
    writer.close()
    await writer.wait_closed()


async def series(router: House) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    return set(samples((await router.ask("/metrics")).body.decode()))


async def flood(folder: Path, kinds: Sequence[Callable[[int], bytes]], many: int) -> None:
    behaviour = Behaviour(reply="ok")
    groups = group(inside("d", behaviour))
    wild = group(inside("w", behaviour, model_name="open/*", model="*"), name="open/*")
    async with open_house(folder / "log", groups, wildcards=[wild], keys=KEYS) as router:
        await send(router, (kind(number) for number in range(20) for kind in kinds))
        before = await series(router)
        await send(router, (kinds[number % len(kinds)](number) for number in range(20, many)))
        after = await series(router)
        assert after == before
        assert len(after) < 1000


KINDS = [models, wildcards, keys, paths, headers]


async def test_thousands_of_hostile_names_keys_paths_and_headers_add_no_series(tmp_path: Path) -> None:
    await flood(tmp_path, KINDS, MANY // 40)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
async def test_a_hundred_thousand_of_them_add_no_series(tmp_path: Path, kind: Callable[[int], bytes]) -> None:
    await flood(tmp_path, [kind], MANY // len(KINDS))
