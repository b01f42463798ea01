"""The profiles of engine releases."""

import ast
from pathlib import Path

import attrs
import pytest

import cnmsim
from cnmsim.libnetwork.profile import DEFAULT_VERSION, PROFILES, Profile, profile


def test_the_newest_release_is_the_default() -> None:
    assert profile() is profile("29.7.2")
    assert DEFAULT_VERSION == "29.7.2"


def test_an_unknown_release_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown engine version '1\.13' \(known: 26\.1\.5, 28\.5\.2, 29\.7\.2\)"):
        profile("1.13")


@pytest.mark.parametrize("name", [each.name for each in attrs.fields(Profile) if each.metadata])
def test_every_attribute_tells_at_least_two_releases_apart(name: str) -> None:
    assert len({getattr(each, name) for each in PROFILES.values()}) > 1


def test_every_attribute_is_read_by_some_code() -> None:
    read: set[str] = set()
    for path in Path(cnmsim.__file__).parent.rglob("*.py"):
        if path.parent.name != "profile":
            nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            read |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    assert not {each.name for each in attrs.fields(Profile)} - read
