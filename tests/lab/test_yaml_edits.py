"""Edits of a YAML text change the value that is meant, and no other character."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cnmsim.lab.edits.yaml_text import YamlText
from cnmsim.lab.yamlfile import parse_yaml

_FILE = """\
# A shop.
services:
    web:   # the front
        image: nginx

        networks: [ pages ]   # only pages

    db:
        image: "postgres:17"
        command:
        - postgres
        - -c   # an option
        - 'fsync=off'
        environment: &env
            A: 1

    job: {image: alpine, environment: *env}

networks:
    pages:
    data:
        internal: true
"""


def _changed(before: str, after: str) -> tuple[list[str], list[str]]:
    """Return the lines that are only in the first, and those only in the second text."""
    old, new = before.splitlines(), after.splitlines()
    return [line for line in old if line not in new], [line for line in new if line not in old]


@pytest.mark.parametrize(
    ("keys", "value", "removed", "added"),
    [
        (("services", "web", "networks"), "data", [1], ["        networks: [ pages, data ]   # only pages"]),
        (("services", "db", "command"), "x", [], ["        - x"]),
        (("services", "web", "ports"), "80:80", [], ["        ports:", '        - "80:80"']),
        (
            ("services", "job", "ports"),
            "80:80",
            [1],
            ['    job: {image: alpine, environment: *env, ports: ["80:80"]}'],
        ),
    ],
)
def test_an_item_is_appended_in_the_style_of_the_list(
    keys: tuple[str, ...], value: str, removed: list[int], added: list[str]
) -> None:
    text = YamlText(_FILE)
    text.append(keys, value)
    gone, new = _changed(_FILE, text.text)
    assert new == added
    assert len(gone) == len(removed)
    read = parse_yaml(text.text, "")
    for key in keys:
        read = read[key]
    assert read[-1] == value


def test_missing_mappings_are_added_after_the_last_value_and_before_the_empty_line() -> None:
    text = YamlText(_FILE)
    text.set(("networks", "pages", "driver_opts", "mtu"), 1400)
    text.set(("services", "web", "dns"), "9.9.9.9")
    text.set(("volumes", "x"), None)
    assert "    pages:\n        driver_opts:\n            mtu: 1400\n    data:\n" in text.text
    assert "# only pages\n        dns: 9.9.9.9\n\n    db:" in text.text
    assert text.text.endswith("\n        internal: true\n\nvolumes:\n    x:\n")


def test_a_value_that_is_an_alias_is_replaced_and_its_anchor_stays() -> None:
    text = YamlText("x-nets: &nets [a]\nservices:\n  web:\n    networks: *nets\n")
    text.append(("services", "web", "networks"), "b")
    assert text.text == "x-nets: &nets [a]\nservices:\n  web:\n    networks: [a, b]\n"


def test_a_key_is_removed_with_its_lines_and_an_only_entry_with_its_key() -> None:
    text = YamlText(_FILE)
    text.remove(("services", "db", "command"))
    text.remove(("services", "job", "environment"))
    text.remove(("networks", "data", "internal"))
    assert "fsync" not in text.text
    assert "    job: {image: alpine}\n" in text.text
    assert text.text.endswith("    pages:\n    data:\n")
    text.remove(("services", "web", "networks", 0))
    assert "only pages" not in text.text and "    web:   # the front\n        image: nginx\n" in text.text


def test_a_scalar_keeps_its_quotes() -> None:
    text = YamlText("""a: '8080:80'\nb: "8080:80"\nc: run -p 1.2.3.4:80\n""")
    for key, new in (("a", "1:2"), ("b", "3:4"), ("c", "run -p 0.0.0.0:80")):
        node = text.node((key,))
        assert isinstance(node, yaml.ScalarNode)
        text.rewrite(node, new)
    assert text.text == """a: '1:2'\nb: "3:4"\nc: run -p 0.0.0.0:80\n"""


def test_a_text_without_line_end_and_an_empty_text_take_a_key() -> None:
    text = YamlText("a: 1")
    text.set(("b",), 2)
    assert text.text == "a: 1\nb: 2"
    empty = YamlText("")
    empty.set(("a", "b"), [1])
    assert parse_yaml(empty.text, "") == {"a": {"b": [1]}}


_KEYS = st.sampled_from(["a", "b", "c", "x-y"])
_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-9, 9), st.sampled_from(["", "no", "80:80", "# x", "é", "- a"])
)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=3)),
    max_leaves=6,
)


@settings(max_examples=150)
@given(st.dictionaries(_KEYS, _VALUES, min_size=1), st.lists(_KEYS, min_size=1, max_size=3), _VALUES, st.booleans())
def test_setting_a_value_changes_nothing_else(data: dict[str, Any], keys: list[str], value: Any, flow: bool) -> None:
    text = YamlText(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, default_flow_style=flow or None))
    text.set(keys, value)
    expected: Any = data
    for key in keys[:-1]:
        if not isinstance(expected.get(key), dict):
            expected[key] = {}
        expected = expected[key]
    expected[keys[-1]] = value
    assert parse_yaml(text.text, "") == data


@settings(max_examples=100)
@given(st.dictionaries(_KEYS, st.lists(_SCALARS, max_size=3), min_size=1), _KEYS, _SCALARS, st.booleans())
def test_appending_an_item_changes_nothing_else(data: dict[str, Any], key: str, value: Any, flow: bool) -> None:
    text = YamlText("# top\n" + yaml.safe_dump(data, sort_keys=False, allow_unicode=True, default_flow_style=flow))
    text.append((key,), value)
    data.setdefault(key, []).append(value)
    assert parse_yaml(text.text, "") == data
    assert text.text.startswith("# top\n")
