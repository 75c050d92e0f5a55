"""Connections to one Redis, to the master that sentinels name, or to a cluster.

No call waits longer than its timeout, none is repeated by the client itself: what failed is told, and the exchange
decides when to ask again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from router.core.redis_address import RedisAddress

CONNECT_TIMEOUT = 0.5
COMMAND_TIMEOUT = 0.5
"""Seconds."""
MOST_CONNECTIONS = 1000
"""One for each request that asks for a strict limit at the same time; the exchange itself needs two."""

Client = Redis | RedisCluster

FAILURES = (RedisError, RedisClusterException, OSError)
"""All that the library raises where a server can not be asked: what it says of a cluster is no RedisError."""


_sentinels: Callable[..., Sentinel] = Sentinel
"""The library's constructor has no types."""


def connect(
    address: RedisAddress, connect_timeout: float = CONNECT_TIMEOUT, command_timeout: float = COMMAND_TIMEOUT
) -> Client:
    """A client that connects once it is used."""
    options: dict[str, Any] = {
        "username": address.user,
        "password": address.password,
        "socket_connect_timeout": connect_timeout,
        "socket_timeout": command_timeout,
        "socket_keepalive": True,
        "protocol": 2,
        "max_connections": MOST_CONNECTIONS,
        **_tls(address),
    }
    if address.form == "cluster":
        nodes = [ClusterNode(host, port) for host, port in address.hosts]
        return RedisCluster(startup_nodes=nodes, retry=Retry(NoBackoff(), 0), **options)
    options |= {"db": address.db, "retry": Retry(NoBackoff(), 0)}
    if address.form == "sentinel":
        own = {
            "username": address.options.get("sentinel_user"),
            "password": address.options.get("sentinel_password"),
            "socket_connect_timeout": connect_timeout,
            "socket_timeout": command_timeout,
            "retry": Retry(NoBackoff(), 0),
            **_tls(address),
        }
        sentinel = _sentinels(address.hosts, sentinel_kwargs=own, **options)
        master: Redis = sentinel.master_for(address.service)
        return master
    host, port = address.hosts[0]
    return Redis(host=host, port=port, **options)


async def close(client: Client) -> None:
    """Let go of all its connections. The library leaves some open: those to the sentinels, and after a failure those to
    a cluster."""
    closing: list[Callable[[], Awaitable[object]]] = [client.aclose]
    if isinstance(client, RedisCluster):
        nodes = client.nodes_manager
        closing += [nodes.aclose, partial(nodes.aclose, "startup_nodes")]
    elif isinstance(client.connection_pool, SentinelConnectionPool):
        closing += [sentinel.aclose for sentinel in client.connection_pool.sentinel_manager.sentinels]
    for close_ in closing:
        try:
            await close_()
        except FAILURES:
            pass  # it was broken anyway


def _tls(address: RedisAddress) -> dict[str, Any]:
    if not address.tls:
        return {}
    options: dict[str, Any] = {"ssl": True, "ssl_check_hostname": True}
    for name, theirs in (("ca_file", "ssl_ca_certs"), ("cert_file", "ssl_certfile"), ("key_file", "ssl_keyfile")):
        if name in address.options:
            options[theirs] = address.options[name]
    return options
