"""The generic path: every route through aiohttp's ordinary request and response objects."""

from __future__ import annotations

import asyncio
from random import Random

from aiohttp import web

from router.core.errors import RouterError
from router.core.events import Finished
from router.core.types import Kind
from router.edge.body import read_body, with_model
from router.edge.errors import error_body, error_fields
from router.edge.fields import id_fields, pairs, request_id
from router.edge.generic_exchange import GenericExchange
from router.edge.pages import MethodNotAllowed, Page, Pages, PostedPage, not_found
from router.edge.routes import AZURE, HOT, MODEL_PREFIXES, PAGES, POSTED, azure_route
from router.edge.service import Service


class GenericHandler:
    """The handler of aiohttp's low-level server."""

    def __init__(self, service: Service, pages: Pages, max_body_bytes: int, body_timeout: float, rng: Random) -> None:
        self._service = service
        self._pages = pages
        self._max_body_bytes = max_body_bytes
        self._body_timeout = body_timeout
        self._rng = rng

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.rel_url.path
        kind = HOT.get(path)
        if kind is not None and request.method == "POST":
            return await self._infer(request, kind)
        azure = azure_route(path) if path.startswith(AZURE) else None
        if azure is not None and request.method == "POST":
            return await self._infer(request, azure[1], azure[0])
        if azure is not None:
            kind = azure[1]
        try:
            response: web.StreamResponse = await self._page(request, path, kind)
        except RouterError as error:
            record = Finished(request_id(request.headers, f"req-{self._rng.getrandbits(96):024x}"), "page")
            fields = pairs(id_fields(record) + error_fields(error))
            if isinstance(error, MethodNotAllowed):
                fields["allow"] = error.allowed
            response = web.Response(
                status=error.status, body=error_body(error), headers=fields, content_type="application/json"
            )
        if self._service.draining:
            response.force_close()
        return response

    async def _page(self, request: web.BaseRequest, path: str, kind: Kind | None) -> web.Response:
        if path in POSTED:
            if request.method != "POST":
                raise MethodNotAllowed(request.method, path, "POST")
            posted: PostedPage = getattr(self._pages, POSTED[path])
            return await posted(request, lambda: self._read(request))
        page: Page | None = None
        if path in PAGES:
            page = getattr(self._pages, PAGES[path])
        elif path.startswith(MODEL_PREFIXES):
            page = self._pages.model
        if page is None:
            raise MethodNotAllowed(request.method, path, "POST") if kind else not_found(request.method, path)
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(request.method, path, "GET, HEAD")
        return await page(request)

    async def _infer(self, request: web.BaseRequest, kind: Kind, model: str = "") -> web.StreamResponse:
        """`model` is the one in the path, where that has one."""

        async def read() -> bytes:
            body = await self._read(request)
            return with_model(body, model) if model else body

        exchange = GenericExchange(request, request.keep_alive and not self._service.draining)
        try:
            await self._service.handle(kind, request.headers, read, exchange)
        except asyncio.CancelledError:
            await exchange.part()
            raise
        return await exchange.finish()

    async def _read(self, request: web.BaseRequest) -> bytes:
        declared = int(request.headers.get("Content-Length") or 0)
        if request.headers.get("Expect", "").lower() == "100-continue" and declared <= self._max_body_bytes:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        return await read_body(request.content, request.headers, self._max_body_bytes, self._body_timeout)
