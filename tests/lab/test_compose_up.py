"""A Compose project on an engine: what `docker compose up` and `down` leave behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cnmsim import FileError, Lab
from cnmsim.lab.compose.project import Project
from cnmsim.observe.diagnosis.verdict import Verdict

SHOP = """
services:
  web:
    image: nginx
    ports: ["8080:80"]
    networks:
      front: {}
      back: {aliases: [frontend]}
  db: {image: alpine, command: sleep 1d, networks: [back]}
  lone: {image: alpine, command: sleep 1d}
networks:
  default: {ipam: {config: [{subnet: 10.71.0.0/24}]}}
  front: {ipam: {config: [{subnet: 10.72.0.0/24, gateway: 10.72.0.9}]}}
  back: {internal: true, ipam: {config: [{subnet: 10.70.0.0/24}]}}
"""


def up(folder: Path, text: str, **options: Any) -> Lab:
    path = folder / "compose.yml"
    path.write_text(text)
    return Lab.from_compose(path, "shop", **options)


def project_of(lab: Lab) -> Project:
    assert lab.project is not None
    return lab.project


def sh(lab: Lab, container: str, command: str) -> tuple[int, str]:
    done = lab.container(container).exec_run(command)
    return done.exit_code, done.output.decode()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return up(tmp_path_factory.mktemp("shop"), SHOP)


def test_networks_and_containers_are_named_after_the_project(shop: Lab) -> None:
    docker = shop.host("host").docker
    networks = {(each.name, each.attrs["Driver"], each.attrs["Internal"]) for each in docker.networks.list()}
    assert networks == {
        ("bridge", "bridge", False), ("host", "host", False), ("none", "null", False),
        ("shop_back", "bridge", True), ("shop_default", "bridge", False), ("shop_front", "bridge", False),
    }  # fmt: skip
    assert {each.name for each in docker.containers.list()} == {"shop-db-1", "shop-lone-1", "shop-web-1"}


def test_a_network_has_the_labels_of_compose(shop: Lab) -> None:
    docker = shop.host("host").docker
    attrs = docker.networks.get("shop_back").attrs
    assert attrs["Labels"] == {
        "com.docker.compose.network": "back",
        "com.docker.compose.project": "shop",
        "com.docker.compose.version": "2.26.1",
    }
    assert attrs["IPAM"]["Config"] == [{"Subnet": "10.70.0.0/24", "Gateway": "10.70.0.1"}]


def test_the_primary_network_is_the_first_by_name_and_aliases_follow_the_container_and_the_service(shop: Lab) -> None:
    attrs = shop.container("shop-web-1").attrs
    assert attrs["HostConfig"]["NetworkMode"] == "shop_back"
    networks = attrs["NetworkSettings"]["Networks"]
    assert {name: (each["Gateway"], each["Aliases"]) for name, each in networks.items()} == {
        "shop_back": ("", ["shop-web-1", "web", "frontend"]),
        "shop_front": ("10.72.0.9", ["shop-web-1", "web"]),
    }


def test_the_default_route_is_not_the_internal_networks(shop: Lab) -> None:
    status, output = sh(shop, "shop-web-1", "ip route")
    assert status == 0
    assert output.splitlines()[0].startswith("default via 10.72.0.9 ")


@pytest.mark.parametrize(
    ("container", "command", "status", "text"),
    [
        ("shop-db-1", "ping -c 1 -W 2 frontend", 0, "1 packets received"),
        ("shop-db-1", "wget -T 2 -qO- http://web/", 0, "Welcome to nginx!"),
        ("shop-db-1", "wget -T 2 -qO- http://shop-web-1/", 0, "Welcome to nginx!"),
        ("shop-lone-1", "ping -c 1 -W 1 web", 1, "ping: bad address 'web'"),
        ("shop-db-1", "ping -c 1 -W 1 203.0.113.10", 1, "ping: sendto: Network is unreachable"),
        ("shop-web-1", "ping -c 1 -W 2 203.0.113.10", 0, "ttl=62"),
    ],
)
def test_containers_reach_what_their_networks_let_them(
    shop: Lab, container: str, command: str, status: int, text: str
) -> None:
    found, output = sh(shop, container, command)
    assert (found, text in output) == (status, True), output


def test_a_published_port_answers_the_client_on_the_lan(shop: Lab) -> None:
    assert "Welcome to nginx!" in shop.host("client").curl("http://198.51.100.15:8080/").output
    assert project_of(shop).port("web", 80) == "0.0.0.0:8080"


def test_a_service_name_finds_its_first_container(shop: Lab) -> None:
    assert shop.container("web").name == "shop-web-1"
    assert shop["db"].name == "shop-db-1"


def test_the_topology_shows_networks_and_containers(shop: Lab) -> None:
    graph = shop.to_networkx()
    assert graph.nodes["host/shop_back"]["internal"] is True
    assert set(graph["host/shop-web-1"]) == {"host/shop_back", "host/shop_front"}
    assert graph.nodes["host"]["kind"] == "docker"


def test_scaling_adds_and_removes_replicas_and_leaves_the_others_alone(tmp_path: Path) -> None:
    lab = up(tmp_path, SHOP)
    project = project_of(lab)
    before = project.container("db").id
    project.up(scale={"db": 3})
    lab.settle()
    assert [each.name for each in project.containers("db")] == ["shop-db-1", "shop-db-2", "shop-db-3"]
    assert project.container("db").id == before
    _, output = sh(lab, "shop-web-1", "nslookup db")
    assert output.count("Address: 10.70.0.") == 3
    project.up()
    assert [each.name for each in project.containers("db")] == ["shop-db-1"]


def test_down_leaves_nothing(tmp_path: Path) -> None:
    lab = up(tmp_path, SHOP)
    docker = lab.host("host").docker
    project_of(lab).down()
    assert docker.containers.list(all=True) == []
    assert sorted(each.name for each in docker.networks.list()) == ["bridge", "host", "none"]


@pytest.mark.parametrize(
    ("text", "line", "key", "message"),
    [
        (
            (
                "services: {a: {image: alpine, networks: [x, y]}}\nnetworks:\n  x: {ipam: {config: [{subnet: "
                "10.1.0.0/16}]}}\n"
                "  y:\n    ipam:\n      config:\n        - subnet: 10.1.2.0/24\n"
            ),
            7,
            "networks.y.ipam.config[0].subnet",
            (
                "failed to create network shop_y: invalid pool request: Pool overlaps with other one on this address "
                "space"
            ),
        ),
        (
            (
                "services:\n  a:\n    image: alpine\n    command: sleep 1d\n    networks:\n      x:\n        "
                "ipv4_address: 10.9.0.1\n"
                "networks: {x: {ipam: {config: [{subnet: 10.1.0.0/16}]}}}"
            ),
            7,
            "services.a.networks.x.ipv4_address",
            "10.9.0.1",
        ),
        (
            (
                "services:\n  a: {image: nginx, ports: ['8080:80']}\n  b:\n    image: nginx\n    ports:\n    - "
                "8081:80\n    - 8080:81\n"
            ),
            7,
            "services.b.ports[1]",
            "port is already allocated",
        ),
        (
            "services:\n  a: {image: alpine}\nnetworks:\n  default: {driver: nope}",
            4,
            "networks.default.driver",
            "nope",
        ),
        ("services:\n  a: {image: 'Not An Image'}", 2, "services.a.image", "invalid reference format"),
        (
            "services:\n  a: {image: alpine, networks: [x]}\nnetworks:\n  x: {external: true}",
            4,
            "networks.x",
            "network x declared as external, but could not be found",
        ),
        (
            (
                "services:\n  a:\n    image: alpine\n    depends_on: {b: {condition: "
                "service_completed_successfully}}\n"
                "  b: {image: alpine, command: 'sh -c \"exit 3\"'}"
            ),
            4,
            "services.a.depends_on.b",
            'service "b" didn\'t complete successfully: exit 3',
        ),
    ],
)
def test_what_the_engine_refuses_gets_its_line_and_nothing_stays(
    tmp_path: Path, text: str, line: int, key: str, message: str
) -> None:
    path = tmp_path / "compose.yml"
    path.write_text(text)
    lab = Lab()
    docker = lab.add_host("node1", "198.51.100.5/24", docker=True).docker
    with pytest.raises(FileError) as caught:
        lab.up(path, project="shop", strict=True)
    assert message in str(caught.value)
    assert (caught.value.line, caught.value.key) == (line, key)
    assert docker.containers.list(all=True) == []
    assert sorted(each.name for each in docker.networks.list()) == ["bridge", "host", "none"]
    assert lab.project is None


def test_a_service_starts_after_what_it_waits_for(tmp_path: Path) -> None:
    lab = up(
        tmp_path,
        """
