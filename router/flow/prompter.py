"""Makes the prompt for a deployment that only completes texts, before its dialect encodes the request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from router.core.prompts import JinjaTemplate
from router.core.types import Deployment
from router.dialects.base import InferenceRequest
from router.dialects.prompt.prompts import Rendering, prompt_of


class Renderer(Protocol):
    """Renders templates away from the event loop, within a limit of time."""

    async def render(self, template: JinjaTemplate, variables: Mapping[str, Any]) -> str:
        """Raises UpstreamFailure: a 400 where the template refuses the conversation, a 500 where it fails."""


class Prompter:
    """Holds nothing but the way to render templates."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    async def prepare(self, request: InferenceRequest, deployment: Deployment) -> InferenceRequest:
        """`request` with its prompt for `deployment`, which has a template. Raises UpstreamFailure."""
        template = deployment.template
        assert template is not None
        if request.template is not None:
            template = request.template.over(template)
        made = prompt_of(template, request.body["messages"], drop=deployment.drop_params)
        if isinstance(made, Rendering):
            made = made.prompt(await self._renderer.render(made.template, made.variables))
        return replace(request, prompt=made)
