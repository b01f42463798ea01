"""Stacks in a swarm: deployed, deployed again, listed and removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnmsim import Conflict, FileError, InvalidParameter, Lab, NotFound, Unavailable
from cnmsim.lab.host import Host
from cnmsim.lab.stack import read_stack

SHOP = """
services:
  web: {image: nginx, networks: [front], ports: ["8080:80"], deploy: {replicas: 2}}
  db: {image: postgres, networks: [back], environment: {A: "1"}}
networks: {front: {}, back: {internal: true}}
"""


@pytest.fixture
def swarm() -> tuple[Lab, Host, Host]:
    lab = Lab()
    node1, node2 = (lab.add_host(f"node{n}", f"172.31.1.{n}/24", docker=True) for n in (1, 2))
    token = node1.docker.swarm.init(advertise_addr="172.31.1.1").tokens.worker
    node2.docker.swarm.join(token, "172.31.1.1:2377")
    return lab, node1, node2


Swarm = tuple[Lab, Host, Host]


def running(host: Host, stack: str) -> dict[str, str]:
    tasks = host.docker.stacks.get(stack).tasks()
    return {task["ID"]: task["Status"]["State"] for task in tasks if task["DesiredState"] == "running"}


def test_a_stack_comes_up_and_is_listed(swarm: Swarm) -> None:
    lab, node1, _ = swarm
    stack = node1.docker.stacks.deploy("shop", SHOP)
    lab.settle()
    assert [each.name for each in node1.docker.stacks.list()] == ["shop"]
    assert [each.name for each in stack.services()] == ["shop_db", "shop_web"]
    assert set(running(node1, "shop").values()) == {"running"}
    assert len(running(node1, "shop")) == 3
    assert {each.name for each in stack.networks()} == {"shop_front", "shop_back"}
    assert stack.service("web") == stack.service("shop_web")
    with pytest.raises(NotFound):
        stack.service("cache")


def test_deploying_again_touches_only_what_changed(swarm: Swarm) -> None:
    lab, node1, _ = swarm
    stack = node1.docker.stacks.deploy("shop", SHOP)
    lab.settle()
    before = {each["ID"] for each in stack.service("web").tasks()}
    old_db = {each["ID"] for each in stack.service("db").tasks()}
    node1.docker.stacks.deploy("shop", SHOP.replace('A: "1"', 'A: "2"'))
    lab.settle()
    assert {each["ID"] for each in stack.service("web").tasks()} == before
    assert {each["ID"] for each in stack.service("db").tasks()} > old_db
    assert stack.service("db").attrs["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"] == ["A=2"]


def test_a_forced_update_is_not_undone(swarm: Swarm) -> None:
    lab, node1, _ = swarm
    stack = node1.docker.stacks.deploy("shop", SHOP)
    lab.settle()
    stack.service("db").force_update()
    lab.settle()
    tasks = {each["ID"] for each in stack.service("db").tasks()}
    node1.docker.stacks.deploy("shop", SHOP)
    lab.settle()
    assert {each["ID"] for each in stack.service("db").tasks()} == tasks


def test_an_image_set_by_hand_stays_unless_it_is_always_resolved(swarm: Swarm) -> None:
    lab, node1, _ = swarm
    stack = node1.docker.stacks.deploy("shop", SHOP)

    def image() -> str:
        return str(stack.service("db").attrs["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"])

    stack.service("db").update(image="postgres:16")
    node1.docker.stacks.deploy("shop", SHOP, resolve_image="never")
    assert image() == "postgres:16"
    node1.docker.stacks.deploy("shop", SHOP.replace("postgres", "postgres:17"), resolve_image="changed")
    assert image() == "postgres:17"
    stack.service("db").update(image="postgres:16")
    node1.docker.stacks.deploy("shop", SHOP)
    assert image() == "postgres:latest"
    lab.settle()


def test_prune_removes_what_the_file_no_longer_has(swarm: Swarm) -> None:
    _, node1, _ = swarm
    stack = node1.docker.stacks.deploy("shop", SHOP)
    smaller = {"services": {"web": {"image": "nginx"}}}
    node1.docker.stacks.deploy("shop", smaller)
    assert [each.name for each in stack.services()] == ["shop_db", "shop_web"]
    node1.docker.stacks.deploy("shop", smaller, prune=True)
    assert [each.name for each in stack.services()] == ["shop_web"]


def test_removing_leaves_nothing(swarm: Swarm, tmp_path: Path) -> None:
    lab, node1, node2 = swarm
    (tmp_path / "pw").write_text("hunter2")
    text = SHOP.replace("environment:", "secrets: [pw], environment:") + f"secrets: {{pw: {{file: {tmp_path}/pw}}}}\n"
    stack = node1.docker.stacks.deploy("shop", text)
    lab.settle()
    assert [each.name for each in stack.secrets()] == ["shop_pw"]
    stack.remove()
    lab.settle()
    assert node1.docker.stacks.list() == []
    assert not node1.docker.secrets.list()
    for node in (node1, node2):
        assert not [each.name for each in node.docker.networks.list() if each.name.startswith("shop")]
        assert not node.docker.containers.list(all=True)
    with pytest.raises(NotFound, match="nothing found in stack: shop"):
        stack.remove()


def test_a_secret_in_use_elsewhere_is_told_when_a_stack_goes(swarm: Swarm, tmp_path: Path) -> None:
    _, node1, _ = swarm
    (tmp_path / "pw").write_text("hunter2")
    stack = node1.docker.stacks.deploy(
        "shop", {"services": {"web": {"image": "nginx"}}, "secrets": {"pw": {"file": str(tmp_path / "pw")}}}
    )
    node1.docker.services.create("alpine", "sleep 1d", name="other", secrets=["shop_pw"])
    with pytest.raises(Conflict, match=r"secret 'shop_pw' is in use by the following service: other"):
        stack.remove()
    assert not stack.services(), "the rest is gone"


def test_changed_content_of_a_secret_is_refused_at_its_line(swarm: Swarm, tmp_path: Path) -> None:
    _, node1, _ = swarm
    file = tmp_path / "stack.yml"
    file.write_text("services: {web: {image: nginx}}\nsecrets:\n  pw:\n    file: pw\n")
    (tmp_path / "pw").write_text("one")
    node1.docker.stacks.deploy("shop", file)
    (tmp_path / "pw").write_text("two")
    with pytest.raises(
        FileError, match=r"failed to update secret shop_pw: .*only updates to Labels are allowed"
    ) as told:
        node1.docker.stacks.deploy("shop", file)
    assert (told.value.path, told.value.line) == (str(file), 3)


def test_external_networks_have_to_be_there(swarm: Swarm) -> None:
    lab, node1, _ = swarm
    text = (
        "services: {web: {image: nginx, networks: [n]}}\nnetworks:\n  n:\n    external: true\n    name: everyones\n"
    )
    with pytest.raises(
        FileError, match='network "everyones" is declared as external, but could not be found'
    ) as told:
        node1.docker.stacks.deploy("shop", text)
    assert told.value.line == 3
    node1.docker.networks.create("everyones")
    with pytest.raises(FileError, match=r'not in the right scope: "local" instead of "swarm"'):
        node1.docker.stacks.deploy("shop", text)
    node1.docker.networks.get("everyones").remove()
    node1.docker.networks.create("everyones", driver="overlay")
    node1.docker.stacks.deploy("shop", text)
    lab.settle()
    assert list(running(node1, "shop").values()) == ["running"]


def test_what_the_manager_refuses_is_told_at_its_line(swarm: Swarm) -> None:
    _, node1, _ = swarm
    text = (
        "services:\n  a:\n    image: nginx\n    ports:\n      - '80:80'\n"
        "  b:\n    image: nginx\n    ports:\n      - '81:81'\n      - '80:80'\n"
    )
    with pytest.raises(FileError, match=r"failed to create service shop_b: .*port '80' is already in use") as told:
        node1.docker.stacks.deploy("shop", text)
    assert (told.value.line, told.value.key) == (10, "services.b.ports[1]")
    constraint = (
        "services:\n  a:\n    image: nginx\n    deploy:\n      placement:\n        constraints: ['node.role ~ x']\n"
    )
    with pytest.raises(FileError, match="constraint expected one operator from ==, !="):
        node1.docker.stacks.deploy("other", constraint)


def test_only_managers_deploy(swarm: Swarm) -> None:
    lab, _, node2 = swarm
    alone = lab.add_host("alone", "172.31.1.9/24", docker=True)
    for host in (node2, alone):
        with pytest.raises(Unavailable, match="this node is not a swarm manager"):
            host.docker.stacks.deploy("shop", SHOP)


def test_wrong_arguments(swarm: Swarm) -> None:
    _, node1, _ = swarm
    with pytest.raises(InvalidParameter, match=r'invalid stack name: " "'):
        node1.docker.stacks.deploy(" ", SHOP)
    with pytest.raises(InvalidParameter, match="invalid option often for flag --resolve-image"):
        node1.docker.stacks.deploy("shop", SHOP, resolve_image="often")


def test_stacks_are_listed_in_natural_order(swarm: Swarm) -> None:
    _, node1, _ = swarm
    for name in ("s10", "s2", "t"):
        node1.docker.stacks.deploy(name, {"services": {"web": {"image": "nginx"}}})
    assert [each.name for each in node1.docker.stacks.list()] == ["s2", "s10", "t"]


def test_an_engine_without_a_reader_takes_descriptions(swarm: Swarm) -> None:
    lab, node1, _ = swarm
    node1.docker.stacks.reader = None
    with pytest.raises(InvalidParameter, match="no reader of stack files"):
        node1.docker.stacks.deploy("shop", SHOP)
    stack = node1.docker.stacks.deploy("shop", read_stack("shop", SHOP))
    lab.settle()
    assert len(running(node1, stack.name)) == 3


def test_a_compose_project_makes_an_overlay_network_of_its_own(swarm: Swarm) -> None:
    lab, node1, node2 = swarm
    project = lab.up(
        {
            "services": {"web": {"image": "nginx", "networks": ["wide"]}},
            "networks": {"wide": {"driver": "overlay", "attachable": True}},
        },
        host="node1",
        project="site",
    )
    asker = node2.docker.containers.run("alpine", "sleep 1d", name="asker", network="site_wide", detach=True)
    assert lab.trace(asker, "web:80").is_reachable
    asker.remove(force=True)
    project.down()
    lab.settle()
    assert not node1.docker.networks.list(names=["site_wide"])
