"""What a probe can be sent to."""

from __future__ import annotations

import pytest

from cnmsim.errors import InvalidParameter
from cnmsim.observe.trace.target import Target


@pytest.mark.parametrize(
    ("text", "protocol", "expected"),
    [
        ("db:5432", None, Target("db", 5432, "tcp")),
        ("db", None, Target("db", 0, "icmp")),
        ("db:53/udp", None, Target("db", 53, "udp")),
        ("db:53", "udp", Target("db", 53, "udp")),
        ("[fd00::2]:80", None, Target("fd00::2", 80, "tcp")),
        ("fd00::2", None, Target("fd00::2", 0, "icmp")),
        ("http://web/", None, Target("web", 80, "tcp")),
        ("https://web:8443/path?x=1", None, Target("web", 8443, "tcp")),
        ("redis://cache", None, Target("cache", 6379, "tcp")),
        ("web:80", "icmp", Target("web", 0, "icmp")),
    ],
)
def test_a_destination_is_read(text: str, protocol: str | None, expected: Target) -> None:
    assert Target.parse(text, protocol) == expected


@pytest.mark.parametrize("text", ["db:99999", ":80", "http://", "db:0", "http://web:x/", "gopher://web"])
def test_an_impossible_destination_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter):
        Target.parse(text)


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("tcp/80", Target("web", 80, "tcp")),
        ("80/udp", Target("web", 80, "udp")),
        (80, Target("web", 80, "tcp")),
        ("icmp", Target("web", 0, "icmp")),
    ],
)
def test_a_service_is_read(service: str | int, expected: Target) -> None:
    assert Target.of_service("web", service) == expected


def test_a_destination_is_written_as_it_is_read() -> None:
    for text in ("db:5432", "db:53/udp", "[fd00::2]:80", "db"):
        assert str(Target.parse(text)) == text
