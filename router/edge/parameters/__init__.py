"""The request's parameters: one table of them, the check of their types, and those that are the router's own."""

from router.edge.parameters.checking import bad, check
from router.edge.parameters.own import RouterParameters, take_own
from router.edge.parameters.table import REQUIRED

__all__ = ["REQUIRED", "RouterParameters", "bad", "check", "take_own"]
