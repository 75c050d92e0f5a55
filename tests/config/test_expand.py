from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.config.expand import MISSING, Expander
from router.config.positions import read
from router.config.scalars import Given
from router.config.sources import Sources

ENV = {"NAME": "value", "EMPTY": "", "DOLLAR": "${NAME}", "A1_": "x"}


def expanded(text: str, folder: Path | None = None) -> tuple[Any, list[str]]:
    told: list[str] = []
    expander = Expander(ENV, folder or Path(), lambda path, message: told.append(message))
    return expander.text(text, ("key",)), told


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("${NAME}", "value"),
        ("a ${NAME} b ${A1_}", "a value b x"),
        ("${EMPTY}", ""),
        ("${NAME:-default}", "value"),
        ("${EMPTY:-default}", "default"),
        ("${NOT_SET:-default}", "default"),
        ("${NOT_SET:-}", ""),
        ("${NOT_SET:-a:-b $x}", "a:-b $x"),
        ("${DOLLAR}", "${NAME}"),
        ("$${NAME}", "${NAME}"),
        ("$$${NAME}", "$${NAME}"),
        ("$NAME $ {NAME} {NAME}", "$NAME $ {NAME} {NAME}"),
        ("$${", "${"),
    ],
)
def test_references_are_expanded_once(text: str, result: str) -> None:
    assert expanded(text) == (result, [])


def test_what_was_filled_in_is_known_as_given_and_what_was_not_is_not() -> None:
    assert isinstance(expanded("${NAME}")[0], Given)
    assert isinstance(expanded("${NOT_SET:-5}")[0], Given)
    assert type(expanded("$${NAME}")[0]) is str
    assert type(expanded("5")[0]) is str


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("${NOT_SET}", "the environment variable NOT_SET is not set; ${NOT_SET:-…} would give a default"),
        ("${}", "${…} holds a variable's name, NAME:-default or file:/path; write $${ for a literal ${"),
        ("${1X}", "${…} holds a variable's name, NAME:-default or file:/path; write $${ for a literal ${"),
        ("${NAME:?}", "${…} holds a variable's name, NAME:-default or file:/path; write $${ for a literal ${"),
        ("${NAMÉ}", "${…} holds a variable's name, NAME:-default or file:/path; write $${ for a literal ${"),
        ("${NAME", "${ without its }, or with another { inside; write $${ for a literal ${"),
        ("${NAME:-${A1_}}", "${ without its }, or with another { inside; write $${ for a literal ${"),
        ("${file:}", "${file:} names no file"),
        ("${file:a\0b}", "${file:} names no file"),
        ("${file:/no/such/file}", "cannot read /no/such/file: No such file or directory"),
    ],
)
def test_what_cannot_be_expanded_is_told(text: str, problem: str) -> None:
    assert expanded(text) == (MISSING, [problem])


def test_every_reference_of_a_string_is_told() -> None:
    assert len(expanded("${ONE} ${TWO}")[1]) == 2


@pytest.mark.parametrize(
    ("content", "value"),
    [(b"s3cret", "s3cret"), (b"s3cret\n", "s3cret"), (b"s3cret\r\n", "s3cret"), (b"a\n\n", "a\n"), (b"", ""),
     (b" ${NAME}\n", " ${NAME}")],
)  # fmt: skip
def test_a_file_is_taken_without_its_one_trailing_newline(tmp_path: Path, content: bytes, value: str) -> None:
    (tmp_path / "key").write_bytes(content)
    assert expanded(f"${{file:{tmp_path / 'key'}}}") == (value, [])


def test_a_relative_file_is_found_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret")
    assert expanded("Bearer ${file:key}", tmp_path) == ("Bearer s3cret", [])


def test_files_used_are_kept_each_once(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret")
    sources = Sources()
    expander = Expander({}, tmp_path, lambda path, message: None, sources)
    expander.plain(
        read("[${file:key}, '${file:key}', '${file:other}']".replace("[$", "['$").replace("},", "}',", 1)).root
    )
    assert list(sources) == [tmp_path / "key", tmp_path / "other"]


def test_a_file_that_is_no_text_or_too_large_or_a_folder_is_told_without_its_content(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"s3cret\xff")
    (tmp_path / "large").write_bytes(b"s3cret" * 200_000)
    assert expanded("${file:binary}", tmp_path) == (MISSING, ["binary is not UTF-8 text"])
    assert expanded("${file:large}", tmp_path) == (MISSING, ["large is larger than 1 MiB"])
    assert expanded(f"${{file:{tmp_path}}}") == (MISSING, [f"cannot read {tmp_path}: Is a directory"])


@given(st.text().filter(lambda text: "${" not in text))
def test_text_without_references_is_left_alone(text: str) -> None:
    assert expanded(text) == (text, [])


@given(st.text())
def test_any_text_can_be_written_literally(text: str) -> None:
    result, told = expanded(text.replace("${", "$${"))
    assert (result, told) == (text, [])


@given(
    st.lists(st.sampled_from(["${NAME}", "$${", "${", "}", "$", "{", "${X}", "${X:-d}", "${file:x}", "a"])).map("".join)
)
def test_any_mixture_is_expanded_or_told(text: str) -> None:
    result, told = expanded(text)
    assert (result is MISSING) == bool(told)
