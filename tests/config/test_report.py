from __future__ import annotations

from router.config import describe
from tests.config.loading import loaded

TEXT = """\
server: {host: "::1", port: 4001}
auth: {master_key: m, keys: [{name: search, key: k}, {name: chat, key: l}]}
routing: {fallbacks: {gpt-4o: [small]}, context_window_fallbacks: {small: [gpt-4o]}}
models: {gpt-4o: {aliases: [best], strategy: weighted}}
model_list:
  - {model_name: gpt-4o, id: east, provider: openai, model: gpt-4o-2024, api_base: "https://h.example:8443/v1",
     api_key: k, weight: 2.5, priority: 1, input_cost_per_token: 0.0000025, output_cost_per_token: 0,
     context_window: 128000}
  - {model_name: small, provider: mock, enabled: false}
"""


def test_the_report_tells_everything_but_secrets() -> None:
    assert (
        describe(loaded(TEXT))
        == """\
listens on http://[::1]:4001
keys: search, chat; a master key

2 models, 2 deployments

  deployment    provider  upstream model  where            tier  weight  $/M in  $/M out  window
gpt-4o (weighted)
  east          openai    gpt-4o-2024     h.example:8443   1     2.5     2.5     0        128000
small (least-busy)
  small/mock-1  mock      small           in this process  0     1       -       -        -       disabled

aliases
  best -> gpt-4o

fallbacks
  gpt-4o -> small
  small -> gpt-4o  (context window)
"""
    )
