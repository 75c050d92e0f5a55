"""A value for every parameter, and where each dialect puts it: what `test_parameter_rows.py` goes by."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from router.dialects.support import How

FUNCTION = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
TOOL = {"type": "function", "function": FUNCTION}
SAMPLES: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": "say hi"}],
    "temperature": 0.5,
    "top_p": 0.25,
    "n": 2,
    "stop": ["END"],
    "presence_penalty": 0.75,
    "frequency_penalty": 0.125,
    "logit_bias": {"50256": -100},
    "user": "user-7",
    "seed": 41,
    "response_format": {"type": "json_object"},
    "logprobs": True,
    "top_logprobs": 3,
    "max_tokens": 17,
    "max_completion_tokens": 18,
    "stream": True,
    "stream_options": {"include_usage": True},
    "tools": [TOOL],
    "tool_choice": "required",
    "parallel_tool_calls": False,
    "functions": [FUNCTION],
    "function_call": {"name": "get_weather"},
    "timeout": 20,
    "num_retries": 1,
    "fallbacks": ["m"],
    "context_window_fallback_dict": {"m": "m"},
    "metadata": {"run": "7"},
    "initial_prompt_value": "Begin. ",
    "roles": {"user": {"pre_message": "U: ", "post_message": "\n"}},
    "final_prompt_value": "A:",
    "bos_token": "<B>",
    "eos_token": "<E>",
    "hf_model_name": "chatml",
}
"""Of chat completions."""

NEEDS: Mapping[str, dict[str, Any]] = {
    "stream_options": {"stream": True},
    "tool_choice": {"tools": [TOOL]},
    "parallel_tool_calls": {"tools": [TOOL]},
    "function_call": {"functions": [FUNCTION]},
    "top_logprobs": {"logprobs": True},
}
"""What a parameter goes with."""

Check = Callable[[Any, str], bool]
"""Whether upstream's body, sent to a path, holds what the sample asked for."""

_TEXT: Mapping[str, Check] = {
    "messages": lambda body, path: "say hi" in body["prompt"] and "messages" not in body,
    "logprobs": lambda body, path: body["logprobs"] == 0,
    "top_logprobs": lambda body, path: body["logprobs"] == 3 and "top_logprobs" not in body,
    "stop": lambda body, path: body["stop"] == ["END", "<|eot_id|>"],
}
_TGI: Mapping[str, Check] = {
    "model": lambda body, path: "model" not in body,
    "messages": lambda body, path: "say hi" in body["inputs"],
    "temperature": lambda body, path: body["parameters"]["temperature"] == 0.5 and body["parameters"]["do_sample"],
    "top_p": lambda body, path: body["parameters"]["top_p"] == 0.25,
    "stop": lambda body, path: body["parameters"]["stop"] == ["END", "<|eot_id|>"],
    "response_format": lambda body, path: body["parameters"]["grammar"]["type"] == "json",
    "stream": lambda body, path: "stream" in path,
    "stream_options": lambda body, path: "stream_options" not in body["parameters"],
    "user": lambda body, path: b"user-7" not in repr(body).encode(),
}
_MODEL: Mapping[str, Check] = {"model": lambda body, path: body["model"] == "up-model"}
EMULATED: Mapping[str, Mapping[str, Check]] = {
    "openai": _MODEL,
    "mock": _MODEL,
    "azure": _MODEL,
    "vllm": {
        **_MODEL,
        "functions": lambda body, path: body["tools"] == [TOOL] and "functions" not in body,
        "function_call": lambda body, path: (
            body["tool_choice"] == {"type": "function", "function": {"name": "get_weather"}}
            and "function_call" not in body
        ),
    },
    **{f"{name}+prompt": {**_MODEL, **_TEXT} for name in ("openai", "vllm", "mock", "azure")},
    **dict.fromkeys(("huggingface+prompt", "sagemaker+prompt"), _TGI),
}
"""By dialect and parameter, where the value does not stand under a name."""


def place(how: How, name: str) -> tuple[str, ...]:
    """The path in upstream's body that a note names; else the parameter's own name."""
    found = re.match(r"`([a-z_.]+)`", how.note)
    return tuple(found[1].split(".")) if found else (name,)
