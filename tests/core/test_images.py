from __future__ import annotations

import struct
from base64 import b64encode

import orjson
import pytest

from router.core.images import image_tokens, size_of
from router.core.tokens import measure
from tests.core.making import deployment


def png(width: int, height: int) -> str:
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height)
    return "data:image/png;base64," + b64encode(head + bytes(3000)).decode()


@pytest.mark.parametrize(
    ("model", "size", "detail", "tokens"),
    [
        ("gpt-4o", (1024, 1024), "high", 765),  # OpenAI's own examples
        ("gpt-4o", (2048, 4096), "high", 1105),
        ("gpt-4o", (4096, 8192), "low", 85),
        ("gpt-4o-mini", (512, 512), "high", 8500),
        ("gpt-4.1-mini", (1024, 1024), "auto", 1659),
        ("claude-3-5-sonnet", (1000, 1000), "auto", 1334),
        ("claude-3-5-sonnet", (200, 200), "auto", 54),
        ("gemini-2.5-pro", (300, 300), "auto", 258),
        ("gemini-2.5-pro", (1536, 768), "auto", 516),
    ],
)
def test_images_cost_what_their_provider_says(model: str, size: tuple[int, int], detail: str, tokens: int) -> None:
    assert image_tokens(size, detail, deployment("d", model=model)) == tokens


def test_sizes_are_read_from_the_images_own_beginning() -> None:
    assert size_of(png(640, 480)) == (640, 480)
    gif = b"GIF89a" + struct.pack("<HH", 30, 20)
    assert size_of("data:image/gif;base64," + b64encode(gif).decode()) == (30, 20)
    jpeg = b"\xff\xd8\xff\xe0\x00\x10" + bytes(14) + b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 200, 100) + bytes(20)
    assert size_of("data:image/jpeg;base64," + b64encode(jpeg).decode()) == (100, 200)
    for other in ("https://x/y.png", "data:image/png;base64,!!!!", "data:image/png,x", "data:image/jpeg;base64,/9j/"):
        assert size_of(other) is None


def test_an_image_counts_by_its_pixels_and_not_by_its_letters() -> None:
    def asked(url: str) -> tuple[int, int | None]:
        content = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": url}}]
        body = {"model": "m", "messages": [{"role": "user", "content": content}]}
        expected, size = measure(orjson.dumps(body), body, None, deployment("d", model="gpt-4o"))
        return expected.prompt_tokens, size

    tokens, size = asked(png(1024, 1024))
    assert 765 < tokens < 850
    assert size is not None
    assert size > 765
    assert asked("https://x/y.png")[1] is None, "nobody knows how large that is"
