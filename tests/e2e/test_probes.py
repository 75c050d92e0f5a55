"""Health checks with the real commands: a backend that says it is down is left alone before any request is sent."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.e2e.processes import at_once, deployment, fetch, mock_process, router_process, settings, until

HI = {"model": "m", "messages": [{"role": "user", "content": "say hi"}]}


def test_a_backend_whose_health_page_fails_gets_no_request_and_comes_back_with_it(tmp_path: Path) -> None:
    with ExitStack() as stack:
        sick, well = at_once(stack, mock_process(), mock_process())
        sick.behave(healthy=False)
        check = {"path": "/health", "interval": 0.5}
        config = settings(
            deployment(sick, "m", id="sick", health_check=check), deployment(well, "m", id="well", health_check=check)
        )
        router = stack.enter_context(router_process(config, tmp_path))

        def states() -> dict[str, str]:
            entries = router.status()["deployments"]
            return {entry["deployment"]: entry["breaker"] for entry in entries}

        until(lambda: states() == {"sick": "open", "well": "closed"}, 20.0)
        for _ in range(20):
            assert fetch(f"{router.url}/chat/completions", HI, "POST")[0] == 200
        assert (sick.stats()["completed"], well.stats()["completed"]) == (0, 20)

        sick.behave(healthy=True)
        until(lambda: states() == {"sick": "closed", "well": "closed"}, 20.0)

        def told() -> list[str]:
            return [event["event"] for event in router.events() if event.get("deployment") == "sick"]

        until(lambda: told() == ["cooldown", "recovered"])
        assert router.metric('router_probes_total{deployment="well",outcome="ok"}') > 0
        assert router.terminate() == 0
