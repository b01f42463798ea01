"""What the doctor finds in a Compose file, with the line of the file."""

from pathlib import Path

import pytest

from cnmsim import Lab
from cnmsim.lab.stack.default_topology import stack_lab

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
    assert "name the service: db:5432" in [fault.advice for fault in checkup.of("localhost-is-itself")]
    assert 'ports: "127.0.0.1:5432:5432"' in checkup.of("published-to-all")[0].advice


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
    assert lab.doctor().of("quorum")[0].advice.startswith(advice)


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


_BROKEN_LAB = """\
hosts:
  node1:
    addresses: [10.1.0.11/24]
    docker: true
    run:
      - sysctl -w net.ipv4.ip_forward=0   # hardened
      - iptables -A INPUT -p udp --dport 7946 -j DROP
    compose:
      services:
        db: {image: postgres, ports: ["5432:5432"]}
  node2: {addresses: [10.1.0.12/24], docker: true}
  node3: {addresses: [10.1.0.13/24], docker: true}
swarm:
  managers: [node1]
  workers: [node2, node3]
networks:
  app: {attachable: true, ipam: {config: [{subnet: 10.1.0.0/24}]}}
stacks:
  shop:
    services:
      sql: {image: postgres, ports: ["5433:5432", "8080:80"], networks: [app]}
    networks:
      app: {external: true}
"""


def _shown(lab: Lab) -> dict[str, tuple[str, list[str]]]:
    """Return the line and the changed lines of the fix of each fault, by its kind."""
    return {
        fault.kind: (
            fault.source.rpartition(":")[2],
            [line for edit in fault.fix.edits for line in edit.changed_lines] if fault.fix is not None else [],
        )
        for fault in lab.doctor().faults
    }


def test_faults_of_a_lab_file_have_its_lines_and_edits_that_were_tried(tmp_path: Path) -> None:
    path = tmp_path / "lab.yml"
    path.write_text(_BROKEN_LAB, encoding="utf-8")
    found = _shown(Lab.from_file(path))
    assert found["ip-forward-off"] == (
        "6", ["-      - sysctl -w net.ipv4.ip_forward=0   # hardened",
              "+      - sysctl -w net.ipv4.ip_forward=1   # hardened"],
    )  # fmt: skip
    assert found["port-blocked"] == ("7", ["-      - iptables -A INPUT -p udp --dport 7946 -j DROP"])
    assert found["overlay-on-host-subnet"][0] == "17"
    assert found["overlay-on-host-subnet"][1][1:] == ["+  app: {attachable: true}"]
    assert found["quorum"] == (
        "14", ["-  managers: [node1]", "-  workers: [node2, node3]", "+  managers: [node1, node2, node3]"]
    )  # fmt: skip
    assert found["published-to-all"][0] == "21"
    assert found["published-to-all"][1][1].strip("+ ").startswith('sql: {image: postgres, ports: ["8080:80"]')


def test_a_swarm_port_that_a_policy_closes_is_opened_by_a_rule(tmp_path: Path) -> None:
    path = tmp_path / "lab.yml"
    hosts = "".join(f"  node{n}: {{addresses: [10.1.0.1{n}/24], docker: true}}\n" for n in (1, 2))
    path.write_text(f"hosts:\n{hosts}swarm: {{managers: [node1, node2]}}\n", encoding="utf-8")
    lab = Lab.from_file(path)
    for rule in ("-P INPUT DROP", "-A INPUT -p tcp -j ACCEPT", "-A INPUT -p udp --dport 4789 -j ACCEPT"):
        lab.host("node2").iptables(rule)
    (fault,) = lab.doctor().of("port-blocked")
    assert fault.fix is not None
    assert fault.fix.commands == ("node2$ iptables -I INPUT -p udp --dport 7946 -j ACCEPT",)


