"""`docs/metrics.md`, from the table: `python -m router.telemetry.page > docs/metrics.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from router.telemetry.table import TABLE, Row

_HEAD = """\
# Metrics

Every metric on `GET /metrics`. This page is made from `router/telemetry/table.py` (`make docs`); a test fails where the
two differ.

The four `gen_ai_*` names are OpenTelemetry's conventions for generative AI; `router_*` are the router's own, and
`process_*` are what every Prometheus client tells. Label values come from `router.yaml` and from closed sets only:
nothing that clients or upstreams send ever becomes one. A model that is not configured is `other`, one that matches a
wildcard is the wildcard.
`model` is what was asked for, except where it stands beside `deployment`: there it is the model that deployment serves.

With several workers, numbers are added up, except for gauges marked otherwise: of those it is the largest or the
smallest.
"""


def page() -> str:
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _HEAD
    for section, rows in TABLE.items():
        yield f"## {section}\n"
        yield "| name | type | unit | labels | meaning |"
        yield "|---|---|---|---|---|"
        for row in rows:
            labels = ", ".join(f"`{label}`" for label in row.labels)
            yield f"| `{row.name}` | {_type(row)} | {row.unit or '–'} | {labels or '–'} | {row.help} |"
        yield ""
        for row in rows:
            if row.bounds:
                yield f"Buckets of `{row.name}`: {', '.join(f'{bound:.10g}' for bound in row.bounds)}.\n"


def _type(row: Row) -> str:
    return row.type if row.merge == "sum" else f"{row.type}, {row.merge}"


if __name__ == "__main__":
    sys.stdout.write(page())
