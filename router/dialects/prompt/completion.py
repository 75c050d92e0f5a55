"""A chat request as a request for a text completion."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from router.core.prompts import Prompt
from router.core.types import Deployment
from router.dialects.support import REFUSED, SENT, Support, emulated, expressible, sent_as
from router.dialects.usage import tokens_of

SUPPORT: Support = MappingProxyType(
    {
        "model": emulated("the deployment's `model`"),
        "messages": emulated("`prompt`, by the template"),
        **dict.fromkeys(
            ("temperature", "top_p", "n", "presence_penalty", "frequency_penalty", "logit_bias", "user", "seed",
             "stream"),
            SENT,
        ),
        "stop": sent_as("`stop`, with the template's own"),
        "max_tokens": SENT,
        "max_completion_tokens": sent_as("`max_tokens`"),
        "logprobs": emulated("`logprobs`, a number"),
        "top_logprobs": emulated("`logprobs`, a number"),
        "stream_options": sent_as("`stream_options`, always with `include_usage`"),
        **dict.fromkeys(
            ("response_format", "tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"), REFUSED
        ),
    }
)  # fmt: skip
"""For a server of `/completions`."""

_CHATS_OWN = ("messages", "max_completion_tokens", "top_logprobs", "logprobs", "stop")
MOST_STOPS = 4
"""What OpenAI and TGI accept."""
USUAL_OUTPUT = 1024
"""Tokens of a reply whose length nobody has limited: `/completions` would take that as 16, and TGI as 100."""


def completion_body(
    body: Mapping[str, Any], prompt: Prompt, deployment: Deployment, support: Support
) -> dict[str, Any]:
    """The body of a text completion. Raises UpstreamFailure (a 400 naming the parameter) for what it cannot express."""
    kept = expressible(body, support, drop=deployment.drop_params)
    made = {name: value for name, value in kept.items() if name not in _CHATS_OWN}
    made["prompt"] = prompt.text
    made["max_tokens"] = _limit(body, prompt, deployment)
    stops = _stops(body.get("stop"), prompt)
    if stops:
        made["stop"] = stops
    if kept.get("logprobs") is True:
        made["logprobs"] = kept.get("top_logprobs") or 0
    return made


def _limit(body: Mapping[str, Any], prompt: Prompt, deployment: Deployment) -> int:
    asked = body.get("max_completion_tokens") or body.get("max_tokens")
    if isinstance(asked, int):
        return asked
    usual = deployment.max_output_tokens or USUAL_OUTPUT
    if deployment.context_window is None:
        return usual
    room = deployment.context_window - 2 * tokens_of(len(prompt.text.encode()))
    return max(min(usual, room), 16)


def _stops(asked: Any, prompt: Prompt) -> list[str]:
    """The client's, and the template's own as far as there is room."""
    own = [asked] if isinstance(asked, str) else list(asked or ())
    room = max(MOST_STOPS - len(own), 0)
    return own + [text for text in prompt.stop if text not in own][:room]
