"""Reading a request's body: whole, within a size and a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import orjson
from aiohttp import StreamReader
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError

from router.core.errors import RouterError
from router.dialects.json_edit import prepend

RequestBody = bytes | Callable[[], Awaitable[bytes]]
"""A request's body, or how to get it: raises RouterError."""

BROKEN_BODY = (RequestPayloadError, HttpProcessingError)
"""What reading a body raises that is cut short or not encoded as its head says."""


async def read_body(payload: StreamReader, headers: Mapping[str, str], limit: int, timeout: float) -> bytes:
    """The whole body, decompressed. `limit` in bytes, `timeout` in seconds.

    Raises RouterError 413 for a larger body (at once where its length is declared), 408 for a slow one, 400 for a
    broken one.
    """
    try:
        if payload.is_eof():
            body = payload.read_nowait(-1)
            if len(body) > limit:
                raise _too_large(limit)
            return body
        if int(headers.get("Content-Length") or 0) > limit:
            raise _too_large(limit)
        async with asyncio.timeout(timeout):
            return await _collect(payload, limit)
    except TimeoutError:
        raise RouterError(408, "request_timeout", f"the request body did not arrive within {timeout:g} s") from None
    except BROKEN_BODY:
        raise RouterError(400, "invalid_request_error", "the request body is cut short or badly encoded") from None


def with_model(body: bytes, model: str) -> bytes:
    """`body` for `model`, whatever its own says. What is no JSON object stays as it is, for others to refuse."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    if not isinstance(document, dict) or document.get("model") == model:
        return body
    if "model" not in document and document:
        return prepend(body, b'"model":' + orjson.dumps(model))
    return orjson.dumps({**document, "model": model})


async def _collect(payload: StreamReader, limit: int) -> bytes:
    parts = []
    size = 0
    while part := await payload.readany():
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
    return b"".join(parts)


def _too_large(limit: int) -> RouterError:
    return RouterError(413, "request_too_large", f"the request body is larger than {limit} bytes")