@pytest.mark.parametrize(
    ("kind", "text", "line", "changed"),
    [
        (
            "duplicate-mac",
            ("services:\n  app: {image: nginx, mac_address: '02:42:ac:11:00:02'}\n  db:\n    image: postgres\n"
            "    networks:\n      default:\n        mac_address: 02:42:ac:11:00:02\n"),
            "7", ["-    networks:", "-      default:", "-        mac_address: 02:42:ac:11:00:02"],
        ),
        (
            "mtu",
            ("services: {app: {image: nginx, networks: [front]}}\nnetworks:\n  front:\n    driver_opts:\n"
            "      com.docker.network.driver.mtu: 9000\n"),
            "5", ["-      com.docker.network.driver.mtu: 9000", "+      com.docker.network.driver.mtu: 1500"],
        ),
        (
            "network-nearly-full",
            ("services: {app: {image: nginx, networks: [front], scale: 5}}\nnetworks:\n  front:\n    ipam:\n"
            "      config:\n        - subnet: 172.30.0.0/29\n"),
            "5", ["-    ipam:", "-      config:", "-        - subnet: 172.30.0.0/29"],
        ),
        (
            "localhost-is-itself",
            ("services:\n  app: {image: nginx, environment: ['A=redis://localhost:6379', 'PORT=80']}\n"
            "  cache: {image: redis}\n"),
            "2", ["-  app: {image: nginx, environment: ['A=redis://localhost:6379', 'PORT=80']}",
                  "+  app: {image: nginx, environment: ['A=redis://cache:6379', 'PORT=80']}"],
        ),
        (
            "published-to-all",
            "services:\n  db:\n    image: postgres\n    ports:\n      - target: 5432\n        published: 5432\n",
            "5", ["+        host_ip: 127.0.0.1"],
        ),
        (
            "published-on-internal",
            ("services: {app: {image: nginx, networks: [back], ports: ['80:80']}}\n"
            "networks: {back: {internal: true}}\n"),
            "1", ["-services: {app: {image: nginx, networks: [back], ports: ['80:80']}}",
                  "-networks: {back: {internal: true}}",
                  "+services: {app: {image: nginx, networks: [back, outside], ports: ['80:80']}}",
                  "+networks: {back: {internal: true}, outside: null}"],
        ),
    ],
)  # fmt: skip
def test_a_fault_of_a_compose_file_has_an_edit_that_removes_it(
    tmp_path: Path, kind: str, text: str, line: str, changed: list[str]
) -> None:
    path = tmp_path / "compose.yml"
    path.write_text(text, encoding="utf-8")
    lab = Lab.from_compose(path)
    assert _shown(lab)[kind] == (line, changed)
    fix = lab.doctor().of(kind)[0].fix
    assert fix is not None
    fix.write()
    assert not Lab.from_compose(path).doctor().of(kind)


_SERVICES = """\
services:
  web:
    image: nginx
    deploy: {replicas: 5}
    ports: [{target: 80, published: 8080, mode: host}]
  few:
    image: redis
    deploy:
      replicas: 4
      placement: {max_replicas_per_node: 1}
  fast:
    image: nginx
    deploy:
      placement:
        constraints: [node.labels.disk == ssd]
  job:
    image: nginx
    deploy:
      placement:
        constraints: [node.role == worker, node.platform.os == linux]
"""


def _stack_lab(folder: Path) -> Path:
    (folder / "stack.yml").write_text(_SERVICES, encoding="utf-8")
    hosts = "".join(f"  node{n}: {{addresses: [10.1.0.1{n}/24], docker: true}}\n" for n in (1, 2, 3))
    path = folder / "lab.yml"
    path.write_text(
        f"hosts:\n{hosts}swarm: {{managers: [node1, node2, node3]}}\nstacks: {{shop: stack.yml}}\n", encoding="utf-8"
    )
    return path


