"""The mock provider speaks OpenAI's format; without an `api_base` it is answered in this process."""

from __future__ import annotations

from router.core.types import Deployment
from router.dialects.base import Origin
from router.dialects.openai import OpenAIDialect

IN_PROCESS = Origin("mock", "mock", 0)


class MockDialect(OpenAIDialect):
    def origin(self, deployment: Deployment) -> Origin:
        return super().origin(deployment) if deployment.api_base else IN_PROCESS
