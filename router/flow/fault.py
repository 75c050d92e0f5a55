"""Whose fault a failure is."""

from __future__ import annotations

from router.core.errors import FailureKind, UpstreamFailure
from router.core.types import RouteRequest
from router.upstream.base import Timing


def is_no_fault(failure: UpstreamFailure, timing: Timing, route: RouteRequest, attempts: int) -> bool:
    """Whether a failure says nothing about the deployment: the request's deadline cut it off, which its client had
    chosen or earlier attempts had used up; or the client asked for so much, or read it so slowly, that a stream in
    good health took too long."""
    if failure.kind is not FailureKind.ATTEMPT_TIMEOUT:
        return False
    cut_short = timing.deadline >= route.deadline and (route.hurried or attempts > 1)
    return failure.sent_bytes or cut_short
