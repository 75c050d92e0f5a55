"""An upstream that remembers the bytes it was sent: TGI's two paths, SageMaker's around the same, and OpenAI's
completions at any path, as Azure has them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from tests.edge.aws_frames import event, exception

STREAM = "text/event-stream"
BINARY = "application/vnd.amazon.eventstream"


@dataclass
class Recorded:
    """One request. `raw` is the body as it came."""

    method: str
    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return orjson.loads(self.raw)


@dataclass
class TextServer:
    """What it says: `pieces` of text, each a token; `details` at the end, `status` and `error` in place of it all."""

    port: int = 0
    requests: list[Recorded] = field(default_factory=list)
    pieces: Sequence[str] = ("Hello", " there", "!")
    details: Any = field(
        default_factory=lambda: {"finish_reason": "eos_token", "generated_tokens": 3, "input_length": 9}
    )
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200
    error: bytes = b""
    broken: str = ""
    """SageMaker's exception in the middle of a stream."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append(Recorded(request.method, request.raw_path, headers, raw))
        if self.status != 200:
            return web.Response(status=self.status, body=self.error, headers=self.headers)
        path = request.raw_path
        if path.endswith("/generate_stream"):
            return await self._stream(request, STREAM, self.events())
        if path.endswith("/invocations-response-stream"):
            return await self._stream(request, BINARY, self.frames())
        if path.partition("?")[0].endswith("/completions"):
            return await self._openai(request, path, orjson.loads(raw))
        return web.json_response(self.whole(as_list=path.endswith("/invocations")), headers=self.headers)

    def whole(self, *, as_list: bool) -> Any:
        told = {"generated_text": "".join(self.pieces), "details": self.details}
        return [told] if as_list else told

    def events(self) -> list[bytes]:
        """TGI's, one a piece; the last is its special token, and has the whole text."""
        text = "".join(self.pieces)
        made: list[Any] = [{"index": i, "token": {"id": i, "text": piece, "logprob": -0.1, "special": False},
                 "generated_text": None, "details": None} for i, piece in enumerate(self.pieces)]  # fmt: skip
        end = {"id": 2, "text": "</s>", "logprob": -0.1, "special": True}
        made.append({"index": len(made), "token": end, "generated_text": text, "details": self.details})
        return [b"data:" + orjson.dumps(each) + b"\n\n" for each in made]

    def frames(self) -> list[bytes]:
        """The same as payload parts, cut where it hurts."""
        stream = b"".join(self.events())
        if self.broken:
            return [event(stream[:150]), exception(self.broken, b'{"message":"it broke"}')]
        return [event(stream[at : at + 37]) for at in range(0, len(stream), 37)]

    async def _openai(self, request: web.Request, path: str, body: Any) -> web.StreamResponse:
        """OpenAI's two kinds of completion, whole or as one event."""
        text = "".join(self.pieces)
        chat = "/chat/" in path
        said: dict[str, Any] = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        if body.get("stream"):
            said = {"delta": {"role": "assistant", "content": text}} if chat else {"text": text}
        told = {"id": "cmpl-1", "model": "up", "choices": [{"index": 0, "finish_reason": "stop", **said}],
                "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}}  # fmt: skip
        if not body.get("stream"):
            return web.json_response(told)
        return await self._stream(request, STREAM, [b"data: " + orjson.dumps(told) + b"\n\n", b"data: [DONE]\n\n"])

    async def _stream(self, request: web.Request, kind: str, pieces: list[bytes]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": kind, **self.headers})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece[:5])
            await response.write(piece[5:])
        await response.write_eof()
        return response


@asynccontextmanager
async def text_server(**more: Any) -> AsyncIterator[TextServer]:
    """A running one."""
    server = TextServer(**more)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()
