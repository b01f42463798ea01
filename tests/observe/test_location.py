"""What a station serves, where several share a network stack."""

from __future__ import annotations

from cnmsim import Lab
from cnmsim.observe.directory import Directory
from cnmsim.observe.inventory import inventory


def lab_with_shared_stacks() -> Lab:
    lab = Lab()
    engine = lab.add_host("node1", "10.0.0.15/24", docker=True).docker
    engine.containers.run("nginx", name="web", ports={"80/tcp": 8080}, detach=True)
    engine.containers.run("alpine", "sleep infinity", name="watcher", network_mode="host", detach=True)
    engine.containers.run("alpine", "httpd -f -p 9000", name="agent", network_mode="host", detach=True)
    engine.containers.run("alpine", "httpd -f -p 81", name="sidecar", network_mode="container:web", detach=True)
    lab.clock.run_for(0.1)
    return lab


def served(lab: Lab) -> dict[str, list[tuple[str, int]]]:
    directory = Directory.of(lab.hosts.values())
    return {
        item.name: list(dict.fromkeys((each.program, each.port) for each in item.services))
        for item in directory.locations
    }


def test_the_proxies_are_the_hosts_and_a_guest_serves_its_own() -> None:
    found = served(lab_with_shared_stacks())
    assert found["watcher"] == []
    assert found["agent"] == [("httpd", 9000)]
    assert found["sidecar"] == [("httpd", 81)]
    assert ("docker-proxy", 8080) in found["node1"]
    assert ("httpd", 9000) in found["node1"]
    assert [port for _, port in found["web"]] == [80, 81]


def test_inventory_and_reachability_show_no_proxy_under_a_container_of_the_host() -> None:
    lab = lab_with_shared_stacks()
    listens = {each["name"]: each["listens"] for each in inventory(lab)["containers"]}
    assert (listens["watcher"], listens["agent"]) == ([], ["[::]:9000/tcp"])
    columns = lab.reachability(["web"]).services
    assert sorted(columns) == ["agent:9000", "sidecar:81", "web:80", "web:81"]
