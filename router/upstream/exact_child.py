"""The process behind `ExactCounter`: counts prompts from standard input by vocabularies that come as package data.

Chat messages, names and tools cost tokens besides their text, by the rules in OpenAI's cookbook ("How to count tokens
with tiktoken"). What it has no rule for it does not count.
"""

from __future__ import annotations

import gzip
import sys
from base64 import b64decode
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson
import tiktoken

from router.core.images import USUAL, image_tokens, size_of
from router.core.types import Deployment

PER_MESSAGE, PER_NAME, PRIMING = 3, 1, 3
_READS: Mapping[str, tuple[str, Mapping[str, int]]] = MappingProxyType(
    {
        "cl100k_base": (
            r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|"""
            r"""\s*[\r\n]|\s+(?!\S)|\s""",
            {"<|endoftext|>": 100_257},
        ),
        "o200k_base": (
            r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"""
            r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"""
            r"""[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|"""
            r"""\s*[\r\n]+|\s+(?!\S)|\s+""",
            {"<|endoftext|>": 199_999},
        ),
    }
)
"""How each vocabulary cuts texts into words, as published with it, and its special tokens."""


class Unknown(Exception):
    """There is no rule for it."""


@cache
def tokenizer(encoding: str) -> tiktoken.Encoding:
    """Raises KeyError for an unknown one.

    The vocabulary is read out of the package `bpe-openai`, which is not imported: that would read all it has. Nothing
    is downloaded.
    """
    pattern, special = _READS[encoding]
    package = find_spec("bpe_openai")
    assert package is not None
    assert package.origin is not None
    ranks = {}
    with gzip.open(Path(package.origin).parent / "data" / f"{encoding}.tiktoken.gz", "rb") as lines:
        for line in lines:
            token, _, rank = line.strip().partition(b" ")
            if token:
                ranks[b64decode(token)] = int(rank)
    return tiktoken.Encoding(encoding, pat_str=pattern, mergeable_ranks=ranks, special_tokens=dict(special))


def length(text: str, encoding: str) -> int:
    """Tokens of `text`; what looks like a special token is text."""
    return len(tokenizer(encoding).encode_ordinary(text))


def count(body: Any, kind: str, encoding: str, model: str) -> int:
    """Prompt tokens of a request. Raises Unknown."""
    if not isinstance(body, dict):
        raise Unknown
    if kind != "chat":
        texts = body.get("prompt" if kind == "completion" else "input")
        return max((_text(text, encoding) for text in _several(texts)), default=0)
    return (
        PRIMING
        + sum(_message(message, encoding, model) for message in body["messages"])
        + _tools(body.get("tools"), encoding)
    )


def _several(texts: Any) -> list[Any]:
    """Several prompts, each of which has the window to itself; a list of numbers is one, by its tokens."""
    return [texts] if isinstance(texts, str) or (texts and isinstance(texts[0], int)) else texts


def _text(text: Any, encoding: str) -> int:
    return length(text, encoding) if isinstance(text, str) else len(text)


def _message(message: dict[str, Any], encoding: str, model: str) -> int:
    tokens = PER_MESSAGE
    for name, value in message.items():
        if value is None:
            continue
        if name == "content" and isinstance(value, list):
            tokens += sum(_part(part, encoding, model) for part in value)
        elif name == "tool_calls":
            tokens += sum(_call(call, encoding) for call in value)
        elif isinstance(value, str):
            tokens += length(value, encoding) + (PER_NAME if name == "name" else 0)
        else:
            raise Unknown
    return tokens


def _part(part: dict[str, Any], encoding: str, model: str) -> int:
    if part.get("type") in ("text", "refusal"):
        return length(part[part["type"]], encoding)
    if part.get("type") != "image_url":
        raise Unknown
    image = part["image_url"]
    size = size_of(image["url"])
    if size is None and image.get("detail") != "low":
        raise Unknown
    return image_tokens(size or USUAL, image.get("detail") or "auto", Deployment("", "", "openai", model))


def _call(call: dict[str, Any], encoding: str) -> int:
    function = call["function"]
    return length(function["name"], encoding) + length(function["arguments"], encoding) + 3


def _tools(tools: Any, encoding: str) -> int:
    if not tools:
        return 0
    start = 7 if encoding == "o200k_base" else 10
    tokens = 12
    for tool in tools:
        function = tool["function"]
        told = (function.get("description") or "").rstrip(".")
        tokens += start + length(f"{function['name']}:{told}", encoding)
        properties = (function.get("parameters") or {}).get("properties") or {}
        tokens += 3 if properties else 0
        for name, schema in properties.items():
            described = (schema.get("description") or "").rstrip(".")
            tokens += 3 + length(f"{name}:{schema.get('type')}:{described}", encoding)
            values = schema.get("enum") or []
            tokens += -3 if values else 0
            tokens += sum(3 + length(str(value), encoding) for value in values)
    return tokens


def main() -> None:
    """Answer until standard input ends."""
    asked, answers = sys.stdin.buffer, sys.stdout.buffer
    while line := asked.readline():
        size, kind, encoding, model = line.decode().rstrip("\n").split(" ", 3)
        raw = asked.read(int(size))
        try:
            answers.write(b"%d\n" % count(orjson.loads(raw), kind, encoding, model))
        except (Unknown, KeyError, TypeError, AttributeError, ValueError):
            answers.write(b"-\n")
        answers.flush()


if __name__ == "__main__":
    main()
