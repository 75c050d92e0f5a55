"""What travels: a request of 2 KB, a reply of 600 B, and the events of a stream."""

from __future__ import annotations

import json
from collections.abc import Mapping

MODEL = "bench"
PATH = "/v1/chat/completions"
REQUEST_BYTES = 2048
REPLY_BYTES = 600
TOKEN = b" token"  # only content events hold it, and each holds it once
EVENTS_PER_SECOND = 40  # of one stream


def _filled(document: dict[str, object], holder: dict[str, object], size: int) -> bytes:
    """The document in exactly `size` bytes, its holder's content stretched."""
    holder["content"] = ""
    text = "The quick brown fox jumps over the lazy dog. " * (size // 45 + 1)
    holder["content"] = text[: size - len(json.dumps(document))]
    return json.dumps(document).encode()


def request_body(stream_events: int = 0) -> bytes:
    """A chat request; with `stream_events`, one for a stream of so many content events."""
    message: dict[str, object] = {"role": "user"}
    document: dict[str, object] = {"model": MODEL, "messages": [message], "temperature": 0.7}
    if stream_events:
        document |= {"stream": True, "max_tokens": stream_events}
    return _filled(document, message, REQUEST_BYTES)


def reply_body() -> bytes:
    message: dict[str, object] = {"role": "assistant"}
    document: dict[str, object] = {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 450, "completion_tokens": 70, "total_tokens": 520},
    }
    return _filled(document, message, REPLY_BYTES)


def event(delta: Mapping[str, str], finish_reason: str | None = None) -> bytes:
    """One server-sent event of a chat stream, about 180 bytes."""
    document = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }
    return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"


def request_head(host: str, headers: Mapping[str, str], length: int) -> bytes:
    lines = [f"POST {PATH} HTTP/1.1", f"Host: {host}", f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


PAGES: Mapping[str, str] = {
    "/health": "{}",
    "/v1/models": json.dumps({"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "bench"}]}),
    "/get_model_info": json.dumps({"model_path": MODEL, "is_generation": True}),
    "/model_info": json.dumps({"model_path": MODEL, "is_generation": True}),
    "/get_server_info": json.dumps({"model_path": MODEL, "served_model_name": MODEL}),
    "/server_info": json.dumps({"model_path": MODEL, "served_model_name": MODEL}),
}
"""GET paths by which routers learn that a model server is up, and what it serves."""
