"""The configuration files of the contenders, and of the instant upstream. Why each is as it is: docs/benchmarks.md."""

from __future__ import annotations

import json
from collections.abc import Sequence

from bench.payload import MODEL, PAGES, reply_body

API_KEY = "sk-bench-0123456789abcdef"

NGINX = """\
daemon off;
worker_processes 1;
pid {work}/nginx-{name}.pid;
error_log stderr warn;
events {{ worker_connections 20000; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    client_body_temp_path {work}/nginx-{name}-body;
    proxy_temp_path {work}/nginx-{name}-proxy;
    fastcgi_temp_path {work}/nginx-{name}-fastcgi;
    uwsgi_temp_path {work}/nginx-{name}-uwsgi;
    scgi_temp_path {work}/nginx-{name}-scgi;
    {body}
}}
"""

NGINX_PROXY = """\
    upstream workers {{
        least_conn;
        {servers}
        keepalive 2000;
        keepalive_requests 1000000000;
        keepalive_timeout 1h;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://workers;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
"""

ENVOY = """\
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{match: {{prefix: /}}, route: {{cluster: workers, timeout: 0s}}}}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: workers
    type: STATIC
    lb_policy: LEAST_REQUEST
    circuit_breakers: {{thresholds: [{{max_connections: 20000, max_pending_requests: 20000, max_requests: 20000}}]}}
    load_assignment:
      cluster_name: workers
      endpoints:
      - lb_endpoints:
{endpoints}
"""


def instant_upstream(work: str, ports: Sequence[int]) -> str:
    """nginx that answers by itself. Its reply to a chat request is at hand the moment the request's head is read."""
    places = [f"location = {path} {{ return 200 '{body}'; }}" for path, body in PAGES.items()]
    listen = [f"listen 127.0.0.1:{port} backlog=4096;" for port in ports]
    lines = ["server {", *listen, *places, f"location / {{ return 200 '{reply_body().decode()}'; }}", "}"]
    return NGINX.format(work=work, name="upstream", body="\n".join(lines))


def nginx(work: str, port: int, upstreams: Sequence[int]) -> str:
    servers = " ".join(f"server 127.0.0.1:{each};" for each in upstreams)
    return NGINX.format(work=work, name="proxy", body=NGINX_PROXY.format(port=port, servers=servers))


def envoy(port: int, upstreams: Sequence[int]) -> str:
    line = "        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {}}}}}}}"
    return ENVOY.format(port=port, endpoints="\n".join(line.format(each) for each in upstreams))


def router(port: int, upstreams: Sequence[int]) -> str:
    """Everything on: a key, least-busy, prices, metrics, and the access log on standard output, as it is by default.

    JSON is YAML.
    """
    deployments = [
        {
            "model_name": MODEL,
            "id": f"worker-{number}",
            "provider": "openai",
            "api_base": f"http://127.0.0.1:{port}/v1",
            "api_key": "sk-upstream",
            "input_cost_per_token": 0.0000025,
            "output_cost_per_token": 0.00001,
        }
        for number, port in enumerate(upstreams)
    ]
    return json.dumps(
        {
            "server": {"host": "127.0.0.1", "port": port, "drain_delay": 0, "drain_seconds": 1},
            "auth": {"keys": [{"name": "bench", "key": API_KEY, "models": [MODEL]}]},
            "routing": {"strategy": "least-busy"},
            "model_list": deployments,
        },
        indent=1,
    )


def litellm(upstreams: Sequence[int]) -> str:
    deployments = [
        {
            "model_name": MODEL,
            "litellm_params": {
                "model": f"openai/{MODEL}",
                "api_base": f"http://127.0.0.1:{port}/v1",
                "api_key": "sk-upstream",
                "input_cost_per_token": 0.0000025,
                "output_cost_per_token": 0.00001,
            },
        }
        for port in upstreams
    ]
    general = {"master_key": API_KEY}  # it does not start without one
    return json.dumps(
        {"model_list": deployments, "litellm_settings": {"telemetry": False}, "general_settings": general}, indent=1
    )


def portkey(upstreams: Sequence[int]) -> str:
    """The value of `x-portkey-config`, which every request carries."""
    targets = [
        {"provider": "openai", "api_key": "sk-upstream", "custom_host": f"http://127.0.0.1:{port}/v1"}
        for port in upstreams
    ]
    return json.dumps({"strategy": {"mode": "loadbalance"}, "targets": targets}, separators=(",", ":"))
