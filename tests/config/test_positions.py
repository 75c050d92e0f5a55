from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from router.config.document import Document, Node, Place
from router.config.expand import Expander
from router.config.positions import MAX_DEPTH, read
from router.config.scalars import number_of, scalar, truth_of


def plain(document: Document) -> Any:
    return Expander({}, Path(), lambda path, message: None).plain(document.root)


def faults(text: str) -> list[str]:
    return [f"{fault.place.line}:{fault.place.column}: {fault.message}" for fault in read(text).faults]


def test_every_value_and_every_key_knows_its_line_and_column() -> None:
    document = read("a:\n  b: [1, {c: 2}]\n'd' : |\n  text\n")
    assert document.place(("a",), key=True) == Place(1, 1)
    assert document.place(("a",)) == Place(2, 3)
    assert document.place(("a", "b"), key=True) == Place(2, 3)
    assert document.place(("a", "b", 0)) == Place(2, 7)
    assert document.place(("a", "b", 1, "c"), key=True) == Place(2, 11)
    assert document.place(("a", "b", 1, "c")) == Place(2, 14)
    assert document.place(("d",), key=True) == Place(3, 1)


def test_columns_count_characters_not_bytes() -> None:
    assert read("é: {ü: x}").place(("é", "ü")) == Place(1, 8)


def test_the_place_of_what_is_missing_is_that_of_the_closest_thing_around_it() -> None:
    document = read("a:\n  - b: 1\n")
    assert document.place(("a", 0, "nowhere", "at all")) == Place(2, 5)
    assert document.place(("a", 7)) == Place(2, 3)
    assert document.place(("x",), key=True) == Place(1, 1)
    assert read("").place(("x",)) == Place(1, 1)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: 1\nb: 2\na: 3\n", "3:1: duplicate key, first given in line 1"),
        ("x:\n  - {a: 1, a: {b: 2}}\n", "2:12: duplicate key, first given in line 2"),
        ("a: &a {x: 1}\nb: {<<: *a, <<: *a}\n", "2:13: duplicate key"),
        ("404: x\n", "1:1: a key must be a string: put it in quotes"),
        ("true: x\n", "1:1: a key must be a string: put it in quotes"),
        ("? [a, b]\n: 2\nc: 3\n", "1:3: a key must be a string"),
        ("&k a: 1\n? *k\n: 2\n", "2:3: an alias without its anchor before it; quote a value that starts with *"),
        ("a: &l [1]\n? *l\n: 2\n", "2:3: a key must be a string"),
        ("a: *nowhere\n", "1:4: an alias without its anchor before it; quote a value that starts with *"),
        ("a: &a [*a]\n", "1:8: an alias without its anchor before it; quote a value that starts with *"),
        ("a: !secret x\n", "1:4: tags (!…) are not supported; quote a value that starts with !"),
        ("a: !!python/object:os.system {}\n", "1:4: tags (!…) are not supported"),
        ("a: !!int x\n", "1:4: the value does not fit its tag"),
        ("a: 1\n---\nb: 1\n", "2:1: the file holds a second document (---); it may have one"),
        ("<<: 3\n", "1:5: << merges mappings only"),
        ("a: [1\nb: 2\n", "2:2: no valid YAML: did not find expected ',' or ']'"),
        ("a: b: c\n", "1:5: no valid YAML: mapping values are not allowed in this context"),
        ("a:\n\t- b\n", "2:1: no valid YAML: found character that cannot start any token (a tab: indent with spaces)"),
        ("key: @secret\n", "1:6: no valid YAML: found character that cannot start any token (put it in quotes)"),
        ("é: 1\nb: \x07\n", "2:4: a character that YAML does not allow"),
    ],
)
def test_what_is_wrong_with_the_text_is_told_with_its_place(text: str, fault: str) -> None:
    assert fault in faults(text)


def test_of_a_key_given_twice_the_first_counts() -> None:
    assert plain(read("a: 1\na: {b: 2}\nc: 3\n")) == {"a": 1, "c": 3}


def test_anchors_aliases_and_merge_keys_work() -> None:
    text = """\
base: &base {provider: mock, weight: 2}
list:
  - {<<: *base, weight: 3}
  - {<<: [*base, {weight: 4, more: 5}]}
  - *base
"""
    assert faults(text) == []
    assert plain(read(text))["list"] == [
        {"provider": "mock", "weight": 3},
        {"provider": "mock", "weight": 2, "more": 5},
        {"provider": "mock", "weight": 2},
    ]
    assert read(text).place(("list", 0, "provider")) == Place(1, 24)