services:
  app: {image: alpine, command: sleep 1d, depends_on: {init: {condition: service_completed_successfully}}}
  init: {image: alpine, command: sleep 7}
""",
    )
    init, app = lab.container("init").attrs["State"], lab.container("app").attrs["State"]
    assert init["Status"] == "exited"
    assert init["FinishedAt"] <= app["StartedAt"]


def test_network_mode_service_shares_the_network_namespace(tmp_path: Path) -> None:
    lab = up(
        tmp_path,
        "services:\n  web: {image: nginx}\n  side: {image: alpine, command: sleep 1d, network_mode: 'service:web'}\n",
    )
    assert "Welcome to nginx!" in sh(lab, "side", "wget -qO- http://127.0.0.1/")[1]


def test_host_and_none_modes(tmp_path: Path) -> None:
    lab = up(
        tmp_path,
        "services:\n  web: {image: nginx, network_mode: host}\n  off: {image: alpine, command: sleep 1d, "
        "network_mode: none}\n",
    )
    assert "Welcome to nginx!" in lab.host("client").curl("http://198.51.100.15/").output
    assert "eth0" not in sh(lab, "off", "ip addr")[1]


def test_static_addresses_macs_and_extra_hosts(tmp_path: Path) -> None:
    lab = up(
        tmp_path,
        """
