"""A request for inference, from its bytes to the runner: who asks, what for, and with which model."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import orjson

from router.core.catalogue import Catalogue
from router.core.clock import Clock
from router.core.errors import RouterError
from router.core.events import Finished
from router.core.tokens import max_output, measure
from router.core.types import Kind, ModelGroup, Principal, RouteRequest
from router.dialects.base import InferenceRequest
from router.dialects.json_edit import DuplicateKey, refuse_duplicates
from router.edge.affinity import affinity_of
from router.edge.auth import Authenticator, may_use
from router.edge.body import RequestBody
from router.edge.counting import Counter, counted
from router.edge.hops import hops_of
from router.edge.overrides import override_of, own_group, prices_of, refuse_unless_azure
from router.edge.parameters import RouterParameters, bad, check, take_own
from router.edge.tags import HEADER as TAGS_HEADER
from router.edge.tags import tags_of
from router.flow.exchange import Exchange
from router.flow.runner import Runner

_NONE_GIVEN = RouterParameters()


class Inference:
    """Serves every kind of inference request. Raises RouterError for whatever the client is to be told."""

    def __init__(self, runner: Runner, auth: Authenticator, clock: Clock, counter: Counter | None = None) -> None:
        """`counter` counts prompts exactly; None: nobody does."""
        self._runner = runner
        self._counter = counter
        self._auth = auth
        self._clock = clock

    async def serve(
        self,
        kind: Kind,
        headers: Mapping[str, str],
        body: RequestBody,
        exchange: Exchange,
        record: Finished,
    ) -> None:
        began = self._clock()
        principal = self._auth.authenticate(headers)
        record.key, record.team = principal.name, principal.team
        if principal.subject is not None:
            self._runner.gate.tell(principal.subject, record)
        if isinstance(body, bytes):
            raw = body
        else:
            raw = await body()
            record.waited = self._clock() - began
        request, route, group = understand(self._runner.catalogue, principal, kind, headers, raw, record, began)
        if self._counter is not None and group.counted is not None and (route.size or 0) > group.counted:
            route = await counted(route, request, group, self._counter)
        if principal.subject is None:
            await self._runner.run(request, route, group, exchange, record)
        else:
            with self._runner.gate.within(principal.subject, route, group, record) as reservation:
                if principal.subject.limits.strict is not None:
                    await self._runner.gate.strictly(principal.subject, reservation)
                await self._runner.run(request, route, group, exchange, record)


def understand(
    catalogue: Catalogue,
    principal: Principal,
    kind: Kind,
    headers: Mapping[str, str],
    raw: bytes,
    record: Finished,
    began: float,
) -> tuple[InferenceRequest, RouteRequest, ModelGroup]:
    """What `raw` asks for: whole, as routing sees it, and of which model group. Raises RouterError."""
    body, raw = parse(raw)
    check(kind, body)
    own = take_own(body, principal.grants)
    if own is not None:
        raw = orjson.dumps(body)
    override = None
    if own is not None and (own.overrides or own.deployment_id is not None):
        override = override_of(own.overrides, own.deployment_id)
    if own is not None and override is not None and override.own_group and principal.grants is not None:
        known = catalogue.resolve(body["model"])
        if known is not None or "api_base" in own.overrides:
            known = find_group(catalogue, principal, body["model"])
        group = own_group(own.overrides, body["model"], known, principal.grants)
    else:
        group = find_group(catalogue, principal, body["model"])
    if own is not None and own.deployment_id is not None:
        refuse_unless_azure(group)
    record.model = group.name
    record.stream = kind != "embedding" and bool(body.get("stream"))
    request = InferenceRequest(kind, record.request_id, raw, body, record.stream, wants_usage(body))
    request.override = override
    if own is not None:
        record.metadata = own.metadata
        request.template = own.template
        if own.fallbacks is not None and own.fallbacks.changes is not None:
            request.hops = hops_of(request, own.fallbacks.changes, partial(find_group, catalogue, principal))
    return request, _route(catalogue, request, principal, headers, own or _NONE_GIVEN, group, began), group


def _route(
    catalogue: Catalogue,
    request: InferenceRequest,
    principal: Principal,
    headers: Mapping[str, str],
    own: RouterParameters,
    group: ModelGroup,
    began: float,
) -> RouteRequest:
    fallbacks = None if own.fallbacks is None else own.fallbacks.models
    if fallbacks or own.context_window_fallbacks:
        for name in (*(fallbacks or ()), *(own.context_window_fallbacks or ())):
            find_group(catalogue, principal, name, "fallbacks")
    allowed = group.policy.timeout
    timeout = own.timeout or header_timeout(headers)
    timeout = allowed if timeout is None or timeout > allowed else timeout
    most = max_output(request.body)
    expected, size = measure(request.raw, request.body, most, group.tiers[0][0] if group.tiers else None)
    return RouteRequest(
        request.kind,
        request.body["model"],
        request.stream,
        expected,
        began + timeout,
        own.num_retries,
        fallbacks,
        own.context_window_fallbacks,
        most,
        principal.name,
        principal.priority,
        tags_of(own.tags, headers.get(TAGS_HEADER)),
        partial(affinity_of, headers, request.body),
        timeout < allowed,
        None if principal.subject is None or principal.subject.budget is None else principal.subject,
        prices_of(own.overrides) if own.overrides else None,
        size,
    )


def parse(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """The body as a JSON object, and as the bytes that may travel on: `raw`, unless a name might stand twice in it.

    Raises RouterError 400 for anything else, and for a name that does stand twice.
    """
    if not raw:
        raise bad("the body is empty: a JSON object is needed")
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise bad(f"the body is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    if not isinstance(body, dict):
        raise bad("the body must be a JSON object")
    try:
        settled = refuse_duplicates(raw, body)
    except DuplicateKey as error:
        raise bad(f"`{error.name}` stands twice in the body", error.name) from None
    return body, raw if settled else orjson.dumps(body)


def find_group(catalogue: Catalogue, principal: Principal, model: str, param: str = "model") -> ModelGroup:
    """The model group of `model`. Raises RouterError 404 or 403."""
    group = catalogue.resolve(model)
    if group is None:
        close = [name for name in catalogue.close_names(model) if may_use(principal, name)]
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        shown = model if len(model) <= 100 else f"{model[:100]}…"
        raise RouterError(404, "model_not_found", f"the model `{shown}` is not served here{hint}", param=param)
    if not may_use(principal, model) and not may_use(principal, group.name):
        raise RouterError(403, "model_not_allowed", f"this key may not use the model `{model}`", param=param,
                          type="permission_error")  # fmt: skip
    return group


def header_timeout(headers: Mapping[str, str]) -> float | None:
    """Seconds from `x-router-timeout`. Raises RouterError 400."""
    given = headers.get("X-Router-Timeout")
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < float("inf"):
        raise bad("`x-router-timeout` must be a number of seconds above 0", "x-router-timeout")
    return seconds


def wants_usage(body: Mapping[str, Any]) -> bool:
    """Whether the client asked for the usage of its stream."""
    options = body.get("stream_options")
    return bool(options and options.get("include_usage"))
