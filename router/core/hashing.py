"""Hashes that come out the same in every process, as sharing a decision without talking needs."""

from __future__ import annotations

import hashlib

_64_BITS = 0xFFFF_FFFF_FFFF_FFFF


def hash_of(text: str) -> int:
    """64 bits made from `text`."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def mix(bits: int) -> int:
    """64 bits in which every bit of `bits` shows. Source: the finalizer of SplitMix64 (Steele, Lea and Flood, 2014)."""
    bits &= _64_BITS
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & _64_BITS
    return bits ^ (bits >> 31)
