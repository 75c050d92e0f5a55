from __future__ import annotations

from router.core.types import TLS
from router.dialects.base import Origin
from router.upstream.pool import Pool, Shelf

A = Origin("http", "a", 80)
B = Origin("http", "b", 80)


class Conn:
    shelf: Shelf[Conn] | None = None


def opened(pool: Pool[Conn], origin: Origin, count: int) -> list[Conn]:
    connections = [Conn() for _ in range(count)]
    for connection in connections:
        assert pool.reserve(origin, 0.0)
        pool.add(origin, connection)
    return connections


def test_an_empty_pool_has_nothing_to_give() -> None:
    pool: Pool[Conn] = Pool(2, 100, 30.0)
    assert pool.take(A) is None
    assert repr(pool) == "<Pool empty>"


def test_the_connection_used_last_is_reused_first() -> None:
    pool: Pool[Conn] = Pool(3, 100, 30.0)
    first, second, third = opened(pool, A, 3)
    for connection in (second, third, first):
        assert pool.put_back(connection) is None
    assert repr(pool) == "<Pool http://a:80 3 idle, 0 busy>"
    assert [pool.take(A), pool.take(A), pool.take(A), pool.take(A)] == [first, third, second, None]
    assert repr(pool) == "<Pool http://a:80 0 idle, 3 busy>"


def test_origins_never_share() -> None:
    pool: Pool[Conn] = Pool(3, 100, 30.0)
    (connection,) = opened(pool, A, 1)
    pool.put_back(connection)
    assert pool.take(B) is None
    assert pool.take(Origin("https", "a", 80)) is None
    assert pool.take(Origin("http", "a", 81)) is None
    assert pool.take(Origin("http", "a", 80, TLS(server_name="x"))) is None
    assert pool.take(Origin("http", "a", 80, TLS())) is connection


def test_of_too_many_idle_ones_the_oldest_goes() -> None:
    pool: Pool[Conn] = Pool(2, 100, 30.0)
    first, second, third = opened(pool, A, 3)
    pool.put_back(first)
    pool.put_back(second)
    assert pool.put_back(third) is first
    pool.discard(first)
    assert repr(pool) == "<Pool http://a:80 2 idle, 0 busy>"


def test_a_pool_may_keep_none() -> None:
    pool: Pool[Conn] = Pool(0, 100, 30.0)
    (connection,) = opened(pool, A, 1)
    assert pool.put_back(connection) is connection


def test_what_is_discarded_is_forgotten_idle_or_busy_and_an_origin_with_its_last() -> None:
    pool: Pool[Conn] = Pool(2, 100, 30.0)
    idle, busy = opened(pool, A, 2)
    opened(pool, B, 1)
    pool.put_back(idle)
    assert repr(pool) == "<Pool http://a:80 1 idle, 1 busy; http://b:80 0 idle, 1 busy>"
    assert set(pool) > {idle, busy}
    pool.discard(idle)
    pool.discard(idle)
    assert pool.take(A) is None
    pool.discard(busy)
    assert repr(pool) == "<Pool http://b:80 0 idle, 1 busy>"


def test_a_connection_that_was_discarded_while_busy_is_not_taken_back() -> None:
    pool: Pool[Conn] = Pool(2, 100, 30.0)
    (connection,) = opened(pool, A, 1)
    pool.discard(connection)
    assert pool.put_back(connection) is connection
    assert pool.take(A) is None
