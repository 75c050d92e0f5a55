"""The mock server's control paths, for tests and demos that run it as a process of its own.

- `GET /mock/stats`: counters and the behaviour
- `GET /mock/requests`: the requests remembered, oldest first, bodies as text
- `PUT /mock/behaviour`: change some fields of the behaviour, and start its script anew
- `POST /mock/reset`: as freshly started
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import orjson

from router.dialects.mock.errors import json_answer, rejection
from router.dialects.mock.playback import Answer

if TYPE_CHECKING:
    from router.mock.connection import Request
    from router.mock.server import MockServer


def control(server: MockServer, request: Request) -> Answer:
    """The answer to a request below `/mock/`."""
    match request.method, request.path:
        case "GET", "/mock/stats":
            return json_answer(200, orjson.dumps(stats(server)))
        case "GET", "/mock/requests":
            return json_answer(200, orjson.dumps([_readable(remembered) for remembered in server.requests]))
        case "PUT", "/mock/behaviour":
            return _change(server, request.body)
        case "POST", "/mock/reset":
            server.reset()
            return json_answer(200, orjson.dumps(stats(server)))
    return rejection(404, f"Invalid URL ({request.method} {request.path})", code="not_found")


def stats(server: MockServer) -> dict[str, object]:
    """The server's counters and behaviour."""
    return {
        "started": server.started,
        "completed": server.completed,
        "cancelled": server.cancelled,
        "in_flight": server.in_flight,
        "max_in_flight": server.max_in_flight,
        "accepted": server.accepted,
        "open_connections": server.open_connections,
        "behaviour": asdict(server.behaviour),
    }


def _change(server: MockServer, raw: bytes) -> Answer:
    try:
        changes = orjson.loads(raw)
        if not isinstance(changes, dict):
            return rejection(400, "The behaviour is a JSON object.")
        server.behaviour = server.behaviour.changed(changes)
    except ValueError as error:
        return rejection(400, str(error))
    return json_answer(200, orjson.dumps(asdict(server.behaviour)))


def _readable(request: Request) -> dict[str, object]:
    return request._asdict() | {"body": request.body.decode("utf-8", "replace")}
