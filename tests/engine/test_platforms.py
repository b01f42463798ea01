"""Platforms of images, as containerd parses and matches them."""

import pytest

from cnmsim import Lab
from cnmsim.engine.images.platform import Platform
from cnmsim.errors import InvalidParameter, NotFound
from cnmsim.libnetwork.profile import PROFILES, profile

PATTERNS = profile("29.7.2").platform_patterns


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux", "linux/amd64"),
        ("x86_64", "linux/amd64"),
        ("aarch64", "linux/arm64"),
        ("armhf", "linux/arm"),
        ("linux/arm/7", "linux/arm/v7"),
        ("linux/arm64/8", "linux/arm64/v8"),
        ("linux/amd64/v1", "linux/amd64"),
        ("Windows(10.0.17763)/amd64", "windows(10.0.17763)/amd64"),
        ("macos/arm64", "darwin/arm64"),
    ],
)
def test_platforms_are_normalised(text, platform):
    assert str(Platform.parse(text, PATTERNS)) == platform


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", '"x": unknown operating system or architecture: invalid argument'),
        ("*", '"*": wildcards not yet supported: invalid argument'),
        ("linux/a/b/c", '"linux/a/b/c": cannot parse platform specifier: invalid argument'),
    ],
)
def test_what_is_no_platform_is_refused(text, message):
    with pytest.raises(InvalidParameter) as refused:
        Platform.parse(text, PATTERNS)
    assert refused.value.message == message


def test_an_older_variant_satisfies_a_request():
    newer, older = (Platform.parse(text, PATTERNS) for text in ("linux/amd64/v3", "linux/amd64"))
    assert newer.runs(older)
    assert not older.runs(newer)
    assert not newer.runs(Platform.parse("linux/arm64", PATTERNS))


@pytest.mark.parametrize("version", PROFILES)
def test_an_image_of_another_platform_is_pulled_and_then_found(version):
    api = Lab(version).add_host("node1", "10.0.0.15/24", docker=True).docker.rest
    with pytest.raises(NotFound, match=r"image with reference alpine was found but .*linux/arm64"):
        api.containers.create({"Image": "alpine"}, {"platform": "linux/arm64"})
    list(api.images.create({"fromImage": "alpine", "tag": "latest", "platform": "linux/arm64"}))
    assert api.images.inspect("alpine")["Architecture"] == "arm64"
    assert api.containers.create({"Image": "alpine"}, {"platform": "linux/arm64"})["Warnings"] == []
    assert "does not match the detected host platform" in api.containers.create({"Image": "alpine"})["Warnings"][0]
