"""Who may come in, and within which limits, as the configuration has it."""

from __future__ import annotations

from router.config.load import Config
from router.config.schema import KeySettings
from router.config.schema_deployment import strict_of
from router.core.grants import Grants, parse_host
from router.core.types import NO_LIMITS, Budget, Limits, LimitSubject, Principal
from router.edge.auth import Key
from router.flow.admission import KEY


def keys_of(config: Config) -> list[Key]:
    """The keys that open the door, the master key among them."""
    auth = config.settings.auth
    keys = [Key(item.key.get_secret_value(), principal_of(item), item.expires) for item in auth.keys]
    master = auth.master_key.get_secret_value()
    if master:
        keys.append(Key(master, Principal("master", (), admin=True)))
    return keys


def principal_of(key: KeySettings) -> Principal:
    """Who a configured key stands for, and within which limits."""
    rpm, tpm = (None if limit is None else limit.limit for limit in (key.rpm, key.tpm))
    limits = Limits(rpm, tpm, key.max_parallel_requests, strict_of(key.rpm, key.tpm))
    budget = None if key.max_budget is None else Budget(key.max_budget, key.budget_period)
    subject = None if limits == NO_LIMITS and budget is None else LimitSubject(KEY + key.name, limits, budget)
    grants = Grants(frozenset(key.allow), frozenset(map(parse_host, key.allowed_hosts))) if key.allow else None
    models = tuple(key.models)
    return Principal(key.name, models, priority=key.priority, subject=subject, team=key.team or "", grants=grants)
