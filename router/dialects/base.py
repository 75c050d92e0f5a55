"""The seam between flow and a provider's wire format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from router.core.errors import UpstreamFailure
from router.core.override import Override
from router.core.prompts import Prompt, PromptTemplate
from router.core.quota import Allowances
from router.core.types import TLS, Deployment, Kind, Usage
from router.dialects.support import Support

Headers = Mapping[bytes, bytes]
"""A response's header fields: names lower-cased, repeated fields joined by `, `."""


class Origin(NamedTuple):
    """Where connections of one pool go. `scheme` is `http`, `https` or `mock` (answered in this process)."""

    scheme: str
    host: str
    port: int
    tls: TLS = TLS()


class BodySource(Protocol):
    """A request body that is still coming from the client. `length` is in bytes; None: it is sent in chunks, and the
    head says so (`transfer-encoding: chunked`)."""

    @property
    def length(self) -> int | None: ...

    async def read(self) -> bytes:
        """The next piece, or nothing at the end. Raises what keeps the client's body from coming; a call that is
        cancelled loses nothing."""


class WireRequest(NamedTuple):
    """One request as upstream will read it: `head` ends with its blank line, `body` follows it.

    `source`, where there is one, is the body instead: it is read while it is sent, and so can be sent only once.
    """

    origin: Origin
    head: bytes
    body: bytes
    deployment: Deployment
    source: BodySource | None = None


@dataclass(slots=True)
class InferenceRequest:
    """A client's request: the body as it came and as parsed, and what the edge found out about it.

    `wants_usage` is whether the client itself asked for usage in the stream. `template` is what it says of the prompt,
    `prompt` what a deployment's template has made of its messages; `hops` are what other model groups are sent in its
    place, by their names. `override` is what its client has set of the deployments of its own group. `moves_filtered`:
    what a provider's content filter has cut off is a failure, since another model is meant to take it.
    """

    kind: Kind
    id: str
    raw: bytes
    body: dict[str, Any]
    stream: bool
    wants_usage: bool = False
    template: PromptTemplate | None = None
    prompt: Prompt | None = None
    hops: Mapping[str, InferenceRequest] | None = None
    override: Override | None = None
    moves_filtered: bool = False


class StreamDecoder(Protocol):
    """Turns upstream's stream into the client's, and notes the facts in passing.

    `feed` takes body bytes as they arrive, cut anywhere, and returns whole client-side frames ready to send.
    `end` is called at the end of upstream's body and returns what the client is still owed (the closing frames).
    """

    started: bool  # the first content, tool or reasoning event has been returned
    finished: bool  # upstream said that it is done; False at the end means a truncated stream
    failure: UpstreamFailure | None  # an in-band error of upstream's
    usage: Usage | None

    def feed(self, data: bytes) -> bytes: ...
    def end(self) -> bytes: ...


@runtime_checkable
class Recognises(Protocol):
    """A decoder that knows an event which may pass as it is by its shape alone."""

    def is_alike(self, data: bytes, start: int, end: int) -> bool:
        """Whether `data[start:end]` is one whole event like those before it, with no fact in it for anybody here."""


class Reply(NamedTuple):
    """A whole reply, ready for the client. `text`: the bytes of what the model wrote, where `usage` is not told."""

    body: bytes
    usage: Usage | None
    text: int = 0


class Dialect(Protocol):
    """One provider's wire format, with the client's side being OpenAI's.

    `support` tells what becomes of a chat completion's parameters, `text_support` the same where the chat is made into
    a text completion.
    """

    @property
    def support(self) -> Support: ...

    @property
    def text_support(self) -> Support: ...

    def encode(self, request: InferenceRequest, deployment: Deployment, key: str) -> WireRequest:
        """The request for `deployment`, signed with `key` ("" where it has none)."""

    def reply(self, request: InferenceRequest, headers: Headers, body: bytes) -> Reply:
        """A whole successful reply. Raises UpstreamFailure(BAD_REPLY) where it is none."""

    def decoder(self, request: InferenceRequest, headers: Headers) -> StreamDecoder:
        """A decoder for one successful stream."""

    def failure(self, status: int, headers: Headers, body: bytes) -> UpstreamFailure:
        """The facts of an error reply."""

    def allowances(self, headers: Headers) -> Allowances | None:
        """What any reply tells of upstream's limits; None where it does not."""
