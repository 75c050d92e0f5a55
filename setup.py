"""What pyproject.toml can not say: which modules are compiled, where LLM_ROUTER_COMPILE=1 asks for it.

Those of the request path become machine code by mypyc, from the same source and with the same behaviour: two thirds
of the processor time for a request. Without it the package is pure Python, and needs no compiler: docs/compiled.md.
"""

from __future__ import annotations

import os
import sys

from setuptools import setup

COMPILED = [
    "router/core/backlog.py",
    "router/core/breaker.py",
    "router/core/catalogue.py",
    "router/core/choice.py",
    "router/core/cost.py",
    "router/core/estimators.py",
    "router/core/events.py",
    "router/core/failover.py",
    "router/core/failure_rate.py",
    "router/core/filters.py",
    "router/core/hashing.py",
    "router/core/latency.py",
    "router/core/limits.py",
    "router/core/load.py",
    "router/core/plan.py",
    "router/core/prices.py",
    "router/core/quota.py",
    "router/core/retry.py",
    "router/core/retry_budget.py",
    "router/core/share.py",
    "router/core/simulator/foreseen.py",
    "router/core/standing.py",
    "router/core/steps.py",
    "router/core/strategies/adaptive.py",
    "router/core/strategies/affinity.py",
    "router/core/strategies/base.py",
    "router/core/strategies/comparing.py",
    "router/core/strategies/cost_based.py",
    "router/core/strategies/latency_based.py",
    "router/core/strategies/least_busy.py",
    "router/core/strategies/round_robin.py",
    "router/core/strategies/usage_based.py",
    "router/core/strategies/weighted.py",
    "router/core/tokens.py",
    "router/core/types.py",
    "router/core/window.py",
    "router/dialects/allowances.py",
    "router/dialects/azure.py",
    "router/dialects/head.py",
    "router/dialects/json_edit.py",
    "router/dialects/mock/dialect.py",
    "router/dialects/openai.py",
    "router/dialects/openai_stream.py",
    "router/dialects/recognise.py",
    "router/dialects/sse.py",
    "router/dialects/usage.py",
    "router/dialects/vllm.py",
    "router/edge/auth.py",
    "router/edge/date.py",
    "router/edge/fields.py",
    "router/edge/hot.py",
    "router/edge/hot_lane.py",
    "router/edge/inference.py",
    "router/edge/parameters/checking.py",
    "router/edge/parameters/own.py",
    "router/edge/repeated_head.py",
    "router/edge/service.py",
    "router/edge/socket_exchange.py",
    "router/edge/tags.py",
    "router/flow/accounting.py",
    "router/flow/admission.py",
    "router/flow/queue.py",
    "router/flow/relay.py",
    "router/flow/runner.py",
    "router/state/base.py",
    "router/state/memory.py",
    "router/telemetry/access_log.py",
    "router/telemetry/bound.py",
    "router/telemetry/bus.py",
    "router/telemetry/cells.py",
    "router/telemetry/metrics.py",
    "router/telemetry/writer.py",
    "router/upstream/base.py",
    "router/upstream/body.py",
    "router/upstream/channel.py",
    "router/upstream/chunk_lane.py",
    "router/upstream/client.py",
    "router/upstream/connection.py",
    "router/upstream/counters.py",
    "router/upstream/framing.py",
    "router/upstream/pool.py",
    "router/upstream/reading.py",
    "router/upstream/secured.py",
    "router/upstream/timer.py",
    "router/upstream/watch.py",
]


_ABOUT = frozenset({"dist_info", "egg_info"})
"""What is run to learn about the package: nothing need be translated for it."""


def extensions() -> list[object]:
    if os.environ.get("LLM_ROUTER_COMPILE") != "1" or _ABOUT.intersection(sys.argv):
        return []
    from mypyc.build import mypycify

    return list(mypycify([*COMPILED], opt_level="1", debug_level="0", multi_file=True))


setup(ext_modules=extensions(), options={"build_ext": {"parallel": os.cpu_count()}})
