"""A chat through the real command, whose file has a template of its own, in front of a server of `/completions`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai

from tests.e2e.processes import deployment, mock_process, router_process, settings

TEMPLATE = "{% for m in messages %}{{ m.role | upper }}: {{ m.content }}\n{% endfor %}ASSISTANT:"


def test_a_chat_by_a_template_of_the_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "loud.jinja").write_text(TEMPLATE)
    with mock_process() as mock:
        place = deployment(mock, "m", provider="vllm", model="up", mode="completion", hf_model_name="loud")
        config = settings(place, chat_templates={"loud": {"file": "loud.jinja", "stop": ["<END>"]}})
        with router_process(config, tmp_path) as router, openai.OpenAI(base_url=router.url, api_key="any") as client:
            asked: Any = [{"role": "user", "content": "say hi"}]
            reply = client.chat.completions.create(model="m", messages=asked, max_tokens=50)
            assert reply.choices[0].message.content == "Hello from up! You said: USER: say hi ASSISTANT:"
            sent = json.loads(mock.requests()[-1]["body"])
            assert sent == {"model": "up", "prompt": "USER: say hi\nASSISTANT:", "max_tokens": 50, "stop": ["<END>"]}
            stream: Any = client.chat.completions.create(model="m", messages=asked, stream=True)
            said = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
            assert said.startswith("Hello from up! You said: ")