services:
  web:
    image: nginx
    hostname: front
    extra_hosts: ["printer:198.51.100.50"]
    networks: {x: {ipv4_address: 10.5.0.77, mac_address: "02:42:0a:05:00:4d"}}
networks: {x: {ipam: {config: [{subnet: 10.5.0.0/24}]}}}
""",
    )
    _, output = sh(lab, "web", "ip addr show eth0")
    assert "inet 10.5.0.77/24" in output
    assert "link/ether 02:42:0a:05:00:4d" in output
    assert sh(lab, "web", "hostname")[1] == "front\n"
    assert "198.51.100.50\tprinter" in sh(lab, "web", "cat /etc/hosts")[1]


def test_a_program_that_is_not_simulated_has_a_stand_in_on_its_ports(tmp_path: Path) -> None:
    lab = up(
        tmp_path,
        """
services:
  api: {build: ., ports: ["3000:3000"], command: npm start}
  cache: {image: "redis:8", command: redis-server --appendonly yes}
  client: {image: alpine, command: sleep 1d}
""",
    )
    found = {name: list(map(str, stand_in.ports)) for name, stand_in in project_of(lab).stand_ins.items()}
    assert found == {"api": ["3000/tcp"], "cache": ["6379/tcp"]}
    assert lab.container("cache").attrs["Config"]["Cmd"] == ["redis-server", "--appendonly", "yes"]
    assert list(lab.hosts) == ["router", "internet", "client-host", "host"]
    assert lab.trace("client", "api:3000").is_reachable
    assert lab.trace("client", "cache:6379").is_reachable


def test_two_projects_live_on_one_engine(tmp_path: Path) -> None:
    lab = up(tmp_path, SHOP)
    other = tmp_path / "other.yml"
    other.write_text(
        "services: {web: {image: nginx, networks: [x]}}\nnetworks: {x: {external: true, name: shop_front}}"
    )
    lab.up(other, project="other")
    assert sh(lab, "other-web-1", "wget -qO- http://shop-web-1/")[0] == 0


@pytest.mark.parametrize("engine", ["26.1.5", "28.5.2"])
def test_older_engines_run_projects_too(tmp_path: Path, engine: str) -> None:
    lab = up(tmp_path, SHOP, engine=engine)
    assert "Welcome to nginx!" in lab.host("client").curl("http://198.51.100.15:8080/").output


@pytest.mark.parametrize(
    "given", [SHOP, {"services": {"web": {"image": "nginx", "ports": ["8080:80"]}}}], ids=["text", "mapping"]
)
def test_a_project_may_be_given_as_text_or_as_plain_values(given: Any) -> None:
    assert project_of(Lab.from_compose(given, "shop")).port("web", 80) == "0.0.0.0:8080"


def test_what_is_wrong_in_a_text_is_told_with_its_line() -> None:
    with pytest.raises(FileError, match=r"^\(text\):3: services\.web\.imagee: "):
        Lab.from_compose("services:\n  web:\n    imagee: nginx\n", "shop")


def test_a_network_without_a_pool_left_names_who_holds_the_one_in_the_way() -> None:
    text = """\
services: {web: {image: nginx, networks: [one, two]}}
networks:
  one: {ipam: {config: [{subnet: 10.8.0.0/24}]}}
  two: {ipam: {config: [{subnet: 10.8.0.0/16}]}}
"""
    with pytest.raises(FileError, match=r"address space; in use: 10\.8\.0\.0/24 by network shop_one$"):
        Lab.from_compose(text, "shop")


def test_a_service_called_host_keeps_its_name(tmp_path: Path) -> None:
    lab = up(tmp_path, "services: {host: {image: nginx}, app: {image: alpine, command: sleep 1d}}")
    assert list(lab.hosts)[-1] == "host-host"
    assert lab.trace("app", "host:80").is_reachable
    assert lab.trace("client", "host-host:80").verdict is Verdict.REFUSED
