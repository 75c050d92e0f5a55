"""How long idle connections are kept: what servers say, and what they are seen to do."""

from __future__ import annotations

import asyncio

import pytest

from router.upstream.client import HttpUpstream
from router.upstream.counters import CloseReason
from router.upstream.patience import MEMORY, Patience
from tests.upstream.scripted import EOF, OK, RESET, ScriptedNetwork, Step, fetch, settle
from tests.virtual_time import virtual_time


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        (b"timeout=5", 4.0),
        (b"timeout=5, max=100", 4.0),
        (b"max=100 , Timeout = 5", 4.0),
        (b'timeout="5"', 4.0),
        (b"timeout=2", 1.6),
        (b"timeout=0", 0.0),
        (b"timeout=75", 30.0),
        (b"timeout=-5", 30.0),
        (b"timeout=5.5", 30.0),
        (b"timeout=", 30.0),
        (b"timeout=99999999999999999999", 30.0),
        (b"timeout", 30.0),
        (b"max=5", 30.0),
        (b"", 30.0),
        (b"\xff\x00,,=,", 30.0),
    ],
)
def test_what_a_server_says_counts_if_it_is_shorter(field: bytes, seconds: float) -> None:
    patience = Patience(30.0)
    patience.told(field)
    assert patience.seconds == seconds


def test_what_a_server_says_last_counts() -> None:
    patience = Patience(30.0)
    patience.told(b"timeout=5")
    patience.told(b"timeout=20")
    assert patience.seconds == 19.0
    patience.told(b"max=3")
    assert patience.seconds == 30.0


def test_an_observed_close_lowers_the_limit_below_it_for_a_while() -> None:
    patience = Patience(30.0)
    patience.closed_after(10.0, now=1000.0)
    assert patience.seconds == 9.0
    patience.opened(1000.0 + MEMORY - 1)
    assert patience.seconds == 9.0
    patience.opened(1000.0 + MEMORY)
    assert patience.seconds == 30.0


def test_closes_that_agree_are_believed_for_longer_and_longer() -> None:
    patience = Patience(30.0)
    now = 0.0
    for believed in (60.0, 240.0, 960.0, 3600.0, 3600.0):
        patience.closed_after(5.0, now)
        patience.opened(now + believed - 1)
        assert patience.seconds == 4.0
        now += believed
        patience.opened(now)
        assert patience.seconds == 30.0
    patience.closed_after(20.0, now)
    patience.opened(now + MEMORY)
    assert patience.seconds == 30.0, "one that does not agree starts anew"


def test_the_shortest_of_several_counts_while_it_is_believed() -> None:
    patience = Patience(30.0)
    patience.closed_after(5.0, 0.0)
    patience.closed_after(25.0, 10.0)
    assert patience.seconds == 4.0
    patience.closed_after(2.0, 20.0)
    assert patience.seconds == 1.6


def test_a_close_right_after_a_reply_shows_nothing() -> None:
    patience = Patience(30.0)
    patience.closed_after(0.1, 0.0)
    assert patience.seconds == 30.0


def said(field: bytes) -> bytes:
    return OK.replace(b"\r\n\r\n", b"\r\nkeep-alive: %b\r\n\r\n" % field)


@virtual_time
async def test_a_connection_expires_before_the_server_s_time_is_up() -> None:
    network = ScriptedNetwork([[said(b"timeout=5")]], [[OK]])
    upstream = HttpUpstream(dial=network)
    await fetch(network, upstream)
    await asyncio.sleep(3.9)
    assert network.open == 1
    await asyncio.sleep(0.2)
    assert (network.open, upstream.counters.closed[CloseReason.EXPIRED]) == (0, 1)
    await fetch(network, upstream)
    await asyncio.sleep(3.9)
    assert network.open == 1
    await asyncio.sleep(0.2)
    assert network.open == 0, "the origin is known, though it has had no connection"
    await upstream.close()


@virtual_time
async def test_no_time_at_all_is_no_keep_alive() -> None:
    network = ScriptedNetwork([[said(b"timeout=0")]], [[OK]])
    upstream = HttpUpstream(dial=network)
    await fetch(network, upstream)
    await asyncio.sleep(0.01)
    assert network.open == 0
    await upstream.close()


@pytest.mark.parametrize("end", [EOF, RESET])
@virtual_time
async def test_an_idle_connection_that_the_server_closes_teaches_the_origin(end: Step) -> None:
    network = ScriptedNetwork([[OK, 10.0, end]], [[OK]])
    upstream = HttpUpstream(dial=network)
    await fetch(network, upstream)
    await asyncio.sleep(11)
    assert upstream.counters.closed[CloseReason.SERVER] == 1
    await fetch(network, upstream)
    await asyncio.sleep(8.9)
    assert network.open == 1
    await asyncio.sleep(0.2)
    assert (network.open, upstream.counters.closed[CloseReason.EXPIRED]) == (0, 1)
    await upstream.close()


@virtual_time
async def test_a_stale_connection_teaches_too() -> None:
    network = ScriptedNetwork([[OK], [EOF]], [[OK]])
    upstream = HttpUpstream(dial=network)
    await fetch(network, upstream)
    await asyncio.sleep(20)
    await fetch(network, upstream)
    assert upstream.counters.replaced == 1
    await asyncio.sleep(18.9)
    assert network.open == 1
    await asyncio.sleep(0.2)
    assert network.open == 0
    await upstream.close()


@virtual_time
async def test_our_own_expiry_teaches_nothing() -> None:
    network = ScriptedNetwork([[OK]], [[OK]])
    upstream = HttpUpstream(dial=network)
    for _ in range(2):
        await fetch(network, upstream)
        await asyncio.sleep(29.9)
        assert network.open == 1
        await asyncio.sleep(0.2)
        assert network.open == 0
    await settle()
    await upstream.close()
