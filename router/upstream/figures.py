"""What the client has done and has open, by the names of its metrics."""

from __future__ import annotations

from collections.abc import Iterator

from router.upstream.client import HttpUpstream


def figures(upstream: HttpUpstream) -> Iterator[tuple[str, tuple[str, ...], float]]:
    """(metric, label values, number), read at every scrape."""
    counters, pool = upstream.counters, upstream.pool.sizes()
    yield "router_upstream_connections", ("idle",), pool.idle
    yield "router_upstream_connections", ("busy",), pool.busy
    yield "router_upstream_connections", ("opening",), pool.opening
    yield "router_upstream_waiting", (), pool.waiting
    yield "router_upstream_opened_total", (), counters.opened
    yield "router_upstream_not_opened_total", (), counters.not_opened
    yield "router_upstream_reused_total", (), counters.reused
    yield "router_upstream_replaced_total", (), counters.replaced
    yield "router_upstream_waited_total", (), counters.waited
    for closed, count in counters.closed.items():
        yield "router_upstream_closed_total", (closed.value,), count
    for refused, count in counters.refused.items():
        yield "router_upstream_refused_replies_total", (refused.value,), count
