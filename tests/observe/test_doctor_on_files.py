"""What the doctor finds in a Compose file, with the line of the file."""

from pathlib import Path

import pytest

from cnmsim import Lab

_FILE = """\
name: t
services:
  app:
    image: nginx
    ports: ["8080:80"]
    environment:
      DATABASE_URL: postgres://u:p@localhost:5432/x
      API_URL: http://localhost:9000
      PUBLIC_URL: http://localhost:9000
      OWN: http://localhost:80
      ELSEWHERE: http://localhost:3000
  listed:
    image: nginx
    environment:
      - DB_HOST=localhost
      - REDIS_HOST=redis
  on_host:
    image: nginx
    network_mode: host
    environment: {DB_HOST: localhost}
  admin:
    image: alpine
    command: httpd -f -p 127.0.0.1:8000
    ports: ["8000:8000"]
    healthcheck: {test: "wget -q http://localhost:8000/"}
  db:
    image: postgres:17
    ports: ["5432:5432"]
    healthcheck: {test: [CMD, pg_isready, -h, localhost]}
  redis:
    image: redis
  api:
    image: alpine
    command: httpd -f -p 9000
    ports: ["9000:9000", "9200:9200"]
    healthcheck: {test: "wget -q http://localhost:5432/ || exit 1"}
  worker:
    image: alpine
    command: sh -c "while true; do curl http://127.0.0.1:6379/; sleep 60; done"
  hidden:
    image: nginx
    ports: ["8083:80"]
    networks: [inside]
networks:
  default:
  inside: {internal: true}
"""


def _line(text: str) -> int:
    return next(number for number, line in enumerate(_FILE.splitlines(), 1) if text in line)


def test_each_fault_of_a_file_is_found_once_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "compose.yml"
    path.write_text(_FILE, encoding="utf-8")
    checkup = Lab.from_compose(path).doctor()
    found = {(fault.kind, fault.place.rpartition(" ")[2], fault.source) for fault in checkup.faults}
    expected = {
        ("localhost-is-itself", "app", "DATABASE_URL"),
        ("localhost-is-itself", "listed", "DB_HOST=localhost"), ("localhost-is-itself", "api", "localhost:5432/ ||"),
        ("localhost-is-itself", "worker", "while true"), ("nobody-listens", "admin", '"8000:8000"'),
        ("nobody-listens", "api", '"9000:9000"'), ("published-to-all", "db", '"5432:5432"'),
        ("published-on-internal", "hidden", '"8083:80"'),
    }  # fmt: skip
    assert found == {(kind, place, f"{path}:{_line(text)}") for kind, place, text in expected}
    assert "name the service: db:5432" in [fault.fix for fault in checkup.of("localhost-is-itself")]
    assert 'ports: "127.0.0.1:5432:5432"' in checkup.of("published-to-all")[0].fix


def test_a_url_is_a_fault_where_no_browser_on_the_host_can_use_it() -> None:
    checkup = Lab.from_compose(_FILE.replace('"9000:9000", ', "")).doctor()
    texts = [fault.text.partition(" ")[0] for fault in checkup.of("localhost-is-itself")]
    assert ("API_URL" in texts, "PUBLIC_URL" in texts) == (True, False)


@pytest.mark.parametrize(
    ("nodes", "managers", "advice"),
    [
        (3, 1, "docker node promote two more nodes"),
        (2, 1, "add a third node and make all three managers"),
        (3, 2, "docker node promote one more node"),
        (2, 2, "docker node demote one"),
    ],
)
def test_the_advice_about_managers_fits_the_number_of_nodes(nodes: int, managers: int, advice: str) -> None:
    lab = Lab()
    engines = [lab.add_host(f"node{n}", f"10.1.0.1{n}/24", docker=True).docker for n in range(1, nodes + 1)]
    engines[0].swarm.init(advertise_addr="10.1.0.11")
    tokens = engines[0].swarm.tokens
    for number, engine in enumerate(engines[1:], 2):
        engine.swarm.join(tokens.manager if number <= managers else tokens.worker, "10.1.0.11:2377")
    lab.settle()
    assert lab.doctor().of("quorum")[0].fix.startswith(advice)


def _tunnel(*, blocks_errors: bool) -> Lab:
    """Return a lab in which a router leads to a server over a link of 1,400 bytes, as a VPN does."""
    lab = Lab()
    node1 = lab.add_host("node1", "10.0.0.15/24", gateway="10.0.0.2", docker=True)
    vpn = lab.add_router("vpn", "10.0.0.2/24", "10.9.0.1/24")
    assert vpn.exec("ip link set eth1 mtu 1400").succeeded
    lab.add_host("server", "10.9.0.9/24", gateway="10.9.0.1", mtu=1400)
    node1.docker.containers.run("alpine", "sleep 1d", name="c1", detach=True)
    if blocks_errors:
        assert vpn.exec("iptables -A OUTPUT -p icmp -j DROP").succeeded
    return lab


@pytest.mark.parametrize("blocks_errors", [True, False])
def test_a_path_on_which_full_packets_vanish_is_found_by_sending_them(*, blocks_errors: bool) -> None:
    found = _tunnel(blocks_errors=blocks_errors).doctor().of("mtu-black-hole")
    assert [fault.place for fault in found] == (["node1: network bridge"] if blocks_errors else [])


def test_an_overlay_over_a_narrow_switch_is_a_black_hole() -> None:
    lab = Lab()
    one = lab.add_host("node1", "10.1.0.11/24", docker=True).docker
    two = lab.add_host("node2", "10.1.0.12/24", docker=True).docker
    one.swarm.init(advertise_addr="10.1.0.11")
    two.swarm.join(one.swarm.tokens.worker, "10.1.0.11:2377")
    one.networks.create("app", driver="overlay", attachable=True)
    for number, engine in enumerate((one, two), 1):
        engine.containers.run("alpine", "sleep 1d", name=f"c{number}", network="app", detach=True)
    lab.settle()
    assert not lab.doctor().of("mtu-black-hole")
    lab.segment("10.1.0.0/24").configure(mtu=1450)
    assert "from c1 to c2 is lost" in lab.doctor().of("mtu-black-hole")[0].text
