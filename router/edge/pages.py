"""What is read rather than inferred: the models, the health, the metrics."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import orjson
from aiohttp import web

from router.core.catalogue import Catalogue
from router.core.errors import RouterError
from router.core.load import Candidate, Snapshot
from router.core.types import ModelGroup
from router.edge.auth import Authenticator, may_use
from router.edge.explain import document, explanation_of
from router.edge.inference import find_group
from router.edge.service import Service
from router.edge.status import models, status

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Page = Callable[[web.BaseRequest], Awaitable[web.Response]]
PostedPage = Callable[[web.BaseRequest, Callable[[], Awaitable[bytes]]], Awaitable[web.Response]]


class Pages:
    """The GET routes, and `explain`. `catalogue` gives the one in force, `expose` renders the metrics; `view` and
    `candidates` are the load picture."""

    def __init__(
        self,
        catalogue: Callable[[], Catalogue],
        auth: Authenticator,
        service: Service,
        expose: Callable[[], Awaitable[bytes]],
        view: Callable[[], Snapshot],
        candidates: Callable[[], Iterable[Candidate]],
        worker: int | None = None,
    ) -> None:
        """`worker`: which of several this is, None where it is the only one."""
        self._in_force = catalogue
        self._auth = auth
        self._service = service
        self._expose = expose
        self._view = view
        self._candidates = candidates
        self._worker = worker
        self._created = int(time.time())

    @property
    def _catalogue(self) -> Catalogue:
        return self._in_force()

    async def models(self, request: web.BaseRequest) -> web.Response:
        """`GET /v1/models`: what this key may use, aliases included."""
        principal = self._auth.authenticate(request.headers)
        found = []
        for name in self._catalogue.names():
            group = self._catalogue.resolve(name)
            if group is not None and (may_use(principal, name) or may_use(principal, group.name)):
                found.append(self._model(name, group))
        return _json({"object": "list", "data": found})

    async def model(self, request: web.BaseRequest) -> web.Response:
        """`GET /v1/models/{id}`; an id may hold slashes."""
        principal = self._auth.authenticate(request.headers)
        name = request.rel_url.path.split("/models/", 1)[1]
        return _json(self._model(name, find_group(self._catalogue, principal, name)))

    async def live(self, request: web.BaseRequest) -> web.Response:
        """`GET /health` and `/health/live`: the process answers."""
        return _json({"status": "ok"})

    async def ready(self, request: web.BaseRequest) -> web.Response:
        """`GET /health/ready`: 200 while requests are wanted, 503 while draining."""
        if self._service.draining:
            return _json({"status": "draining"}, 503)
        return _json({"status": "ready"})

    async def metrics(self, request: web.BaseRequest) -> web.Response:
        """`GET /metrics`: Prometheus' text format."""
        return web.Response(body=await self._expose(), headers={"Content-Type": METRICS_TYPE})

    async def status(self, request: web.BaseRequest) -> web.Response:
        """`GET /router/status`: what this key may use, as it is now."""
        principal = self._auth.authenticate(request.headers)
        view = self._view()
        told = {
            **({} if self._worker is None else {"worker": self._worker}),
            "in_flight": self._service.in_flight,
            "draining": self._service.draining,
            "models": models(principal, self._catalogue, view),
            "deployments": status(principal, self._catalogue, view, self._candidates),
        }
        return _json(told)

    async def explain(self, request: web.BaseRequest, read: Callable[[], Awaitable[bytes]]) -> web.Response:
        """`POST /router/explain`: what would become of this body, were it sent with this key."""
        principal = self._auth.authenticate(request.headers)
        raw, kind = await read(), request.rel_url.query.get("kind")
        view = self._view()
        told = explanation_of(self._catalogue, principal, view, request.headers, raw, kind)
        return _json(document(told, self._catalogue))

    def _model(self, name: str, group: ModelGroup) -> dict[str, Any]:
        deployments = [deployment for tier in group.tiers for deployment in tier]
        windows = [deployment.context_window for deployment in deployments if deployment.context_window]
        entry: dict[str, Any] = {
            "id": name,
            "object": "model",
            "created": self._created,
            "owned_by": deployments[0].provider if deployments else "llm-router",
        }
        if windows:
            entry["context_window"] = max(windows)
        return entry


def not_found(method: str, path: str) -> RouterError:
    shown = path if len(path) <= 100 else f"{path[:100]}…"
    return RouterError(404, "not_found", f"there is no {method} {shown} here")


class MethodNotAllowed(RouterError):
    """`allowed`: what the path answers, as the header of that name lists it."""

    def __init__(self, method: str, path: str, allowed: str) -> None:
        super().__init__(405, "method_not_allowed", f"{path} answers {allowed}, not {method}")
        self.allowed = allowed


def _json(document: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(document), content_type="application/json")
