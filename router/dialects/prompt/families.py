"""Chat templates that models were published with, by family. What each makes is in `tests/dialects/prompt`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from router.core.prompts import Prompt
from router.dialects.failures import unsupported
from router.dialects.prompt.content import Turn


class Family(NamedTuple):
    """`render` takes the turns and the two tokens; `stop` ends a reply, besides `eos`."""

    render: Callable[[Sequence[Turn], str, str], str]
    bos: str
    eos: str
    stop: tuple[str, ...] = ()

    def prompt(self, turns: Sequence[Turn], bos: str | None, eos: str | None) -> Prompt:
        """The whole prompt, with the family's own tokens where none are given. Raises UpstreamFailure (a 400 naming
        `messages`) for a conversation that the family has no form for."""
        bos = self.bos if bos is None else bos
        eos = self.eos if eos is None else eos
        stop = tuple(dict.fromkeys(text for text in (*self.stop, eos) if text))
        return Prompt(self.render(turns, bos, eos), stop, bool(bos))


def _llama_2(turns: Sequence[Turn], bos: str, eos: str) -> str:
    system, rest = _alternating(turns)
    parts = []
    for index, (role, text) in enumerate(rest):
        if role == "assistant":
            parts.append(f" {text.strip()} {eos}")
            continue
        if not index and system is not None:
            text = f"<<SYS>>\n{system}\n<</SYS>>\n\n{text}"
        parts.append(f"{bos}[INST] {text.strip()} [/INST]")
    return "".join(parts)


def _llama_3(turns: Sequence[Turn], bos: str, eos: str) -> str:
    told = "".join(f"<|start_header_id|>{role}<|end_header_id|>\n\n{text.strip()}<|eot_id|>" for role, text in turns)
    return f"{bos}{told}<|start_header_id|>assistant<|end_header_id|>\n\n"


def _mistral(turns: Sequence[Turn], bos: str, eos: str) -> str:
    rest = _folded(turns)
    told = (f"{text}{eos}" if role == "assistant" else f"[INST] {text} [/INST]" for role, text in rest)
    return bos + "".join(told)


def _chatml(turns: Sequence[Turn], bos: str, eos: str) -> str:
    told = "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns)
    return f"{bos}{told}<|im_start|>assistant\n"


def _gemma(turns: Sequence[Turn], bos: str, eos: str) -> str:
    names = {"assistant": "model", "user": "user"}
    told = (f"<start_of_turn>{names[role]}\n{text.strip()}<end_of_turn>\n" for role, text in _folded(turns))
    return f"{bos}{''.join(told)}<start_of_turn>model\n"


def _phi(turns: Sequence[Turn], bos: str, eos: str) -> str:
    told = "".join(f"<|{role}|>\n{text}<|end|>\n" for role, text in turns)
    return f"{bos}{told}<|assistant|>\n"


def _alternating(turns: Sequence[Turn]) -> tuple[str | None, list[Turn]]:
    """The system's text, and the turns of user and assistant, which must alternate."""
    first = next((index for index, turn in enumerate(turns) if turn.role != "system"), len(turns))
    system, rest = [turn.text for turn in turns[:first]], list(turns[first:])
    if not rest or any(role != ("user", "assistant")[index % 2] for index, (role, _) in enumerate(rest)):
        raise unsupported("messages", "this model's template wants conversation roles to alternate"
                          " user/assistant/user/assistant/..., after the system's")  # fmt: skip
    return ("\n\n".join(system) if system else None), rest


def _folded(turns: Sequence[Turn]) -> list[Turn]:
    """The same for families without a system's turn: its text stands at the beginning of the first user's."""
    system, rest = _alternating(turns)
    if system is not None:
        rest[0] = Turn("user", f"{system}\n\n{rest[0].text}")
    return rest


_CHATML = Family(_chatml, "", "<|im_end|>")
_PHI = Family(_phi, "", "<|end|>", ("<|endoftext|>",))
FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "llama-2": Family(_llama_2, "<s>", "</s>"),
        "llama-3": Family(_llama_3, "<|begin_of_text|>", "<|eot_id|>"),
        "mistral": Family(_mistral, "<s>", "</s>"),
        "chatml": _CHATML,
        "qwen": _CHATML,
        "gemma": Family(_gemma, "<bos>", "<end_of_turn>"),
        "phi": _PHI,
        "phi-3": _PHI,
    }
)
"""By name. Those of models on the hub are known by PARTS."""

PARTS: tuple[tuple[str, str], ...] = (
    ("llama-2-", "llama-2"),
    ("llama-3", "llama-3"),
    ("mistral-7b-instruct-v0.1", "mistral"),
    ("mistral-7b-instruct-v0.2", "mistral"),
    ("mixtral-8x7b-instruct-v0.1", "mistral"),
    ("qwen1.5-", "qwen"),
    ("qwen2", "qwen"),
    ("gemma-", "gemma"),
    ("phi-3", "phi-3"),
)
"""What is in the names of a family's models, lower-cased. Later Mistral and Phi models have other templates."""


def family_of(name: str) -> Family | None:
    """The family of that name, or of the model of that name on the hub (`meta-llama/Llama-2-7b-chat-hf`)."""
    lowered = name.lower()
    known = FAMILIES.get(lowered)
    if known is None:
        model = lowered.rpartition("/")[2]
        known = next((FAMILIES[family] for part, family in PARTS if part in model), None)
    return known
