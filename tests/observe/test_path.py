"""The path of a probe in a few lines: which places it names, and what it says of each."""

from __future__ import annotations

import pytest
from support.lan import web_and_client

from cnmsim import Lab
from cnmsim.observe.trace.path import MAX_LINES, Station, path_line, path_lines


def test_a_network_is_named_between_two_containers() -> None:
    walk = web_and_client().trace("c1", "web:80")
    assert path_line(walk.path) == "c1 → shop (bridge) → web"
    assert [station.label for station in walk.path if station.changes] == ["web"]


def test_a_published_port_shows_where_the_destination_was_translated() -> None:
    walk = web_and_client().trace("client", "node1:8080")
    assert path_line(walk.path) == "client → node1 → DNAT → shop (bridge) → web"
    assert path_lines(walk.path)[0] == "node1  DNAT to 172.18.0.2:80"


def test_docker_proxy_continues_the_path() -> None:
    walk = web_and_client().trace("node1", "127.0.0.1:8080")
    assert path_line(walk.path).endswith("shop (bridge) → web")
    assert any("docker-proxy" in line for line in path_lines(walk.path))


def test_a_drop_names_the_rule() -> None:
    lab = web_and_client()
    lab.host("node1").iptables("-I DOCKER-USER -p tcp --dport 80 -j DROP")
    walk = lab.trace("client", "node1:8080", timeout_s=1)
    assert path_line(walk.path) == "client → node1 → DNAT → dropped"
    assert (
        "dropped by filter FORWARD → DOCKER-USER: -A DOCKER-USER -p tcp -m tcp --dport 80 -j DROP"
        in path_lines(walk.path)[0]
    )
    assert walk.summary().startswith("no, timeout after 1 s: client → node1:8080 (tcp)\n")


def test_a_name_that_is_not_found_has_no_path() -> None:
    walk = web_and_client().trace("c1", "wbe:80")
    assert walk.path == ()
    assert "path:" not in walk.summary()


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_summary_keeps_its_width(width: int) -> None:
    lab = web_and_client()
    for walk in (lab.trace("client", "node1:8080"), lab.trace("client", "node1:81"), lab.trace("c1", "nope")):
        assert all(len(line) <= width for line in walk.summary(width).splitlines())


def test_a_long_path_is_cut_in_the_middle() -> None:
    path = tuple(Station(f"r{number}", ("SNAT to 10.0.0.1",)) for number in range(12))
    lines = path_lines(path)
    assert len(lines) == MAX_LINES
    assert lines[0].startswith("r0 ") and lines[-1].startswith("r11")
    assert "7 further places" in lines[2]


_SHARED = {
    "services": {
        "vpn": {"image": "qmcgaw/gluetun"},
        "app": {"image": "acme/app", "network_mode": "service:vpn"},
        "web": {"image": "acme/web", "ports": ["8080:80"], "extra_hosts": ["host.docker.internal:host-gateway"]},
    }
}


def test_a_path_begins_at_the_container_that_asks() -> None:
    lab = Lab.from_compose(_SHARED)
    assert path_line(lab.trace("app", "web:80").path) == "app → default (bridge) → web"
    assert path_line(lab.trace("vpn", "web:80").path) == "vpn → default (bridge) → web"


def test_docker_proxy_leads_back_to_the_container_that_asks() -> None:
    path = Lab.from_compose(_SHARED).trace("web", "host.docker.internal:8080").path
    assert path_line(path) == "web → host → default (bridge) → web"


def test_an_open_path_ends_with_no_refusal() -> None:
    path = Lab.from_compose(_SHARED).trace("web", "vpn:1").path
    assert "refused" not in path_line(path)
    assert path[-1].changes == ("arrived; what listens here is not known",)
