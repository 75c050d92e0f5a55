"""What upstreams do, by name: the good, the slow, and every way to fail that routing knows of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from types import MappingProxyType
from typing import Any

import orjson

from router.flow.relay import HOLD_LIMIT
from tests.flow.scripted import Ending, Piece, Script

SSE = {b"content-type": b"text/event-stream"}
JSON = {b"content-type": b"application/json"}
DONE = b"data: [DONE]\n\n"
WORDS = ("Once ", "upon ", "a ", "time")
USAGE = {"prompt_tokens": 7, "completion_tokens": 4}


def event(document: Any) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(document)


def chunk(delta: Mapping[str, Any], finish: str | None = None) -> bytes:
    return event({"id": "c1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


ROLE = chunk({"role": "assistant", "content": ""})
FINISH = chunk({}, "stop")
IN_BAND = event({"error": {"message": "overloaded", "type": "server_error", "code": None}})
REPLY = orjson.dumps({"choices": [{"index": 0, "message": {"content": "".join(WORDS)}}], "usage": USAGE})

FILTERED = orjson.dumps(
    {"choices": [{"index": 0, "message": {"content": "Once "}, "finish_reason": "content_filter"}], "usage": USAGE}
)


def words(*texts: str) -> bytes:
    return b"".join(chunk({"content": text}) for text in texts)


def stream(*pieces: Piece | bytes, ending: Ending = Ending.CLEAN, whole: bool = False) -> Script:
    """An event stream; pieces without a time come at once."""
    timed = tuple((0.0, piece) if isinstance(piece, bytes) else piece for piece in pieces)
    return Script(timed, headers=SSE, ending=ending, streams=True, whole=whole)


def reply(body: bytes, status: int = 200, *, retry_after: str | None = None, whole: bool = False) -> Script:
    headers = JSON if retry_after is None else {**JSON, b"retry-after": retry_after.encode()}
    return Script(((0.0, body),), status, headers, whole=whole)


def error(status: int, *, code: str | None = None, retry_after: str | None = None) -> Script:
    body = orjson.dumps({"error": {"message": f"no: {code or status}", "type": "some_error", "code": code}})
    return reply(body, status, retry_after=retry_after)


OK = stream(ROLE, *(words(word) for word in WORDS), FINISH, DONE, whole=True)
STREAMS: Mapping[str, Script] = MappingProxyType(
    {
        "ok": OK,
        "in one read": stream(OK.body, whole=True),
        "with usage": stream(ROLE, words(*WORDS), FINISH, event({"choices": [], "usage": USAGE}), DONE, whole=True),
        "slow": stream((1.0, ROLE), *((1.0, words(word)) for word in WORDS), FINISH, (0.5, DONE), whole=True),
        "slow head": replace(stream((1.0, ROLE), words(*WORDS), FINISH, DONE, whole=True), head=0.5),
        "cut anywhere": stream(*(OK.body[i : i + 7] for i in range(0, len(OK.body), 7)), whole=True),
        "crlf": stream(OK.body.replace(b"\n", b"\r\n"), whole=True),
        "without done": stream(ROLE, words(*WORDS), FINISH, whole=True),
        "done but open": stream(ROLE, words(*WORDS), FINISH, DONE, ending=Ending.SILENT, whole=True),
        "reset after done": stream(ROLE, words(*WORDS), FINISH, (0.5, DONE), ending=Ending.RESET, whole=True),
        "long prelude": stream(ROLE * (HOLD_LIMIT // len(ROLE) + 1), (1.0, words(*WORDS)), FINISH, DONE, whole=True),
        "long prelude, reset": stream(ROLE * (HOLD_LIMIT // len(ROLE) + 1), ending=Ending.RESET),
        "head only": stream(ending=Ending.SILENT),
        "empty": stream(ROLE, DONE),
        "usage without content": stream(ROLE, event({"choices": [], "usage": USAGE}), DONE),
        "nothing at all": stream(),
        "reset before content": stream(ROLE, (0.5, b""), ending=Ending.RESET),
        "ends before content": stream(ROLE, (0.5, b"")),
        "stalls before content": stream(ROLE, ending=Ending.SILENT),
        "error before content": stream(ROLE, (0.5, IN_BAND), DONE),
        "garbage before content": stream(ROLE, b"data: {oops\n\n"),
        "reset after content": stream(ROLE, words("Once "), (0.5, words("upon ")), ending=Ending.RESET),
        "ends after content": stream(ROLE, words("Once "), (0.5, words("upon "))),
        "cut in an event": stream(ROLE, words("Once "), (0.5, words("upon ")[:-20])),
        "stalls after content": stream(ROLE, words("Once "), ending=Ending.SILENT),
        "error after content": stream(ROLE, words("Once "), (0.5, words("upon ") + IN_BAND), DONE),
        "garbage after content": stream(ROLE, words("Once "), (0.5, b"data: [1]\n\n")),
        "cut off by a filter": stream(ROLE, chunk({}, "content_filter"), DONE, whole=True),
        "cut off by a filter in the middle": stream(
            ROLE, words("Once "), chunk({}, "content_filter"), DONE, whole=True),
        "unasked reply": reply(REPLY),
    }
)  # fmt: skip
WHOLES: Mapping[str, Script] = MappingProxyType(
    {
        "ok": reply(REPLY, whole=True),
        "without usage": reply(b'{"choices":[]}', whole=True),
        "slow": replace(reply(REPLY, whole=True), pieces=((2.0, REPLY),)),
        "error with status 200": reply(b'{"error":{"message":"overloaded"}}'),
        "cut off by a filter": reply(FILTERED, whole=True),
        "garbage": reply(b"<html>"),
        "no object": reply(b"[]"),
        "truncated": replace(reply(REPLY[:30]), ending=Ending.RESET),
        "stalls": replace(reply(REPLY[:30]), ending=Ending.SILENT),
        "unasked stream": OK,
    }
)
EITHER: Mapping[str, Script] = MappingProxyType(
    {
        "refused": Script(refused=True),
        "refused after a while": Script(refused=True, connect=1.0),
        "unreachable": Script(connect=inf),
        "hangs": Script(head=inf),
        "reset": Script(ending=Ending.RESET),
        "500": error(500),
        "503": error(503),
        "503, come back": error(503, retry_after="3"),
        "529": error(529),
        "408": error(408),
        "429": error(429),
        "429, come back": error(429, retry_after="2"),
        "429, come back tomorrow": error(429, retry_after="86400"),
        "429, no money": error(429, code="insufficient_quota"),
        "400": error(400),
        "422": error(422),
        "400, window": error(400, code="context_length_exceeded"),
        "413": error(413),
        "400, policy": error(400, code="content_policy_violation"),
        "401": error(401),
        "403": error(403),
        "404": error(404),
        "slow 500": replace(error(500), head=1.5),
    }
)


def script_for(behaviour: str, *, streaming: bool) -> Script:
    """The script of one request: a behaviour that its kind does not know is a good answer."""
    own: Mapping[str, Script] = STREAMS if streaming else WHOLES
    return own.get(behaviour) or EITHER.get(behaviour) or own["ok"]
