"""`api_base: unix:///run/model.sock:/v1`, from the configuration to the socket."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from router.config.upstream_fields import check_api_base
from router.core.types import Deployment
from router.dialects.base import InferenceRequest
from router.dialects.openai import OpenAIDialect
from router.upstream.client import HttpUpstream
from tests.upstream.scripted import OK, timing


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("unix:///run/model.sock:/v1", "unix:///run/model.sock:/v1"),
        ("unix:///run/model.sock:/v1/", "unix:///run/model.sock:/v1"),
        ("unix:///run/model.sock:/", "unix:///run/model.sock"),
        ("unix:///run/model.sock:", "unix:///run/model.sock"),
        ("unix:///run/Model.sock", "unix:///run/Model.sock"),
    ],
)
def test_a_socket_is_an_address(written: str, read: str) -> None:
    assert check_api_base(written) == read


@pytest.mark.parametrize(
    "address",
    [
        "unix://",
        "unix:///",
        "unix://host/run/model.sock",
        "unix:///run/x?y",
        "unix:///run/x#y",
        "unix:///run/x:v1",
        "unix:///" + "x" * 107,
    ],
)
def test_what_is_no_socket_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="socket"):
        check_api_base(address)


@pytest.mark.both_loops
@pytest.mark.parametrize(("base", "path"), [("", b"/chat/completions"), (":/v1", b"/v1/chat/completions")])
async def test_a_request_over_a_socket(tmp_path: Path, base: str, path: bytes) -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                await reader.readexactly(13)
                writer.write(OK)
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_unix_server(serve, str(tmp_path / "x.sock"))
    deployment = Deployment("d", "m", "openai", "m", check_api_base(f"unix://{tmp_path}/x.sock{base}"))
    upstream = HttpUpstream()
    request = InferenceRequest("chat", "req-1", b'{"model":"m"}', {"model": "m"}, stream=False)
    wire = OpenAIDialect().encode(request, deployment, "")
    for _ in range(3):
        assert (await upstream.send(wire, timing(20))).body == b"ok"
    assert (upstream.counters.opened, len(heads)) == (1, 3)
    assert heads[0].startswith(b"POST %b HTTP/1.1\r\nhost: localhost\r\n" % path)
    await upstream.close()
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0.01)
