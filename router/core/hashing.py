"""Hashes that come out the same in every process, as sharing a decision without talking needs."""

from __future__ import annotations

import hashlib

_64_BITS = 0xFFFF_FFFF_FFFF_FFFF
_LEAST, _MOST = 2.0**20, 2.0**26
"""Large enough for two keys that are near each other to part, and for a float to keep 27 bits behind the point."""


def hash_of(text: str) -> int:
    """64 bits made from `text`."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def part_of_one(bits: int) -> float:
    """64 bits as a number in [0, 1]."""
    return bits / 2.0**64


def stretch(bits: int) -> float:
    """A factor made from 64 bits. `part_of_one(key) * stretch(place) % 1.0` is a hash of both at the price of a
    multiplication: multiplicative hashing by a factor of each place's own (Dietzfelbinger et al., 1997)."""
    return _LEAST + part_of_one(bits) * (_MOST - _LEAST)


def mix(bits: int) -> int:
    """64 bits in which every bit of `bits` shows. Source: the finalizer of SplitMix64 (Steele, Lea and Flood, 2014)."""
    bits &= _64_BITS
    bits = ((bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
    bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & _64_BITS
    return bits ^ (bits >> 31)
