"""What tokens cost, and what a request has used of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars per token. None is unknown; 0.0 is a real price.

    `cached_input` is for prompt tokens that upstream had in its cache, `cache_write` for those it put there,
    `audio_input` and `audio_output` for sound, `reasoning` for output that the client may not see: each a part of the
    prompt or of the output, and priced like the rest of it where its own price is unknown. `above` has the prices of
    the whole request where its prompt has more tokens than the number beside them, smallest number first.
    """

    input: float | None = None
    output: float | None = None
    cached_input: float | None = None
    cache_write: float | None = None
    audio_input: float | None = None
    audio_output: float | None = None
    reasoning: float | None = None
    above: tuple[tuple[int, Prices], ...] = ()

    def at(self, prompt_tokens: float) -> Prices:
        """Those for a prompt of so many tokens."""
        prices = self
        for start, higher in self.above:
            if prompt_tokens > start:
                prices = higher
        return prices

    def replaced_by(self, own: Prices) -> Prices:
        """These, but for the prices of prompt and output that `own` knows: who names one means all tokens of it."""
        input_known, output_known = own.input is not None, own.output is not None
        return Prices(
            own.input if input_known else self.input,
            own.output if output_known else self.output,
            None if input_known else self.cached_input,
            None if input_known else self.cache_write,
            None if input_known else self.audio_input,
            None if output_known else self.audio_output,
            None if output_known else self.reasoning,
            () if input_known and output_known else tuple((n, prices.replaced_by(own)) for n, prices in self.above),
        )

    def cost(self, usage: Usage) -> float | None:
        """Dollars for `usage`, or None where a needed price is unknown."""
        if self.above:
            return self.at(usage.prompt_tokens)._cost(usage)
        return self._cost(usage)

    def _cost(self, usage: Usage) -> float | None:
        of_prompt, of_output = self.input, self.output
        if of_prompt is None or (of_output is None and usage.completion_tokens):
            return None
        dollars = usage.prompt_tokens * of_prompt
        if of_output is not None:
            dollars += usage.completion_tokens * of_output
            if usage.reasoning_tokens and self.reasoning is not None:
                dollars += usage.reasoning_tokens * (self.reasoning - of_output)
            if usage.audio_completion_tokens and self.audio_output is not None:
                dollars += usage.audio_completion_tokens * (self.audio_output - of_output)
        if usage.cached_tokens and self.cached_input is not None:
            dollars += usage.cached_tokens * (self.cached_input - of_prompt)
        if usage.cache_write_tokens and self.cache_write is not None:
            dollars += usage.cache_write_tokens * (self.cache_write - of_prompt)
        if usage.audio_prompt_tokens and self.audio_input is not None:
            dollars += usage.audio_prompt_tokens * (self.audio_input - of_prompt)
        return dollars


UNKNOWN = Prices()


class Usage(NamedTuple):
    """Tokens as upstream reported them; `estimated`: it reported none, or not all of them.

    Of the prompt's, `cached_tokens` were in upstream's cache, `cache_write_tokens` were put there and
    `audio_prompt_tokens` are sound; of the completion's, `reasoning_tokens` are thought and `audio_completion_tokens`
    are sound.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    audio_prompt_tokens: int = 0
    reasoning_tokens: int = 0
    audio_completion_tokens: int = 0
    estimated: bool = False
