from __future__ import annotations

import pytest

from router.dialects.azure import AzureOptions, EntraOptions
from tests.config.loading import loaded, problems

BASE = "https://east.openai.azure.com"
ENTRY = "model_list: [{model_name: m, provider: azure, api_base: '%s', %s}]"


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ("api_key: k", AzureOptions()),
        ("api_key: k, api_version: '2024-10-21'", AzureOptions("2024-10-21")),
        ("entra: {}", AzureOptions("", EntraOptions())),
        (
            "entra: {tenant_id: t, client_id: c, client_secret: s, authority: 'https://login.test/'}",
            AzureOptions("", EntraOptions("t", "c", "s", "https://login.test")),
        ),
    ],
)
def test_what_only_azure_knows_is_kept(given: str, options: AzureOptions) -> None:
    assert loaded(ENTRY % (BASE, given)).catalogue.groups["m"].tiers[0][0].options == options


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (ENTRY % (BASE, "api_key: k, entra: {}"), "entra: is given beside a key: give one of them"),
        (ENTRY % (BASE, "entra: {client_secret: s}"), "entra.client_secret: needs a tenant_id and a client_id"),
        (ENTRY % (BASE, "api_version: latest-ish"), "api_version: "),
        (ENTRY % (BASE + "/openai/deployments/x", ""), "api_base: must be the resource's address"),
        ("model_list: [{model_name: m, provider: azure}]", "api_base: is missing; provider azure needs it"),
        ("model_list: [{model_name: m, provider: mock, api_version: v1}]", "api_version: is for provider azure only"),
        ("model_list: [{model_name: m, provider: mock, entra: {}}]", "entra: is for provider azure only"),
    ],
)
def test_what_does_not_fit_is_told(text: str, problem: str) -> None:
    (told,) = problems(text)
    assert f"model_list.0.{problem}" in told
