"""Lab files with a swarm: its nodes, networks, secrets and stacks, and asking by the names of services and tasks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cnmsim import FileError, Lab
from cnmsim.cli import cli

HOSTS = """
hosts:
  node1: {addresses: [172.31.1.1/24], docker: true}
  node2: {addresses: [172.31.1.2/24], docker: true}
  node3: {addresses: [172.31.1.3/24], docker: true}
  client: {addresses: [172.31.1.50/24]}
"""
SWARM = f"""{HOSTS}
swarm:
  managers: [node1, node2]
  workers: [node3]
  default-addr-pool: 10.20.0.0/16
  subnet-size: 26
  nodes:
    node3: {{labels: {{zone: b}}}}
    node2: {{availability: pause}}
"""
SHOP = """
networks:
  uber-net: {attachable: true}
secrets:
  pw: hunter2
  key: {file: key.txt}
stacks:
  shop:
    services:
      web:
        image: nginx
        networks: [uber]
        ports: ["8080:80"]
        secrets: [pw, cert]
        deploy: {replicas: 2, placement: {constraints: [node.labels.zone == b]}}
    networks: {uber: {external: true, name: uber-net}}
    secrets: {pw: {external: true}, cert: {file: key.txt}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "key.txt").write_text("key")
    return tmp_path


def load(folder: Path, text: str) -> Lab:
    path = folder / "lab.yml"
    path.write_text(text)
    return Lab.from_file(path)


def test_a_file_makes_the_swarm(folder: Path) -> None:
    lab = load(folder, SWARM)
    docker = lab.host("node1").docker
    nodes = {each.hostname: each.attrs for each in docker.nodes.list()}
    assert [nodes[name]["Spec"]["Role"] for name in ("node1", "node2", "node3")] == ["manager", "manager", "worker"]
    assert nodes["node3"]["Spec"]["Labels"] == {"zone": "b"}
    assert nodes["node2"]["Spec"]["Availability"] == "pause"
    assert all(each["Status"]["State"] == "ready" for each in nodes.values())
    assert docker.networks.get("ingress").attrs["IPAM"]["Config"][0]["Subnet"] == "10.20.0.0/26"


def test_its_stacks_are_up_once_it_is_read(folder: Path) -> None:
    lab = load(folder, SWARM + SHOP)
    assert "Welcome to nginx!" in lab.host("client").curl("http://172.31.1.2:8080/").output
    node3 = lab.host("node3").docker
    assert node3 is not None
    assert len(node3.containers.list()) == 2
    assert lab["shop_web.2"].exec_run(["cat", "/run/secrets/pw"]).output == b"hunter2"  # type: ignore[union-attr]
    assert lab["shop_web.2"].exec_run(["cat", "/run/secrets/cert"]).output == b"key"  # type: ignore[union-attr]


def test_a_compose_project_joins_the_swarms_network(folder: Path) -> None:
    services = "{plain: {image: alpine, command: sleep 1d, networks: [uber-net]}}"
    compose = f"    compose: {{services: {services}, networks: {{uber-net: {{external: true}}}}}}\n"
    text = (
        (SWARM + SHOP)
        .replace("availability: pause", "availability: active")
        .replace(
            "node2: {addresses: [172.31.1.2/24], docker: true}\n",
            f"node2:\n    addresses: [172.31.1.2/24]\n    docker: true\n{compose}",
        )
    )
    lab = load(folder, text)
    for name in ("web:80", "shop_web:80", "tasks.web:80", "web.2:80", "shop_web.1:80"):
        assert lab.trace("plain", name).is_reachable, name


def test_services_and_tasks_are_found_by_name(folder: Path) -> None:
    lab = load(folder, SWARM + SHOP)
    assert lab.trace("shop_web.1", "shop_web.2:80").is_reachable
    assert lab.trace("web", "shop_web:80").is_reachable
    for node in ("node1", "node2", "node3"):
        walk = lab.trace("client", f"{node}:8080")
        assert walk.is_reachable, str(walk)


def test_ls_shows_nodes_services_and_tasks(folder: Path) -> None:
    (folder / "lab.yml").write_text(SWARM + SHOP)
    shown = CliRunner().invoke(cli, ["ls", str(folder / "lab.yml")])
    assert shown.exit_code == 0, shown.output
    assert "node3  172.31.1.3  worker   ready   active        zone=b" in shown.output
    assert "web      nginx:latest  replicated  2/2" in shown.output
    assert "*:8080->80/tcp" in shown.output
    found = json.loads(CliRunner().invoke(cli, ["ls", "--json", str(folder / "lab.yml")]).output)["swarms"]
    assert [each["name"] for each in found[0]["tasks"]] == ["web.1", "web.2"]
    assert found[0]["services"][0]["addresses"].keys() == {"ingress", "uber-net"}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (HOSTS + "stacks:\n  shop: stack.yml\n", 7, "the file declares no swarm"),
        (HOSTS + "swarm:\n  managers:\n    - nobody\n", 9, "no host named nobody"),
        (HOSTS + "swarm:\n  managers:\n    - client\n", 9, "client runs no engine: set docker: true"),
        (HOSTS + "swarm:\n  managers: [node1]\n  workers:\n    - node1\n", 10, "node1 is listed twice"),
        (HOSTS + "swarm:\n  managers: [node1]\n  nodes:\n    node2: {}\n", 10, "node2 is not a node of the swarm"),
        (HOSTS + "swarm:\n  workers: [node1]\n", 7, "managers is missing"),
        (HOSTS + "swarm:\n  managers: [node1]\n  default-addr-pool: 10.0.0.0/40\n", 8, "10.0.0.0/40"),
        (HOSTS + "swarm:\n  managers: [node1]\nsecrets:\n  pw:\n    file: none\n", 11, "No such file or directory"),
        (HOSTS + "swarm:\n  managers: [node1]\nsecrets:\n  pw: ''\n", 10, "secret data must be larger than 0"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(folder: Path, text: str, line: int, words: str) -> None:
    with pytest.raises(FileError) as refused:
        load(folder, text)
    assert refused.value.line == line, refused.value
    assert words in refused.value.message


def test_a_wrong_stack_is_told_with_its_own_line(folder: Path) -> None:
    (folder / "stack.yml").write_text("services:\n  web:\n    image: nginx\n    imag: x\n")
    with pytest.raises(FileError) as refused:
        load(folder, HOSTS + "swarm: {managers: [node1]}\nstacks: {shop: stack.yml}\n")
    assert (refused.value.path, refused.value.line) == (str(folder / "stack.yml"), 4)
