"""Answers on terminals: coloured where they are to be read, plain in files, and no wider than the screen."""

import io

import pytest
from rich.console import Console

from cnmsim import Lab
from cnmsim.observe.inventory import inventory_text
from cnmsim.observe.terminal import coloured
from cnmsim.observe.trace.table import plain_grid


def printed(text, **options):
    stream = io.StringIO()
    Console(file=stream, force_terminal=True, width=100, color_system="standard", **options).print(coloured(text))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("line", "begin"),
    [
        ("error [x] node1: bad", "\x1b[1;31merror\x1b[0m"),
        ("warning [x] node1: bad", "\x1b[1;33mwarning\x1b[0m"),
        ("TIMEOUT: dropped", "\x1b[1;31mTIMEOUT\x1b[0m"),
        ("ANSWERED: web answers", "\x1b[1;32mANSWERED\x1b[0m"),
        ("  fix: do this", "  \x1b[1mfix:\x1b[0m"),
        ("HOST   NETWORK  DRIVER", "\x1b[1mHOST   NETWORK  DRIVER\x1b[0m"),
    ],
)
def test_what_decides_is_coloured(line, begin):
    assert printed(line).startswith(begin)


def test_the_verdict_of_an_explanation_is_coloured():
    assert "\x1b[1;31mno, name not found\x1b[0m" in printed("no, name not found: a → b:80 (tcp)")
    assert "\x1b[1;32myes, answered\x1b[0m" in printed("yes, answered: a → b:80 (tcp)")


def test_no_color_is_kept_to(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in printed("error [x] node1: bad")
    assert "31m" not in printed("error [x] node1: bad")


def test_colours_leave_the_text_as_it_is():
    text = "a → b: no, timeout\ncause: x\n\n  fix: y [bold]z[/bold]\n"
    assert coloured(text).plain == text


def test_a_wide_table_is_wrapped_in_its_widest_column():
    rows = [("a", "one, two, three, four, five, six", "x"), ("b", "", "y")]
    assert plain_grid(("A", "B", "C"), rows).splitlines()[1] == "a  one, two, three, four, five, six  x"
    assert plain_grid(("A", "B", "C"), rows, width=26).splitlines() == [
        "A  B                     C",
        "a  one, two, three,      x",
        "   four, five, six",
        "b                        y",
    ]


def test_a_lab_is_listed_on_a_screen_of_80_columns():
    lab = Lab()
    node = lab.add_host("node1", "10.9.0.15/24", docker=True)
    node.docker.networks.create("front")
    node.docker.containers.run("nginx", name="web", network="front", ports={"80/tcp": 8080}, detach=True)
    wide, narrow = inventory_text(lab), inventory_text(lab, width=80)
    assert max(map(len, wide.splitlines())) > 80
    assert max(map(len, narrow.splitlines())) <= 80
    assert set("".join(narrow.split())) == set("".join(wide.split()))


def test_a_container_without_a_network_of_its_own_is_listed_with_host_or_none() -> None:
    lab = Lab()
    docker = lab.add_host("node1", "10.0.0.15/24", docker=True).docker
    for network in ("host", "none"):
        docker.containers.run("alpine", "sleep 1d", name=f"on_{network}", network=network, detach=True)
    rows = [line.split() for line in inventory_text(lab, width=200).splitlines()]
    assert ["node1", "on_host", "alpine", "host"] in rows
    assert ["node1", "on_none", "alpine", "none"] in rows


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_walk_without_a_packet_fits_the_screen(width):
    lab = Lab.from_compose("services:\n  a: {image: nginx, container_name: ipv6-site-old-1}\n")
    text = lab.trace("a", "[fd00:cafe::80]:80").text(width=width)
    assert "network is unreachable" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= width


def test_the_conclusion_of_a_walk_is_wrapped_without_blanks_at_the_ends():
    lab = Lab.from_compose({"services": {"a": {"image": "nginx"}, "b": {"image": "nginx", "network_mode": "host"}}})
    stream = io.StringIO()
    Console(file=stream, width=60).print(lab.trace("a", "b:80").rich())
    lines = stream.getvalue().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("NAME NOT FOUND: "))
    assert lines[start + 1].startswith("    ")
    assert [line for line in lines if line.endswith(" ") or len(line) > 60] == []
