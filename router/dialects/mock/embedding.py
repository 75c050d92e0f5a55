"""Embeddings: unit vectors made from a hash of the input, the same on every machine."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Mapping
from math import sqrt
from typing import Any

import orjson

from router.dialects.mock.text import as_inputs

_DEFAULT_DIMENSIONS = {"text-embedding-3-large": 3072}
_MAX_DIMENSIONS = 16_384


def embeddings(body: Mapping[str, Any], *, empty: bool) -> tuple[bytes, int]:
    """The reply to an `/embeddings` body, and its tokens. Raises ValueError for dimensions that are none."""
    model = str(body["model"])
    inputs = as_inputs(body.get("input", ""))
    dimensions = body.get("dimensions")
    if dimensions is None:
        dimensions = _DEFAULT_DIMENSIONS.get(model, 1536)
    if isinstance(dimensions, bool) or not isinstance(dimensions, int) or not 0 < dimensions <= _MAX_DIMENSIONS:
        raise ValueError(f"dimensions is a whole number from 1 to {_MAX_DIMENSIONS}")
    as_text = body.get("encoding_format") == "base64"
    data = []
    for index, (text, _) in enumerate(() if empty else inputs):
        packed = unit_vector(text, dimensions)
        value = base64.b64encode(packed).decode() if as_text else struct.unpack(f"<{dimensions}f", packed)
        data.append({"object": "embedding", "index": index, "embedding": value})
    tokens = max(sum(count for _, count in inputs), 1)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return orjson.dumps({"object": "list", "data": data, "model": model, "usage": usage}), tokens


def unit_vector(text: str, dimensions: int) -> bytes:
    """Little-endian float32 numbers of length 1 together."""
    noise = hashlib.shake_128(text.encode("utf-8", "surrogatepass")).digest(2 * dimensions)
    numbers = struct.unpack(f"<{dimensions}h", noise)
    length = sqrt(sum(number * number for number in numbers)) or 1.0
    return struct.pack(f"<{dimensions}f", *(number / length for number in numbers))
