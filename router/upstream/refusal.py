"""Why a response was refused, in words that a metric can carry."""

from __future__ import annotations

from enum import StrEnum


class Refusal(StrEnum):
    """Bounded: fit for a metric label."""

    NOT_HTTP = "not_http"  # another protocol or version, or a response that nobody asked for
    SYNTAX = "syntax"  # a status line or field that is not well-formed: bare line feeds, folding, NUL, spaces
    LENGTH = "length"  # conflicting, repeated or unreadable lengths
    TRANSFER_CODING = "transfer_coding"  # any but a single `chunked`, or one beside a length
    CHUNK = "chunk"  # chunks that are not well-formed
    CONTENT_CODING = "content_coding"  # compressed, which nobody asked for
    STATUS = "status"  # no such status, or a switch of protocols
    INTERIM = "interim"  # too many interim responses, or one with a body
    HEAD_SIZE = "head_size"  # head or framing without an end
    FIELD_COUNT = "field_count"
    BODY_SIZE = "body_size"


class Malformed(Exception):
    """Not a well-framed HTTP/1 response, or past a limit. The text names no address and quotes nothing received."""

    def __init__(self, reason: Refusal, text: str) -> None:
        super().__init__(text)
        self.reason = reason


_PARSER_SAYS = (
    ("Transfer-Encoding", Refusal.TRANSFER_CODING),
    ("Content-Length", Refusal.LENGTH),
    ("chunk", Refusal.CHUNK),
    ("Chunk", Refusal.CHUNK),
    ("status code", Refusal.STATUS),
    ("response status", Refusal.STATUS),
    ("HTTP version", Refusal.NOT_HTTP),
    ("Expected HTTP", Refusal.NOT_HTTP),
)


def parser_s(text: str) -> Malformed:
    """What llhttp refused, by its own words for it."""
    for words, reason in _PARSER_SAYS:
        if words in text:
            return Malformed(reason, text)
    return Malformed(Refusal.SYNTAX, text)
