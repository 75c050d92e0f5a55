"""The owner's call, as typed, against the configuration as shipped."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.processes import ROOT, Router, router_process

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")

AS_TYPED = """\
curl -X POST http://127.0.0.1:4000/v1/chat/completions -H "Content-Type: application/json" -d '{"model": \
"gpt-3.5-turbo", "messages": [{"role": "user", "content": "Hello!"}], "temperature": 1, "max_tokens": 150, "stream": \
false, "response_format": {"type": "json_object"}, "tools": [{"type": "function", "function": {"name": "get_weather", \
"description": "Get the current weather in a given location", "parameters": {"type": "object", "properties": \
{"location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"}}, "required": \
["location"]}}}], "tool_choice": "auto"}'"""


def typed(command: str, router: Router) -> subprocess.CompletedProcess[str]:
    """In a shell, with nothing but the port changed."""
    there = command.replace(":4000", f":{router.port}")
    return subprocess.run(["sh", "-c", there], capture_output=True, text=True, check=True, timeout=30)


def test_the_owners_call_is_answered_without_a_key(tmp_path: Path) -> None:
    with router_process(ROOT / "router.yaml", tmp_path) as router:
        reply = json.loads(typed(AS_TYPED, router).stdout)
        assert reply["object"] == "chat.completion"
        (choice,) = reply["choices"]
        assert (choice["message"]["role"], choice["finish_reason"]) == ("assistant", "stop")
        assert json.loads(choice["message"]["content"])  # it asked for JSON
        assert reply["usage"]["completion_tokens"] <= 150

        shown = typed(AS_TYPED.replace("curl ", "curl -i ", 1), router).stdout
        assert re.match(r"HTTP/1\.1 200 ", shown)
        assert re.search(r"^x-router-model: demo\r?$", shown, re.MULTILINE)
        assert re.search(r"^x-router-deployment: demo-\w+\r?$", shown, re.MULTILINE)


def test_a_few_calls_show_routing_at_work(tmp_path: Path) -> None:
    with router_process(ROOT / "router.yaml", tmp_path) as router:
        command = AS_TYPED.replace("curl ", "curl -s -i ", 1)
        shown = [typed(command, router).stdout for _ in range(12)]
        assert all(text.startswith("HTTP/1.1 200 ") for text in shown)
        found = [re.search(r"x-router-deployment: (\S+)", text) for text in shown]
        assert len({match[1] for match in found if match}) > 1
        attempts = [re.search(r"x-router-attempts: (\d+)", text) for text in shown]
        assert max(int(match[1]) for match in attempts if match) > 1  # the broken deployment was asked, and made good


def test_the_readmes_first_call_streams(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    found = re.search(r"^curl -N .*?'$", readme, re.MULTILINE | re.DOTALL)
    assert found
    with router_process(ROOT / "router.yaml", tmp_path) as router:
        lines = typed(found[0], router).stdout.split("\n\n")
        assert all(line.startswith("data: ") for line in lines if line)
        assert lines[-2:] == ["data: [DONE]", ""]
