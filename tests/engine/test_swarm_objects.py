"""Objects of a swarm by the engine's own API: services with their status, secrets, hosts of tasks, addresses."""

from __future__ import annotations

import re
from typing import Any

import pytest

from cnmsim import Lab
from cnmsim.engine.cluster import task_container
from cnmsim.engine.cluster.addresses import _is_global, _of_interface
from cnmsim.engine.engine import Engine
from cnmsim.engine.wire.api_version import ApiVersion
from cnmsim.errors import InvalidParameter, NotFound
from cnmsim.kernel.address import format_ip, parse_ip
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.dummy import Dummy
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.swarm.objects import ContainerSpec, Task


@pytest.fixture(scope="module")
def docker() -> Engine:
    docker: Any = Lab().add_host("node1", "10.0.0.15/24", docker=True).docker
    docker.swarm.init(advertise_addr="10.0.0.15")
    return docker  # type: ignore[no-any-return]


def services(docker: Engine, query: dict[str, str], version: str = "1.52") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = docker.complete(docker.rest.services.list(query, ApiVersion.parse(version)))
    return found


def test_services_have_their_status_where_the_request_and_its_version_ask_for_it(docker: Engine) -> None:
    # moby api/server/router/swarm getServices: `status` is read from API 1.41 on.
    service = docker.services.create("nginx", name="web")
    docker.clock.run_for(10)
    status = {"RunningTasks": 1, "DesiredTasks": 1, "CompletedTasks": 0}
    assert [view["ServiceStatus"] for view in services(docker, {"status": "1"})] == [status]
    assert [view["ServiceStatus"] for view in services(docker, {"status": "true"}, "1.41")] == [status]
    for query, version in (
        ({}, "1.52"),
        ({"status": "0"}, "1.52"),
        ({"status": "1"}, "1.40"),
        ({"status": "x"}, "1.40"),
    ):
        assert ["ServiceStatus" in view for view in services(docker, query, version)] == [False]
    with pytest.raises(InvalidParameter) as caught:
        services(docker, {"status": "x"})
    assert caught.value.message == 'invalid value for status: x: strconv.ParseBool: parsing "x": invalid syntax'
    service.remove()


def test_a_removed_secret_or_config_is_gone_and_its_name_free(docker: Engine) -> None:
    for kind in (docker.secrets, docker.configs):
        item, other = kind.create(name="one", data=b"1"), kind.create(name="two", data=b"2")
        item.remove()
        assert [left.name for left in kind.list()] == ["two"]
        with pytest.raises(NotFound):
            item.remove()
        assert kind.create(name="one", data=b"3").id != item.id
        other.remove()


def test_hosts_of_a_service_are_extra_hosts_of_its_containers() -> None:
    # SwarmKit keeps lines of /etc/hosts, "IP name"; moby convert: "name:IP". A line without a name is left out.
    def extra(*hosts: str) -> Any:
        spec = ContainerSpec("nginx", hosts=hosts)
        return task_container._host_config(Task("t"), spec)["ExtraHosts"]

    assert extra("10.0.0.1 db", "fd00::1 six", "10.0.0.2") == ["db:10.0.0.1", "six:fd00::1"]
    assert extra() is None


def test_capabilities_and_groups_of_a_service_are_those_of_its_containers() -> None:
    spec = ContainerSpec("nginx", capability_add=("NET_ADMIN",), capability_drop=("CHOWN",), groups=("33",))
    config = task_container._host_config(Task("t"), spec)
    assert (config["CapAdd"], config["CapDrop"], config["GroupAdd"]) == (["NET_ADMIN"], ["CHOWN"], ["33"])
    config = task_container._host_config(Task("t"), ContainerSpec("nginx"))
    assert config["CapAdd"] is config["CapDrop"] is config["GroupAdd"] is None


@pytest.mark.parametrize(
    ("address", "is_global"),
    [
        ("10.0.0.1", True), ("203.0.113.1", True), ("0.0.0.0", False), ("127.0.0.1", False), ("127.9.9.9", False),
        ("128.0.0.1", True), ("126.0.0.1", True), ("169.254.1.1", False), ("fd00::1", True), ("2001:db8::1", True),
        ("::", False), ("::1", False), ("::2", True), ("fe80::1", False),
    ],
)  # fmt: skip
def test_an_address_that_others_reach_is_no_loopback_and_not_link_local(address: str, is_global: bool) -> None:
    assert _is_global(parse_ip(address)) == is_global


@pytest.mark.parametrize(
    ("addresses", "address", "text"),
    [
        (["10.0.0.1/24"], "10.0.0.1", ""), (["fd00::1/64"], "fd00::1", ""),
        (["fd00::1/64", "10.0.0.1/24"], "10.0.0.1", ""),
        (["10.0.0.1/24", "10.0.0.2/24"], "", "interface eth0 has more than one IPv4 address (10.0.0.1 and 10.0.0.2)"),
        (
            ["10.0.0.1/24", "fd00::1/64", "fd00::2/64"], "",
            "interface eth0 has more than one IPv6 address (fd00::2 and fd00::1)",
        ),
        ([], "", "interface eth0 has no usable IPv4 or IPv6 address"),
    ],
)  # fmt: skip
def test_an_interface_stands_for_its_only_address(addresses: list[str], address: str, text: str) -> None:
    # moby daemon/cluster/listen_addr.go resolveInterfaceAddr
    device = Dummy("eth0", bytes(6), Clock())
    namespace = NetworkNamespace("host", Clock())
    namespace.add_device(device)
    for item in addresses:
        namespace.add_address(device, item)
    if not text:
        assert format_ip(_of_interface(device, "eth0")) == address
        return
    with pytest.raises(InvalidParameter, match=f"^{re.escape(text)}$"):
        _of_interface(device, "eth0")


def test_a_task_with_a_health_check_runs_once_it_is_healthy() -> None:
    # moby daemon/cluster/executor/container/controller.go Start: it waits for health before the service is enabled.
    lab = Lab()
    docker: Any = lab.add_host("node1", "10.0.0.15/24", docker=True).docker
    docker.swarm.init(advertise_addr="10.0.0.15")
    check = {"test": ["CMD-SHELL", "test -e /ready"], "interval": 1_000_000_000, "retries": 100}
    service = docker.services.create("alpine", ["sleep", "1d"], name="web", healthcheck=check)
    lab.run(10)
    assert [task["Status"]["State"] for task in service.tasks()] == ["starting"]
    (container,) = docker.containers.list()
    container.exec("touch /ready")
    lab.run(3)
    assert [task["Status"]["State"] for task in service.tasks()] == ["running"]
