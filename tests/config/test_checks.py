from __future__ import annotations

from pathlib import Path

import pytest

from router.config.checks import is_loopback
from tests.config.loading import MODELS, loaded, problems

ALONE = "without auth.keys the router listens on loopback only: set auth.keys, or server.host to 127.0.0.1"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("127.9.8.7", True), ("::1", True), ("localhost", True), ("LOCALHOST", True),
        ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("router.internal", False), ("localhost.evil", False),
        ("127.0.0.1.evil", False), ("::ffff:127.0.0.1", False), ("2130706433", False),
    ],
)  # fmt: skip
def test_an_open_router_listens_on_loopback_only(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
    expected = [] if loopback else [f"router.yaml:1:16: server.host: {ALONE}"]
    assert problems(f"server: {{host: '{host}'}}\n{MODELS}") == expected
    told = [] if loopback else [f"ROUTER__SERVER__HOST: server.host: {ALONE}"]
    assert problems(MODELS, {"ROUTER__SERVER__HOST": host}) == told


@pytest.mark.parametrize("auth", ["master_key: m", "keys: [{name: a, key: k}]"])
def test_a_router_with_a_key_listens_anywhere(auth: str) -> None:
    assert loaded(f"server: {{host: 0.0.0.0}}\nauth: {{{auth}}}\n{MODELS}").settings.server.host == "0.0.0.0"


def test_an_empty_master_key_is_none() -> None:
    text = f"server: {{host: 0.0.0.0}}\nauth: {{master_key: '${{NONE:-}}'}}\n{MODELS}"
    assert problems(text) == [f"router.yaml:1:16: server.host: {ALONE}"]


def test_a_router_whose_keys_are_broken_is_not_told_to_have_none() -> None:
    text = f"server: {{host: 0.0.0.0}}\nauth: {{keys: x, master_key: '${{NONE}}'}}\n{MODELS}"
    assert [line.partition(": ")[2].partition(":")[0] for line in problems(text)] == ["auth.keys", "auth.master_key"]


def deployments(*settings: str) -> str:
    return "model_list:\n" + "".join(f"  - {{model_name: m, {setting}}}\n" for setting in settings)


OPENAI = "provider: openai, api_base: 'https://host/v1'"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["provider: openai"], ["2:5: model_list.0.api_base: is missing; provider openai needs it"]),
        ([f"{OPENAI}, mock: {{}}"], ["2:68: model_list.0.mock: is for provider mock only"]),
        (
            ["provider: mock, api_base: 'http://h', mock: {}"],
            ["2:59: model_list.0.mock: does nothing beside api_base: the server there has its own"],
        ),
        (
            [f"{OPENAI}, api_key: a, api_keys: [b]"],
            ["2:80: model_list.0.api_keys: is given beside api_key: give one of them"],
        ),
        ([f"{OPENAI}, api_keys: [a, b, a]"], ["2:85: model_list.0.api_keys.2: is the same key as one before it"]),
        (
            ["provider: mock, id: a", "provider: mock, id: b", "provider: mock, id: a"],
            ["4:41: model_list.2.id: model_list.0 has this id already"],
        ),
        (
            ["provider: mock, model: 'x*'"],
            ["2:44: model_list.0.model: holds a *, but model_name has none that it could stand for"],
        ),
    ],
)
def test_settings_of_a_deployment_must_fit_each_other(settings: list[str], told: list[str]) -> None:
    assert problems(deployments(*settings)) == [f"router.yaml:{line}" for line in told]


def test_a_pattern_has_one_star() -> None:
    assert problems("model_list: [{model_name: 'a*b*', provider: mock}]") == [
        "router.yaml:1:27: model_list.0.model_name: a pattern has one *"
    ]


def test_files_for_tls_must_be_there_and_are_found_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("x")
    text = deployments(f"{OPENAI}, tls: {{ca_file: ca.pem, client_cert: none.pem, client_key: {tmp_path}}}")
    assert [line.partition(": ")[2] for line in problems(text, folder=tmp_path)] == [
        "model_list.0.tls.client_cert: cannot read 'none.pem'",
        f"model_list.0.tls.client_key: cannot read '{tmp_path}'",
    ]
    config = loaded(deployments(f"{OPENAI}, tls: {{ca_file: ca.pem}}"), folder=tmp_path)
    assert config.catalogue.groups["m"].tiers[0][0].tls.ca_file == str(tmp_path / "ca.pem")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (f"{OPENAI}, tls: {{client_key: ca.pem}}", "tls.client_key: needs a client_cert beside it"),
        ("provider: openai, api_base: 'http://h', tls: {server_name: x}", "tls: does nothing: api_base is not https"),
    ],
)
def test_settings_for_tls_must_fit_each_other(tmp_path: Path, settings: str, problem: str) -> None:
    (tmp_path / "ca.pem").write_text("x")
    (told,) = problems(deployments(settings), folder=tmp_path)
    assert told.endswith(f"model_list.0.{problem}")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("[{name: a, key: k}, {name: a, key: l}]", "auth.keys.1.name: another key has this name already"),
        ("[{name: a, key: k}, {name: b, key: k}]", "auth.keys.1.key: is the same as the key of a"),
        ("[{name: a, key: m}]", "auth.keys.0.key: is the same as the master_key"),
    ],
)
def test_every_key_is_somebodys_own(keys: str, told: str) -> None:
    (line,) = problems(f"auth: {{master_key: m, keys: {keys}}}\n{MODELS}")
    assert line.partition(": ")[2] == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("routing: {cooldown: {max: 4}}", "1:27: routing.cooldown.max: max (4) is less than base (5)"),
        ("routing: {cooldown: {base: 301}}", "1:28: routing.cooldown.base: max (300) is less than base (301)"),
        ("models: {small: {cooldown: {max: 4}}}", "1:34: models.small.cooldown.max: max (4) is less than base (5)"),
    ],
)
def test_a_cooldown_is_not_longer_than_its_longest(text: str, told: str) -> None:
    assert problems(f"{text}\n{MODELS}") == [f"router.yaml:{told}"]
