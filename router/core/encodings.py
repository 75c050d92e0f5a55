"""Which of OpenAI's vocabularies a model reads by; the others' are not public."""

from __future__ import annotations

O200K = "o200k_base"
CL100K = "cl100k_base"
_PROVIDERS = frozenset({"openai", "azure", "mock"})
_BY_START = (
    ("gpt-4o", O200K), ("chatgpt-4o", O200K), ("gpt-4.1", O200K), ("gpt-4.5", O200K), ("gpt-5", O200K), ("o1", O200K),
    ("o3", O200K), ("o4", O200K), ("gpt-4", CL100K), ("gpt-3.5", CL100K), ("gpt-35", CL100K),
    ("text-embedding-3", CL100K), ("text-embedding-ada-002", CL100K),
)  # fmt: skip


def encoding_of(provider: str, model: str) -> str:
    """The vocabulary of `model`, as OpenAI calls it; empty where that is not known."""
    if provider not in _PROVIDERS:
        return ""
    name = model.lower().removeprefix("ft:")
    return next((encoding for start, encoding in _BY_START if name.startswith(start)), "")
