"""How long work takes while a machine is slow, or hangs."""

from __future__ import annotations

import pytest

from router.core.simulator.model import FOREVER, MachineModel, Outage, OutageKind, SlowDown
from router.core.simulator.pace import Pace


def pace(*spans: Outage | SlowDown) -> Pace:
    return Pace(
        MachineModel(
            outages=tuple(span for span in spans if isinstance(span, Outage)),
            slow_downs=tuple(span for span in spans if isinstance(span, SlowDown)),
        ),
        origin=1000.0,
    )


HANG = Outage(10.0, 20.0, OutageKind.HANG)
SLOW = SlowDown(10.0, 20.0, 2.0)


@pytest.mark.parametrize(
    ("spans", "start", "work", "end"),
    [
        ((), 0.0, 5.0, 5.0),
        ((SLOW,), 0.0, 10.0, 10.0),
        ((SLOW,), 12.0, 2.0, 16.0),
        ((SLOW,), 8.0, 4.0, 14.0),
        ((SLOW,), 8.0, 8.0, 21.0),
        ((SLOW,), 20.0, 1.0, 21.0),
        ((HANG,), 8.0, 1.0, 9.0),
        ((HANG,), 8.0, 3.0, 21.0),
        ((HANG,), 15.0, 3.0, 23.0),
        ((SLOW, SlowDown(15.0, 30.0, 2.0)), 10.0, 5.0, 20.0 + (5.0 - 2.5 - 1.25) * 2.0),
        ((Outage(10.0, FOREVER, OutageKind.HANG),), 9.0, 2.0, FOREVER),
        ((SlowDown(10.0, FOREVER, 4.0),), 9.0, 2.0, 14.0),
        ((Outage(10.0, 20.0, OutageKind.UNAVAILABLE),), 9.0, 2.0, 11.0),
    ],
)
def test_work_takes_longer_while_the_machine_is_slow(
    spans: tuple[Outage | SlowDown, ...], start: float, work: float, end: float
) -> None:
    assert pace(*spans).finish(1000.0 + start, work) == pytest.approx(1000.0 + end)


def test_a_stream_falls_silent_where_it_hangs_for_long_enough() -> None:
    hung = pace(HANG)
    assert hung.silence(1005.0, 1030.0, 8.0) == 1018.0
    assert hung.silence(1015.0, 1030.0, 3.0) == 1018.0
    assert hung.silence(1005.0, 1030.0, 10.0) == FOREVER
    assert hung.silence(1021.0, 1030.0, 1.0) == FOREVER
    assert hung.silence(1005.0, 1009.0, 1.0) == FOREVER
