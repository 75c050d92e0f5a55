"""Azure OpenAI: OpenAI's format under addresses, and with credentials, of its own.

With an `api_version` that is a date, a deployment is part of the path (`/openai/deployments/NAME/chat/completions`);
without one, or with `v1`, `preview` or `latest`, it is the body's `model` under `/openai/v1`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from router.core.errors import FailureKind, UpstreamFailure
from router.core.types import Deployment, Kind
from router.dialects.base import InferenceRequest, WireRequest
from router.dialects.openai import PATHS, OpenAIDialect

UNVERSIONED = ("", "v1", "preview", "latest")
USAGE_SINCE = "2024-09-01"
"""The first version that knows `stream_options`; older ones refuse it."""


@dataclass(frozen=True, slots=True)
class EntraOptions:
    """How to sign in with Entra ID. With a secret: as that application; without: as whoever this machine is.

    `authority` is where, as `https://host`, empty for Azure's own; `scope` is what for.
    """

    tenant_id: str = ""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    authority: str = ""
    scope: str = "https://cognitiveservices.azure.com/.default"


@dataclass(frozen=True, slots=True)
class AzureOptions:
    """`entra`: sign in with a token; None: with the key."""

    api_version: str = ""
    entra: EntraOptions | None = None


_DEFAULT = AzureOptions()
Tokens = Callable[[EntraOptions], str | None]
"""The token in force for an identity, from memory; None where there is none."""


def no_tokens(identity: EntraOptions) -> str | None:
    """Nobody signs in."""
    return None


class AzureDialect(OpenAIDialect):
    """`tokens` is where those of Entra ID come from."""

    def __init__(self, tokens: Tokens = no_tokens) -> None:
        super().__init__()
        self.tokens = tokens

    def encode(self, request: InferenceRequest, deployment: Deployment, key: str) -> WireRequest:
        """Raises UpstreamFailure(CONNECT) where there is no token to sign in with."""
        wire = super().encode(request, deployment, key)
        identity = options_of(deployment).entra
        if identity is None or key:
            return wire
        token = self.tokens(identity)
        if token is None:
            raise UpstreamFailure(FailureKind.CONNECT, "no Entra ID token")
        line, _, fields = wire.head.partition(b"\r\n")
        return wire._replace(head=b"%b\r\nauthorization: Bearer %b\r\n%b" % (line, token.encode("latin-1"), fields))

    def credentials(self, key: str) -> tuple[str, str]:
        return "api-key", key

    def path(self, base: str, deployment: Deployment, kind: Kind) -> str:
        version = options_of(deployment).api_version
        base = base.removesuffix("/v1").removesuffix("/openai")
        if version not in UNVERSIONED:
            return f"{base}/openai/deployments/{quote(deployment.model, safe='')}{PATHS[kind]}?api-version={version}"
        query = f"?api-version={version}" if version in ("preview", "latest") else ""
        return f"{base}/openai/v1{PATHS[kind]}{query}"

    def tells_usage(self, deployment: Deployment) -> bool:
        version = options_of(deployment).api_version
        return version in UNVERSIONED or version >= USAGE_SINCE


def options_of(deployment: Deployment) -> AzureOptions:
    return deployment.options if isinstance(deployment.options, AzureOptions) else _DEFAULT


def has_own_path(api_base: str) -> bool:
    """Whether an address goes further than a resource's: `/openai` or `/openai/v1` may stand behind it."""
    return urlsplit(api_base).path.rstrip("/") not in ("", "/openai", "/openai/v1")
