"""The part of its weight that a backend gets now."""

from __future__ import annotations

from router.core.load import Candidate


def share(candidate: Candidate, now: float) -> float:
    """In (0, 1]: below 1 while it comes back from a cooldown, and while it answers badly. See `standing`."""
    standing = candidate.load.standing
    return 1.0 if now >= standing.whole_at else standing.share(now)


def effective_weight(candidate: Candidate, now: float) -> float:
    """weight × share: what every strategy that goes by weight goes by."""
    weight = candidate.deployment.weight
    standing = candidate.load.standing
    return weight if now >= standing.whole_at else weight * standing.share(now)
