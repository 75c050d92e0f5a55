"""The open set of providers, by the name `provider` gives in a deployment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from router.core.types import PROMPTED
from router.dialects.azure import AzureDialect, Tokens, no_tokens
from router.dialects.base import Dialect
from router.dialects.mock.dialect import MockDialect
from router.dialects.openai import OpenAIDialect
from router.dialects.prompt.dialect import PromptDialect
from router.dialects.sagemaker import SageMakerDialect
from router.dialects.tgi.dialect import TGIDialect
from router.dialects.vllm import VLLMDialect

PROVIDERS: Mapping[str, Callable[[], Dialect]] = MappingProxyType(
    {
        "openai": OpenAIDialect,
        "azure": AzureDialect,
        "vllm": VLLMDialect,
        "huggingface": TGIDialect,
        "sagemaker": SageMakerDialect,
        "mock": MockDialect,
    }
)


def dialects(tokens: Tokens = no_tokens) -> dict[str, Dialect]:
    """One of each, by `Deployment.dialect`: every provider's own, and the one around it that makes prompts. `tokens`
    are those of Entra ID."""
    own = {name: make() for name, make in PROVIDERS.items()}
    own["azure"] = AzureDialect(tokens)
    return {**own, **{name + PROMPTED: PromptDialect(dialect) for name, dialect in own.items()}}