def test_a_quoted_merge_key_is_an_ordinary_key() -> None:
    assert plain(read('{"<<": {a: 1}}')) == {"<<": {"a": 1}}


def test_an_alias_bomb_is_refused_before_it_is_written_out() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    document = read("\n".join(lines))
    assert document.root is None
    assert document.faults[0].message == "more than 1000000 values, aliases written out"


def test_nesting_has_a_limit_and_no_depth_breaks_the_parser() -> None:
    assert faults("[" * MAX_DEPTH + "]" * MAX_DEPTH) == []
    assert faults("[" * 300_000) == [f"1:{MAX_DEPTH + 1}: nested more than {MAX_DEPTH} levels deep"]


def test_a_file_too_large_is_not_parsed() -> None:
    assert faults("#" * (16 * 1024 * 1024 + 1)) == ["1:1: the file is larger than 16 MiB"]


def test_a_syntax_error_never_quotes_the_text() -> None:
    for line in (
        "k: *s3cret",
        "k: !s3cret",
        "k: @s3cret",
        "k: %s3cret",
        "k: [s3cret",
        "k: 's3cret",
        "k: s3cret: s3cret",
    ):
        assert faults(line), line
        assert "s3cret" not in "".join(faults(line))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("null", None), ("true", True), ("False", False),
        ("0", 0), ("-7", -7), ("+7", 7), ("33_554_432", 33554432), ("1.5", 1.5), (".5", 0.5), ("1e-6", 1e-6),
        ("25e-7", 2.5e-6), ("1.", 1.0), ("0.10", 0.1), ("-0.0", 0.0),
        ("010", "010"), ("0x10", "0x10"), ("1_", "1_"), ("1:30", "1:30"), ("2027-06-30", "2027-06-30"), ("yes", "yes"),
        ("on", "on"), ("no", "no"), ("-", "-"), (".", "."), ("1e", "1e"), (".inf", ".inf"), ("nan", "nan"),
        ("1.2.3", "1.2.3"), ("9" * 5000, "9" * 5000), ("٣", "٣"),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


def test_quoted_scalars_are_text_whatever_they_look_like() -> None:
    assert plain(read("""{a: "1", b: 'true', c: "", d: !!str 3, f: !!float 3, g: !!null ""}""")) == {
        "a": "1", "b": "true", "c": "", "d": "3", "f": 3, "g": None
    }  # fmt: skip


def test_numbers_and_truths_are_read_from_text() -> None:
    assert (number_of("7"), number_of("x"), number_of("1e3")) == (7, None, 1000.0)
    assert [truth_of(text) for text in ("true", "YES", "on", "1", "false", "No", "off", "0", "maybe")] == (
        [True] * 4 + [False] * 4 + [None]
    )


@given(st.text() | st.text(alphabet="ab:{}[],&*!<-?|>'\"#%@ \n\t~0"))
@example("a: \ud800")
@example("\x00")
@example("%YAML 3.0\n---\na")
def test_any_text_is_read_or_faulted_but_never_raises(text: str) -> None:
    document = read(text)
    if document.root is None and text.strip() and not document.faults:
        assert next(iter(yaml.compose_all(text, yaml.CSafeLoader)), None) is None  # comments only


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values.filter(lambda value: "${" not in repr(value)))
def test_what_yaml_writes_is_read_back(value: Any) -> None:
    text = yaml.safe_dump(value, default_style='"') if isinstance(value, str) else yaml.safe_dump(quoted(value))
    document = read(text)
    assert document.faults == []
    assert plain(document) == value


def quoted(value: Any) -> Any:
    """PyYAML writes YAML 1.1, and `y`, `0o7` and `1_0` there are other things than here: all text is put in quotes."""
    if isinstance(value, str):
        return Quoted(value)
    if isinstance(value, list):
        return [quoted(item) for item in value]
    if isinstance(value, dict):
        return {Quoted(key): quoted(item) for key, item in value.items()}
    return value


class Quoted(str):
    __slots__ = ()


yaml.SafeDumper.add_representer(
    Quoted, lambda dumper, data: dumper.represent_scalar("tag:yaml.org,2002:str", str(data), style='"')
)


def test_a_node_counts_everything_in_it() -> None:
    root = read("{a: [1, 2], b: {c: 3}}").root
    assert isinstance(root, Node)
    assert root.size == 6