def test_a_service_whose_tasks_fit_no_node_is_found_with_an_edit_that_places_them(tmp_path: Path) -> None:
    faults = Lab.from_file(_stack_lab(tmp_path)).doctor().of("no-suitable-node")
    shown = {
        fault.place: (
            fault.severity.name, fault.source.rpartition("/")[2],
            [line for edit in fault.fix.edits for line in edit.changed_lines if line[0] == "+"] if fault.fix else [],
        )
        for fault in faults
    }  # fmt: skip
    assert shown == {
        "service web": ("WARNING", "stack.yml:4", ["+    deploy: {replicas: 3}"]),
        "service few": ("WARNING", "stack.yml:10", ["+      placement: {max_replicas_per_node: 2}"]),
        "service fast": (
            "ERROR",
            "stack.yml:15",
            ["+swarm: {managers: [node1, node2, node3], nodes: {node3: {labels: {disk: ssd}}}}"],
        ),
        "service job": ("ERROR", "stack.yml:20", ["+        constraints: [node.platform.os == linux]"]),
    }
    assert "no node satisfies node.role == worker" in faults[1].text


def test_on_nodes_that_cnmsim_chose_a_task_without_a_node_is_a_note(tmp_path: Path) -> None:
    (tmp_path / "stack.yml").write_text(_SERVICES, encoding="utf-8")
    faults = stack_lab([tmp_path / "stack.yml"], managers=3, workers=0, env={}).doctor().of("no-suitable-node")
    assert [(fault.severity.name, fault.fix) for fault in faults] == [("NOTE", None)] * 4
    assert "state the nodes with --managers and --workers" in faults[0].advice


@pytest.mark.parametrize(
    ("services", "severity", "holder", "changed"),
    [
        ("  a: {image: nginx, network_mode: host}\n  b: {image: nginx, network_mode: host}\n", "ERROR",
         "a listens there", ['+  b: {image: nginx, ports: ["81:80"]}']),
        ("  a: {image: redis, network_mode: host}\n  b: {image: redis, network_mode: host}\n", "WARNING",
         "a listens there (assumed from the image)", ['+  b: {image: redis, ports: ["127.0.0.1:6380:6379"]}']),
        ('  a: {image: nginx, ports: ["80:80"]}\n  b: {image: nginx, network_mode: host, depends_on: [a]}\n',
         "ERROR", "a publishes it", ['+  b: {image: nginx, depends_on: [a], ports: ["81:80"]}']),
        ('  a: {image: nginx}\n  b: {image: nginx, network_mode: "service:a"}\n', "ERROR", "a listens there", []),
    ],
)  # fmt: skip
def test_a_program_whose_port_another_one_of_the_namespace_has_is_found(
    services: str, severity: str, holder: str, changed: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "compose.yml"
    path.write_text(f"services:\n{services}", encoding="utf-8")
    (fault,) = Lab.from_compose(path).doctor().of("port-taken")
    assert (fault.severity.name, fault.source) == (severity, f"{path}:3")
    assert fault.text.endswith(holder)
    edits = fault.fix.edits if fault.fix is not None else ()
    assert [line for edit in edits for line in edit.changed_lines if line[0] == "+"] == changed


def test_a_port_that_a_vpn_container_publishes_for_another_is_not_taken() -> None:
    services = {
        "vpn": {"image": "qmcgaw/gluetun", "ports": ["8080:8080"]},
        "torrent": {"image": "lscr.io/linuxserver/qbittorrent", "network_mode": "service:vpn"},
    }
    assert not Lab.from_compose({"services": services}).doctor().of("port-taken")


def test_what_no_change_removes_is_advice_that_was_not_tried() -> None:
    lab = Lab.from_compose(
        {"services": {name: {"image": "nginx", "networks": {"default": {"aliases": ["api"]}}} for name in ("a", "b")}}
    )
    fault = lab.doctor().of("name-clash")[0]
    assert fault.fix is None
    assert "advice (not tried): set a different alias on each" in str(fault)
    assert fault.to_json()["fix"] is None


def test_machines_that_cnmsim_added_raise_no_warning() -> None:
    networks = {
        "lan": {
            "driver": "macvlan", "driver_opts": {"parent": "eth0"},
            "ipam": {"config": [{"subnet": "192.168.1.0/24"}]},
        }
    }  # fmt: skip
    lab = Lab.from_compose({"services": {"app": {"image": "nginx", "networks": ["lan"]}}, "networks": networks})
    assert len(lab.doctor()) == 0
