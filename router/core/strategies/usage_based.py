"""Where the most of the limits is left."""

from __future__ import annotations

from collections.abc import Sequence

from router.core.limits import headroom
from router.core.load import Candidate, Snapshot
from router.core.share import share
from router.core.strategies.base import Inputs
from router.core.strategies.comparing import Comparing
from router.core.types import RouteRequest


class UsageBased(Comparing):
    """Most headroom × share; headroom = min(1 − rpm used / rpm, 1 − tpm used / tpm), in [0, 1].

    Reservations count as used, and what upstream itself said last of what remains lowers it: see `limits.headroom`. It
    spends quotas evenly, so that none runs out before the others. Needs `rpm` or `tpm`, or an upstream that names its
    limits. Wrong where limits are not what is scarce: one without a limit has all of its headroom however busy it is,
    and gets everything, shared at random with others like it.
    """

    def scores(self, request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot) -> list[float]:
        now = view.now
        return [-headroom(candidate, now) * share(candidate, now) for candidate in candidates]

    def inputs(self, request: RouteRequest, candidate: Candidate, view: Snapshot) -> Inputs:
        return {"headroom": headroom(candidate, view.now), "share": share(candidate, view.now)}
