"""Legacy text completions: a prompt, or a list of them, in; text out."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import orjson

from router.dialects.mock.behaviour import Behaviour
from router.dialects.mock.completions import Choice, Completion, choice_count, token_limit
from router.dialects.mock.text import as_inputs, cut, reply_text


def legacy(body: Mapping[str, Any], behaviour: Behaviour, rng: Random, created: int, *, empty: bool) -> Completion:
    """The reply to a `/completions` body: `n` choices for every prompt."""
    model = str(body["model"])
    prompts = as_inputs(body.get("prompt", ""))
    choices: list[Choice] = []
    for text, _ in prompts:
        said = "" if empty else reply_text(behaviour, model, text)
        pieces, finish = cut(said, body.get("stop"), token_limit(body))
        choices += [Choice(pieces, finish)] * choice_count(body)
    tokens = sum(count for _, count in prompts)
    return Completion(f"cmpl-{rng.getrandbits(96):024x}", created, model, choices, max(tokens, 1))


class LegacyShape:
    """`text_completion`, whole and streamed."""

    whole_object = chunk_object = "text_completion"

    def choice(self, index: int, choice: Choice) -> dict[str, Any]:
        return {
            "text": "".join(choice.pieces),
            "index": index,
            "logprobs": None,
            "finish_reason": choice.finish,
        }

    def opening(self, choice: Choice) -> bytes | None:
        return None

    def content(self, choice: Choice, piece: str) -> bytes:
        return b'"text":%b,"logprobs":null,"finish_reason":null' % orjson.dumps(piece)

    def closing(self, choice: Choice) -> bytes:
        return b'"text":"","logprobs":null,"finish_reason":%b' % orjson.dumps(choice.finish)
