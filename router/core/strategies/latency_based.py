"""Where the answer should come soonest."""

from __future__ import annotations

from collections.abc import Sequence

from router.core.load import Candidate, Snapshot
from router.core.share import share
from router.core.strategies.base import Inputs
from router.core.strategies.comparing import Timed
from router.core.types import RouteRequest


class LatencyBased(Timed):
    """The lower of two random ones: expected seconds × (own + siblings' in-flight + 1) / share.

    Expected seconds are a stream's time to first token for a prompt of this length, or a whole reply's seconds per
    output token × the expected output; the two are measured apart (see `latency`). The mean is sensitive to peaks: a
    sample above it replaces it at once, lower ones and silence pull it down over 10 s, so a deployment that was slow or
    failed once is tried again. Source: Finagle's and linkerd's peak-EWMA balancers. Two choices, for everyone would
    run to the one that answered fastest last. Wrong where slow is right, as with a larger model under the same name.
    """

    def of_two(self, candidates: Sequence[Candidate], view: Snapshot) -> bool:
        return True

    def times(self, request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot) -> list[float | None]:
        return expected_times(request, candidates, view)

    def rests(self, request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot) -> list[float]:
        now = view.now
        return [(each.load.in_flight + each.load.siblings + 1) / share(each, now) for each in candidates]

    def inputs(self, request: RouteRequest, candidate: Candidate, view: Snapshot) -> Inputs:
        return {
            "expected_seconds": expected_times(request, [candidate], view)[0],
            "in_flight": candidate.load.in_flight,
            "siblings": candidate.load.siblings,
            "share": share(candidate, view.now),
        }


def expected_times(request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot) -> list[float | None]:
    """Seconds until each would have answered, were it idle as usual; None without a sample."""
    now, stream, prompt = view.now, request.stream, request.estimate.prompt_tokens
    output = 0.0 if stream else view.expected_output(request, candidates[0].deployment.model_name)
    return [candidate.load.latency.expected(now, stream, prompt, output) for candidate in candidates]
