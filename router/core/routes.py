"""A catalogue bound to the live load of its backends: what one configuration routes by.

A reload makes new routes; a request goes on with those it began with, so that nothing is pulled from under it. Load and
health live in `BackendLoad`s, which the new routes share with the old wherever the backend is the same. A key's health
follows the key: to another place in the list, and into the new backend that its account becomes when another key is
added or replaced.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field

from router.core.catalogue import Catalogue
from router.core.keys import KeyHealth
from router.core.load import BackendLoad, Candidate
from router.core.tier import Tier
from router.core.types import Deployment, ModelGroup, RoutingPolicy

KeyPlace = tuple[str, str, str, str]
"""Where a key is used: provider, `api_base` (the deployment's id, where it has none), upstream model, and the key."""


@dataclass(frozen=True, slots=True, eq=False)
class Routes:
    """`tiers` and `policies` by model name, `loads` by backend, `keys` by where they are used."""

    catalogue: Catalogue
    tiers: Mapping[str, tuple[Tier, ...]] = field(default_factory=dict)
    policies: Mapping[str, RoutingPolicy] = field(default_factory=dict)
    loads: Mapping[str, BackendLoad] = field(default_factory=dict)
    keys: Mapping[KeyPlace, KeyHealth] = field(default_factory=dict, repr=False)

    def deployments(self) -> list[Deployment]:
        return [candidate.deployment for tiers in self.tiers.values() for tier in tiers for candidate in tier]

    def is_last_closed(self, group: str, backend: str) -> bool:
        """Whether no other backend of the group has a closed breaker."""
        return not any(
            candidate.load.breaker.open_until is None
            for tier in self.tiers.get(group, ())
            for candidate in tier
            if candidate.deployment.enabled and candidate.deployment.backend != backend
        )


NO_ROUTES = Routes(Catalogue({}))


def bind(catalogue: Catalogue, old: Routes, loads: Mapping[str, BackendLoad]) -> Routes:
    """Routes for `catalogue` after `old`. `loads` are the backends known already.

    Changes nothing that is in use, and so may run on another thread: for thousands of deployments it takes a while.
    """
    bound: dict[str, BackendLoad] = {}
    keys: dict[KeyPlace, KeyHealth] = {}
    groups = [*catalogue.groups.values(), *catalogue.wildcards]
    for deployment in (deployment for group in groups for tier in group.tiers for deployment in tier):
        backend = deployment.backend
        load = bound.get(backend) or loads.get(backend) or _fresh(deployment, old, keys)
        bound[backend] = load
        keys.update(zip(_places(deployment, load.api_keys), load.keys, strict=False))
    return Routes(
        catalogue,
        {group.name: _tiers(group, bound) for group in groups},
        {group.name: group.policy for group in groups},
        bound,
        keys,
    )


def with_group(routes: Routes, group: ModelGroup) -> Routes:
    """The same with one group more, which shares no load with anybody: for the one request that brought it."""
    loads = {deployment.backend: BackendLoad(len(deployment.api_keys)) for tier in group.tiers for deployment in tier}
    for tier in group.tiers:
        for deployment in tier:
            loads[deployment.backend].api_keys = deployment.api_keys
    return Routes(
        routes.catalogue,
        ChainMap({group.name: _tiers(group, loads)}, routes.tiers),  # type: ignore[arg-type]
        ChainMap({group.name: group.policy}, routes.policies),  # type: ignore[arg-type]
        loads,
    )


def _fresh(deployment: Deployment, old: Routes, keys: Mapping[KeyPlace, KeyHealth]) -> BackendLoad:
    load = BackendLoad(len(deployment.api_keys))
    load.api_keys = tuple(sorted(deployment.api_keys))
    for position, place in enumerate(_places(deployment, load.api_keys)):
        known = keys.get(place) or old.keys.get(place)
        if known is not None:
            load.keys[position] = known
            load.heard = load.heard or known.quota is not None
    return load


def _places(deployment: Deployment, keys: tuple[str, ...]) -> list[KeyPlace]:
    where = deployment.api_base or deployment.id
    return [(deployment.provider, where, deployment.model, key) for key in keys]


def _tiers(group: ModelGroup, loads: Mapping[str, BackendLoad]) -> tuple[Tier, ...]:
    tiers = tuple(Tier(Candidate(deployment, loads[deployment.backend]) for deployment in tier) for tier in group.tiers)
    for tier in tiers:
        tier.prepare(ring=group.policy.strategy == "affinity")
    return tiers
