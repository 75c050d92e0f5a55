"""The configuration: `router.yaml` and the environment, checked strictly and told about in full."""

from router.config.load import Config, load
from router.config.report import describe
from router.config.schema import Settings
from router.config.schema_json import schema_text

__all__ = ["Config", "Settings", "describe", "load", "schema_text"]
