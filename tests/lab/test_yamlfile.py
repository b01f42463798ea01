"""YAML as Compose reads it, with the place of every value."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmsim.errors import FileError
from cnmsim.lab.yamlfile import Tagged, key_text, locate, parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("22:22", "22:22"),
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("0x10", 16),
        ("0o17", 15),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("~", None),
        ("2026-01-01", "2026-01-01"),
        ("'1'", "1"),
        ("!reset null", Tagged("!reset", None)),
    ],
)
def test_scalars_follow_the_core_schema(text: str, value: Any) -> None:
    assert parse_yaml(f"a: {text}", "f.yml") == {"a": value}


def test_merge_keys_give_what_the_mapping_does_not_say_itself() -> None:
    document = parse_yaml("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz:\n  <<: [*x, {c: 4}]\n", "f.yml")
    assert document["y"] == {"a": 1, "b": 3}
    assert document["z"] == {"a": 1, "b": 2, "c": 4}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "f.yml:1: yaml: expected the node content, but found '<stream end>'"),
        ("a: 1\nb: 2\na: 3", "f.yml:3: yaml: mapping key 'a' already defined at line 1"),
        ("a:\n  - &a [*a]", "f.yml:2: yaml: an anchor contains itself"),
        ("a: *nope", "f.yml:1: yaml: found undefined alias 'nope'"),
        ("? [1]\n: 2", "f.yml:1: yaml: a key must be a string"),
        ("a\n---\nb", "f.yml:3: yaml: the file holds more than one document"),
        ("<<: 3", "f.yml:1: yaml: map merge requires map or sequence of maps as the value"),
        ("a: !!int x", "f.yml:1: yaml: cannot read 'x' as int"),
        ("[" * 3000, "f.yml: yaml: nested too deeply"),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(FileError) as caught:
        parse_yaml(text, "f.yml")
    assert str(caught.value) == message


def test_aliases_cannot_blow_a_document_up() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(FileError, match="excessive aliasing"):
        parse_yaml("\n".join(lines), "f.yml")


def test_every_value_knows_its_line() -> None:
    document = parse_yaml("a:\n  b:\n    - c\n    - d: 1\n", "f.yml")
    place = locate(document, ("a", "b", 1, "d"))
    assert place is not None
    assert (place.path, place.line) == ("f.yml", 4)
    assert key_text(("a", "b", 1, "d")) == "a.b[1].d"


@given(st.text(max_size=200))
def test_any_text_is_a_document_or_a_file_error(text: str) -> None:
    try:
        parse_yaml(text, "f.yml")
    except FileError as error:
        assert str(error).startswith("f.yml")
