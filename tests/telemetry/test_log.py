from __future__ import annotations

from typing import Any

import orjson
import pytest

from router.core.errors import FailureKind
from router.core.events import Attempted, Cooled, Event, Finished, Recovered, Reloaded
from router.telemetry.bus import EventBus
from router.telemetry.log import Log


def told(capfd: pytest.CaptureFixture[str], *events: Event) -> list[dict[str, Any]]:
    log, bus = Log(), EventBus()
    log.listen(bus)
    for event in events:
        bus(event)
    log.close()
    return [orjson.loads(line) for line in capfd.readouterr().err.splitlines()]


def test_a_cooldown_is_a_warning_with_its_facts(capfd: pytest.CaptureFixture[str]) -> None:
    (line,) = told(capfd, Cooled("east", FailureKind.RATE_LIMITED, 5.12345, 1))
    assert line.pop("time").endswith("Z")
    assert line == {
        "event": "cooldown",
        "level": "warning",
        "deployment": "east",
        "reason": "rate_limited",
        "seconds": 5.123,
        "key": 1,
    }


@pytest.mark.parametrize("reason", [FailureKind.AUTH, FailureKind.QUOTA, FailureKind.NOT_FOUND])
def test_what_only_the_operator_can_mend_is_an_error(reason: FailureKind, capfd: pytest.CaptureFixture[str]) -> None:
    (line,) = told(capfd, Cooled("east", reason, 300.0, 0))
    assert (line["event"], line["level"], line["reason"]) == ("cooldown", "error", reason.value)


def test_a_recovery_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    (line,) = told(capfd, Recovered("east"))
    assert (line["event"], line["level"], line["deployment"]) == ("recovered", "info", "east")


def test_a_configuration_that_is_refused_is_one_line_with_all_that_is_wrong(capfd: pytest.CaptureFixture[str]) -> None:
    wrong = ("router.yaml:3:5: server.prt: unknown setting", "router.yaml:9:1: model_list: there is no deployment")
    (line,) = told(capfd, Reloaded(0.0, 0.1, problems=wrong))
    assert (line["level"], line["problems"]) == ("error", list(wrong))


def test_settings_that_wait_for_a_restart_are_a_warning_of_their_own(capfd: pytest.CaptureFixture[str]) -> None:
    lines = told(capfd, Reloaded(0.0, 0.12345, fixed=("server.port", "state.redis_url")))
    assert [(line["level"], line["event"]) for line in lines] == [
        ("info", "configuration reloaded"),
        ("warning", "these settings change with the next restart only"),
    ]
    assert (lines[0]["seconds"], lines[1]["settings"]) == (0.123, ["server.port", "state.redis_url"])


def test_requests_and_attempts_are_not_this_logs_business(capfd: pytest.CaptureFixture[str]) -> None:
    assert told(capfd, Finished("r", "chat"), Attempted("gpt", "east", "openai", "connect", 1.0)) == []


def test_an_unforeseen_error_is_one_line_with_its_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    log = Log()
    try:
        raise LookupError("nobody\nforesaw")
    except LookupError as error:
        log.unforeseen("req-1", error)
    log.close()
    (line,) = capfd.readouterr().err.splitlines()
    shown = orjson.loads(line)
    assert shown["request_id"] == "req-1"
    assert shown["level"] == "error"
    assert "LookupError" in shown["exception"]
    assert "test_log.py" in shown["exception"]


def test_nothing_below_info_is_written(capfd: pytest.CaptureFixture[str]) -> None:
    log = Log()
    log.logger.debug("noise")
    log.close()
    assert capfd.readouterr().err == ""
