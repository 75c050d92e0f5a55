"""What a client has set of a deployment for one request, and what that makes of the deployment.

What it says is for its own model group only: a fallback is served as it is configured, so that nobody's credentials
reach anybody else. Whatever comes of such an attempt says nothing about the deployment (I10).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from router.core.types import Deployment

OWN_GROUP = "client"
"""What the model group of a client's own deployments is called, in metrics and logs too."""


def _as_it_is(deployment: Deployment) -> Deployment:
    return deployment


@dataclass(frozen=True, slots=True)
class Override:
    """None and empty: as configured. `headers` by lower-cased name; `adapt` changes what only the provider knows.

    `own_group`: the model group is made of deployments that the client has named.
    """

    deployment_id: str | None = None
    api_key: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    adapt: Callable[[Deployment], Deployment] = field(default=_as_it_is, repr=False)
    own_group: bool = False

    def applied(self, deployment: Deployment) -> Deployment:
        """`deployment` as this one request is to see it."""
        changed = self.adapt(replace(deployment, transient=True))
        if self.deployment_id is not None and deployment.provider == "azure":
            changed = replace(changed, model=self.deployment_id, template=None)
        if self.headers:
            own = {name.lower(): value for name, value in deployment.headers.items()}
            changed = replace(changed, headers={**own, **self.headers})
        return changed
