"""Programs that end because another one of their network namespace has their port."""

from __future__ import annotations

import pytest

from cnmsim import Lab

_HOST = """\
services:
  a: {{image: {image}, network_mode: host}}
  b: {{image: {image}, network_mode: host, depends_on: [a]}}
"""
_VPN = """\
services:
  vpn:
    image: qmcgaw/gluetun
    {ports}
  a: {{image: one, x-cnmsim: {{listens: [8080]}}, network_mode: "service:vpn"}}
  b: {{image: two, x-cnmsim: {{listens: [8080]}}, network_mode: "service:vpn", depends_on: [a]}}
  ask: {{image: alpine, command: sleep 1d}}
"""


@pytest.mark.parametrize(
    ("image", "last"),
    [
        ("postgres", "LOG:  database system is shut down"),
        ("redis", "# Failed listening on port 6379 (tcp), aborting."),
        ("mysql", "[Server] Aborting"),
        ("nginx", "[emerg] 1#1: still could not bind()"),
        ("grafana/grafana", "listen tcp :3000: bind: address already in use"),
    ],
)
def test_a_program_whose_port_is_taken_exits_with_its_own_words(image: str, last: str) -> None:
    lab = Lab.from_compose(_HOST.format(image=image))
    assert lab.project is not None
    container = next(item for item in lab.project.containers() if item.name.endswith("-b-1"))
    assert container.status == "exited"
    assert container.logs().decode().splitlines()[-1].endswith(last)
    (fault,) = lab.doctor().of("port-taken")
    assert ": container b" in fault.place
    assert "a listens there" in fault.text
    finding = lab.trace("client", f"b:{fault.text.partition(' port ')[2].partition(' ')[0]}").finding
    assert "b is not running (exited): a has its port" in str(finding)


def test_postgres_reports_both_families_as_a_real_one_does() -> None:
    lab = Lab.from_compose(_HOST.format(image="postgres"))
    assert lab.project is not None
    log = next(item for item in lab.project.containers() if item.name.endswith("-b-1")).logs().decode()
    lines = [line.partition("] ")[2] for line in log.splitlines() if "] " in line]
    assert [line for line in lines if "could not" in line] == [
        'LOG:  could not bind IPv4 address "0.0.0.0": Address already in use',
        'LOG:  could not bind IPv6 address "::": Address already in use',
        'WARNING:  could not create listen socket for "*"',
        "FATAL:  could not create any TCP/IP sockets",
    ]


def test_the_fix_gives_the_container_another_port_of_the_host() -> None:
    lab = Lab.from_compose(_HOST.format(image="postgres"))
    fix = lab.explain("client", "b:5432").fixes[0]
    assert fix.text.endswith('publish port 5432 of b as 5433 (ports: "5433:5432"), and use host:5433')
    assert fix.apply().reachable


def test_a_published_port_of_a_vpn_container_is_that_of_the_program_which_shares_its_network() -> None:
    lab = Lab.from_compose(_VPN.format(ports='ports: ["8080:8080"]'))
    assert lab.trace("ask", "vpn:8080").is_reachable
    assert lab.container("a").status == "running"


def test_two_programs_of_a_vpn_container_want_one_port() -> None:
    lab = Lab.from_compose(_VPN.format(ports=""))
    (fault,) = lab.doctor().of("port-taken")
    assert fault.text == "its program cannot listen on port 8080 of vpn: a listens there"
    assert "b is not running (exited): a has its port 8080 already" in str(lab.trace("ask", "b:8080").finding)


_SIDECAR = """\
services:
  vpn: {image: tailscale/tailscale, ports: ["8080:80", "5353:53/udp"]}
  web: {image: %s, network_mode: "service:vpn", depends_on: [vpn]}
  ask: {image: alpine, command: sleep 1d}
"""


@pytest.mark.parametrize("image", ["nginx", "httpd", "traefik/whoami"])
def test_a_server_beside_a_sidecar_that_publishes_its_port_runs_and_answers(image: str) -> None:
    lab = Lab.from_compose(_SIDECAR % image)
    assert lab.container("web").status == "running"
    asked = lab.explain("client", "host:8080")
    assert asked.reachable
    assert not asked.finding.assumptions, "a program that is simulated listens"
    assert lab.fork().explain("client", "host:8080").reachable
    assert not lab.doctor().of("port-taken")


def test_a_port_in_an_environment_is_that_of_its_program_and_not_of_the_sidecar_that_publishes_it() -> None:
    lab = Lab.from_compose(
        "services:\n"
        '  vpn: {image: qmcgaw/gluetun, ports: ["8080:8080"]}\n'
        '  torrent: {image: linuxserver/qbittorrent, network_mode: "service:vpn", environment: [WEBUI_PORT=8080]}\n'
    )
    asked = lab.explain("client", "host:8080")
    (assumed,) = asked.finding.assumption_texts
    assert assumed.startswith("qbittorrent in torrent listens on 8080/tcp (its environment has WEBUI_PORT=8080;")
    log = lab.container("torrent").logs().decode()
    assert "8080/tcp (WEBUI_PORT=8080 in its environment)," in log
    assert "qbittorrent (pid" in str(asked.trace)
