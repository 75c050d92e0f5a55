from __future__ import annotations

import pytest

from router.core.redis_address import RedisAddress, parse_redis_url


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://host", RedisAddress("single", (("host", 6379),))),
        ("redis://host:7000/3", RedisAddress("single", (("host", 7000),), db=3)),
        ("redis://:p%40ss@host", RedisAddress("single", (("host", 6379),), password="p@ss")),
        ("redis://me:secret@[::1]:1", RedisAddress("single", (("::1", 1),), user="me", password="secret")),
        (
            "rediss://host?ca_file=/ca.pem",
            RedisAddress("single", (("host", 6379),), tls=True, options={"ca_file": "/ca.pem"}),
        ),
        (
            "redis+sentinel://a,b:2/main/1?sentinel_password=x",
            RedisAddress(
                "sentinel", (("a", 26379), ("b", 2)), db=1, service="main", options={"sentinel_password": "x"}
            ),
        ),
        ("redis+cluster://u:p@a:1,b:2", RedisAddress("cluster", (("a", 1), ("b", 2)), user="u", password="p")),
        ("rediss+cluster://a", RedisAddress("cluster", (("a", 6379),), tls=True)),
    ],
)
def test_a_url_says_where_redis_is(url: str, address: RedisAddress) -> None:
    assert parse_redis_url(url) == address


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("host:6379", "must begin with one of redis://"),
        ("http://host", "must begin with one of redis://"),
        ("redis://", "names no host"),
        ("redis://:sesame@", "names no host"),
        ("redis://host:port", "a port that is none"),
        ("redis://host:70000", "a port that is none"),
        ("redis://a,b", "several hosts"),
        ("redis://host/db", "no database's number"),
        ("redis://host/0/1", "no database's number"),
        ("redis+sentinel://a,b", "needs the service's name"),
        ("redis+cluster://a/1", "one database only"),
        ("redis://host?ca_file=x", "has the parameter ca_file, which is not known here"),
        ("rediss://host?ssl=1", "known are ca_file, cert_file, key_file"),
    ],
)
def test_what_is_wrong_with_a_url_is_told_without_quoting_it(url: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as raised:
        parse_redis_url(url)
    assert "sesame" not in str(raised.value)


def test_no_password_is_shown() -> None:
    assert "secret" not in repr(parse_redis_url("redis+sentinel://:secret@a/s?sentinel_password=secret"))
