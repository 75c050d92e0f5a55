from __future__ import annotations

import json
import resource
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.dialects.json_edit import (
    READ_IN_FULL,
    DuplicateKey,
    prepend,
    refuse_duplicates,
    replace_model,
    top_level_names,
)

NAMES = st.sampled_from(["model", "messages", "user", "n", "x", "é", "a b", 'q"uote', "back\\slash", "", "\n", "😀"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["model", '"model"', '"model":', "{", "[", ",", '","model":"x', "\\", '\\"', "\\u006d"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)


@st.composite
def written(draw: st.DrawFn, value: Any) -> str:
    """One of the many ways to write `value` as JSON."""
    space = draw(st.sampled_from(["", "", " ", "\n\t", "\r\n "]))
    if isinstance(value, dict):
        members = [f"{draw(string(name))}{space}:{space}{draw(written(own))}" for name, own in value.items()]
        return "{" + space + f"{space},{space}".join(members) + space + "}"
    if isinstance(value, list):
        return "[" + space + f"{space},{space}".join(draw(written(own)) for own in value) + space + "]"
    if isinstance(value, str):
        return draw(string(value))
    return json.dumps(value)


def string(value: str) -> st.SearchStrategy[str]:
    escaped = '"' + "".join(f"\\u{unit:04x}" for unit in units(value)) + '"'
    return st.sampled_from([json.dumps(value, ensure_ascii=False), json.dumps(value), escaped])


def units(value: str) -> list[int]:
    data = value.encode("utf-16-be")
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


BODIES = st.dictionaries(NAMES, VALUES, max_size=5).map(lambda body: body | {"model": body.get("model") or "gpt-4o"})


@st.composite
def raw_bodies(draw: st.DrawFn) -> bytes:
    body = draw(BODIES)
    names = draw(st.permutations(list(body)))
    around = draw(st.sampled_from(["", " ", "\n"]))
    return (around + draw(written({name: body[name] for name in names})) + around).encode()


@given(raw_bodies(), st.text(max_size=10))
def test_replacing_the_model_changes_nothing_else(raw: bytes, model: str) -> None:
    body = orjson.loads(raw)
    changed = replace_model(raw, body, orjson.dumps(model))
    if changed is not None:
        assert orjson.loads(changed) == body | {"model": model}
        assert list(orjson.loads(changed)) == list(body)
        assert len(changed) - len(raw) == len(orjson.dumps(model)) - len(orjson.dumps(body["model"]))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"model":"gpt","n":1}', b'{"model":"up","n":1}'),
        (b'{"n":1,"model":"gpt"}', b'{"n":1,"model":"up"}'),
        (b'{ "model" :\r\n\t"gpt" , "n":1 }', b'{ "model" :\r\n\t"up" , "n":1 }'),
        (b'{"model":"gpt","seed":12345678901234567890123}', b'{"model":"up","seed":12345678901234567890123}'),
        (b'{"model":"gpt","t":1.10}', b'{"model":"up","t":1.10}'),
        ('{"model":"gpt","é":"ü"}'.encode(), '{"model":"up","é":"ü"}'.encode()),
        (b'{"model":"gpt","user":"the \\"model\\" is"}', b'{"model":"up","user":"the \\"model\\" is"}'),
    ],
)
def test_the_usual_body_is_changed_in_place(raw: bytes, expected: bytes) -> None:
    assert replace_model(raw, orjson.loads(raw), b'"up"') == expected


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model":"gpt","user":"model"}',
        b'{"metadata":{"model":"x"},"model":"gpt"}',
        b'{"m\\u006fdel":"gpt"}',
        b'{"model":"g\\u0070t"}',
        b'{"model":"a\\/b"}',
        b'{"model":"gpt","user":"\\u00e9"}',
    ],
)
def test_where_its_place_is_in_doubt_nothing_is_changed(raw: bytes) -> None:
    assert replace_model(raw, orjson.loads(raw), b'"up"') is None


