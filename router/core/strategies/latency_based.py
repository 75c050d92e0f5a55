"""Where the answer should come soonest."""

from __future__ import annotations

from collections.abc import Sequence

from router.core.load import Candidate, Snapshot
from router.core.share import share
from router.core.strategies.base import Inputs
from router.core.strategies.comparing import Timed
from router.core.types import RouteRequest


class LatencyBased(Timed):
    """Lowest expected time / share.

    A stream's is its time to first token: what a prompt of this length takes an idle backend, as things are there now,
    plus the wait behind what is under way (see `latency` and `backlog`). A whole reply's is seconds per output token ×
    the expected output × (own + siblings' in-flight + 1); in a large tier, and beside siblings, the lower of two.

    Sources: join the shortest expected delay (Banawan and Zahorjan, "Load Sharing in Heterogeneous Queueing Systems",
    1989); for whole replies, and for how things are now, Finagle's and linkerd's peak-EWMA balancers: a sample above
    the mean replaces it at once, lower ones and silence pull it down over 10 s, so a deployment that was slow or failed
    once is tried again. Needs samples. Wrong where slow is right, as with a larger model under the same name; and where
    requests are not served in the order in which they came, or differ so much in length of output that their number
    says little about the wait.
    """

    def factors(
        self, request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot
    ) -> tuple[list[float | None], list[float]]:
        now, stream = view.now, request.stream
        prompt = view.prompt_tokens(request, candidates[0].deployment.model_name)
        output = output_to_wait_for(request, candidates, view)
        times: list[float | None] = []
        rests: list[float] = []
        for candidate in candidates:
            load = candidate.load
            time, under_way = load.latency.expected(now, stream, prompt, output), load.in_flight + load.siblings
            if stream and time:
                rest = load.backlog.longer(under_way, time)
            else:
                rest = under_way + 1.0
            standing = load.standing
            times.append(time)
            rests.append(rest if now >= standing.whole_at else rest / standing.share(now))
        return times, rests

    def inputs(self, request: RouteRequest, candidate: Candidate, view: Snapshot) -> Inputs:
        load = candidate.load
        return {
            "idle_seconds": idle_seconds(request, candidate, view),
            "wait_seconds": load.backlog.wait(load.in_flight + load.siblings),
            "in_flight": load.in_flight,
            "siblings": load.siblings,
            "room": load.backlog.room,
            "share": share(candidate, view.now),
        }


def output_to_wait_for(request: RouteRequest, candidates: Sequence[Candidate], view: Snapshot) -> float:
    """Tokens to expect of a reply that comes whole; 0 of a stream."""
    return 0.0 if request.stream else view.expected_output(request, candidates[0].deployment.model_name)


def idle_seconds(request: RouteRequest, candidate: Candidate, view: Snapshot) -> float | None:
    """Until `candidate` would have answered if nobody had to wait there; None without a sample."""
    prompt = view.prompt_tokens(request, candidate.deployment.model_name)
    output = output_to_wait_for(request, [candidate], view)
    return candidate.load.latency.expected(view.now, request.stream, prompt, output)
