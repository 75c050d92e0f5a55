"""Random stories: catalogues with one to three groups, whatever upstreams do, and clients who stay or go."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from router.core.catalogue import Catalogue
from router.core.strategies import STRATEGIES
from router.core.types import CooldownPolicy, Deployment, HedgingPolicy, ModelGroup, RoutingPolicy
from tests.flow.behaviours import EITHER, STREAMS, WHOLES
from tests.flow.stories import Asks, Story, deployments_of

NAMES = ("alpha", "beta", "gamma")
WILDCARD = "vendor/*"

few = st.integers(min_value=1, max_value=3)
moments = st.integers(min_value=0, max_value=12).map(lambda halves: halves / 2)
cooldowns = st.builds(
    CooldownPolicy,
    allowed_fails=st.sampled_from((1, 1, 2, 3)),
    error_rate=st.sampled_from((0.3, 0.5, 1.0)),
    min_requests=st.integers(min_value=1, max_value=6),
    window=st.sampled_from((10.0, 30.0)),
    base=st.sampled_from((0.5, 2.0, 5.0)),
    max=st.sampled_from((5.0, 20.0)),
)


@st.composite
def policies(draw: st.DrawFn, name: str) -> RoutingPolicy:
    others = [other for other in (*NAMES, "vendor/large") if other != name]
    lists = st.lists(st.sampled_from(others), max_size=3, unique=True).map(tuple)
    return RoutingPolicy(
        strategy=draw(st.sampled_from(sorted(STRATEGIES))),
        num_retries=draw(st.sampled_from((2, 0, 1, 4))),
        max_attempts=draw(st.sampled_from((6, 1, 2, 3))),
        timeout=60.0,
        attempt_timeout=draw(st.sampled_from((4.0, 20.0))),
        connect_timeout=draw(st.sampled_from((0.5, 5.0))),
        first_token_timeout=draw(st.sampled_from((1.0, 3.0, 60.0))),
        stream_idle_timeout=draw(st.sampled_from((1.0, 5.0))),
        fallbacks=draw(lists),
        context_window_fallbacks=draw(lists),
        content_policy_fallbacks=draw(lists),
        cooldown=draw(cooldowns),
        hedging=draw(st.sampled_from((None, HedgingPolicy()))),
    )


@st.composite
def deployments(draw: st.DrawFn, group: str, id: str) -> Deployment:
    keys = tuple(f"key-{n}-of-{id}" for n in range(draw(st.integers(min_value=0, max_value=3))))
    return Deployment(
        id=id,
        model_name=group,
        provider="openai",
        model="*" if "*" in group else f"model-of-{id}",
        api_base=f"http://{id}.test/v1",
        api_keys=keys,
        mode=draw(st.sampled_from((None,) * 4 + ("chat", "embedding"))),
        weight=draw(st.sampled_from((0.5, 1.0, 3.0))),
        priority=draw(st.integers(min_value=0, max_value=1)),
        context_window=draw(st.sampled_from((None, None, None, 100))),
        headers={"x-account": f"account-of-{id}"},
        enabled=draw(st.sampled_from((True,) * 5 + (False,))),
    )


@st.composite
def catalogues(draw: st.DrawFn) -> Catalogue:
    names = [*NAMES[: draw(few)], WILDCARD]
    made: list[Deployment] = []
    groups: list[ModelGroup] = []
    for name in names:
        own: list[Deployment] = []
        for number in range(draw(st.integers(min_value=1, max_value=5 if name != WILDCARD else 2))):
            deployment = draw(deployments(name, f"{name.partition('/')[0]}-{number}"))
            if made and name != WILDCARD and draw(st.integers(min_value=0, max_value=4)) == 0:
                # One backend under two names: all that makes it the same, under an id of its own.
                same = draw(st.sampled_from(made))
                deployment = replace(
                    deployment, api_base=same.api_base, api_keys=same.api_keys, model=same.model, backend=same.backend,
                    headers=same.headers,
                )  # fmt: skip
            own.append(deployment)
        made += own
        tiers = [tuple(d for d in own if d.priority == priority) for priority in (0, 1)]
        groups.append(ModelGroup(name, tuple(tier for tier in tiers if tier), draw(policies(name))))
    concrete = {group.name: group for group in groups if group.name != WILDCARD}
    return Catalogue(concrete, {"nick": "alpha"}, tuple(group for group in groups if group.name == WILDCARD))


@st.composite
def clients(draw: st.DrawFn, catalogue: Catalogue) -> Asks:
    known = [*catalogue.groups, "nick", "vendor/small"]
    leaves = draw(st.one_of(st.none(), st.none(), moments))
    return Asks(
        model=draw(st.sampled_from(known)),
        stream=draw(st.booleans()),
        at=draw(moments),
        timeout=draw(st.sampled_from((0.3, 1.0, 2.0, 5.0, 30.0))),
        tokens=draw(st.sampled_from((10, 10, 200))),
        num_retries=draw(st.one_of(st.none(), st.integers(min_value=0, max_value=9))),
        fallbacks=draw(st.one_of(st.none(), st.lists(st.sampled_from(known), max_size=2).map(tuple))),
        leaves=leaves,
        steps=0 if leaves is None else draw(st.integers(min_value=0, max_value=12)),
        hangs_up_at=draw(st.one_of(st.none(), st.none(), st.integers(min_value=1, max_value=6))),
        rest=draw(st.sampled_from((0.0, 0.0, 0.5, 100.0))),
    )


@st.composite
def stories(draw: st.DrawFn) -> Story:
    catalogue = draw(catalogues())
    hosts = sorted({deployment.api_base[7:-3] for deployment in deployments_of(catalogue)})
    step = st.one_of(st.sampled_from(tuple(EITHER)), st.sampled_from((*STREAMS, *WHOLES)))
    behaviours = {host: tuple(draw(st.lists(step, min_size=1, max_size=4))) for host in hosts}
    asks = tuple(draw(st.lists(clients(catalogue), min_size=1, max_size=8)))
    seed = draw(st.integers(min_value=0, max_value=2**16))
    return Story(catalogue, behaviours, asks, seed, draw(st.sampled_from((0.0, 0.0005))))