@given(raw_bodies(), VALUES)
def test_a_member_put_first_changes_nothing_else(raw: bytes, value: Any) -> None:
    changed = prepend(raw, b'"zz":' + orjson.dumps(value))
    assert orjson.loads(changed) == {"zz": orjson.loads(orjson.dumps(value))} | orjson.loads(raw)
    assert next(iter(orjson.loads(changed))) == "zz"


def test_a_member_put_first_leaves_the_other_bytes_alone() -> None:
    assert prepend(b' { "n" : 1 }', b'"a":2') == b' {"a":2, "n" : 1 }'


@given(raw_bodies())
def test_the_names_are_those_of_the_object_itself_in_order(raw: bytes) -> None:
    assert top_level_names(raw) == list(orjson.loads(raw))


@given(raw_bodies())
def test_a_body_without_repetition_is_let_through(raw: bytes) -> None:
    refuse_duplicates(raw, orjson.loads(raw))


@given(raw_bodies(), st.data())
def test_a_repetition_is_found_however_it_is_written(raw: bytes, data: st.DataObject) -> None:
    body = orjson.loads(raw)
    name = data.draw(st.sampled_from(sorted(body)))
    again = f"{data.draw(string(name))}:{data.draw(st.sampled_from(['1', 'null', '{}', '[1,2]']))}".encode()
    doubled = prepend(raw, again)
    with pytest.raises(DuplicateKey) as caught:
        refuse_duplicates(doubled, orjson.loads(doubled))
    assert caught.value.name == name


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b'{"model":"a","model":"b"}', "model"),
        (b'{"model":"a","model":"a"}', "model"),
        (b'{"model":"a","m\\u006fdel":"b"}', "model"),
        (b'{"\\u006dodel":"a","m\\u006fdel":"b"}', "model"),
        (b'{"model":"a", "x":{}, "model" :"b"}', "model"),
        (b'{"a b":1,"a b":2}', "a b"),
        (b'{"a\\nb":1,"a\\u000ab":2}', "a\nb"),
        (b'{"/":1,"\\/":2}', "/"),
        (b'{"":1,"":2}', ""),
        ('{"é":1,"\\u00e9":2}'.encode(), "é"),
        (b'{"a":[{"model":1},"]"],"model":1,"b":"}","model":2}', "model"),
    ],
)
def test_repetitions(raw: bytes, name: str) -> None:
    with pytest.raises(DuplicateKey) as caught:
        refuse_duplicates(raw, orjson.loads(raw))
    assert caught.value.name == name


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b"{ }",
        b'{"a":{"a":1},"b":{"a":1}}',
        b'{"a":[{"a":1},{"a":2}]}',
        b'{"a":"a","b":"b"}',
        b'{"a":"\\"a\\":1,","b":[",","\\"a\\""]}',
        b'{"a":"{\\"a\\":1}"}',
        b'{"a":"\\u0061"}',
        b'{"a":"\\\\","b":"\\\\\\""}',
        '{"é":"é"}'.encode(),
    ],
)
def test_what_only_looks_like_a_repetition_is_none(raw: bytes) -> None:
    refuse_duplicates(raw, orjson.loads(raw))


@pytest.mark.parametrize("part", [b"x", b"\\u00e9", b'\\"', b"x\\n"])
def test_a_huge_text_costs_no_more_memory_than_it_has(part: bytes) -> None:
    raw = b'{"model":"\\u0061","x":"' + part * (8_000_000 // len(part)) + b'"}'
    body = dict.fromkeys(("model", "x"), "")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refuse_duplicates(raw, body)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000, "KiB"


def test_a_large_text_in_doubt_is_left_undecided_rather_than_read_in_full() -> None:
    raw = b'{"model":"m","not one":"' + b"x" * READ_IN_FULL + b'"}'
    assert refuse_duplicates(raw, orjson.loads(raw)) is False
    assert refuse_duplicates(b'{"model":"m","not one":1}', {"model": "m", "not one": 1}) is True
