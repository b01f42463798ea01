"""A macvlan network of the whole swarm: every node assigns addresses of its own configuration network."""

from __future__ import annotations

import pytest

from cnmsim import Lab
from cnmsim.engine.client.containers import Container

RELEASES = ("26.1.5", "28.5.2", "29.7.2")


def swarm(release: str, ranges: tuple[str, str]) -> Lab:
    """Two nodes on one LAN with a configuration network each, and the swarm's network `wide` made of them."""
    lab = Lab(release)
    for number in (1, 2):
        lab.add_host(f"node{number}", f"192.168.56.{10 + number}/24", docker=True)
    lab.add_host("client", "192.168.56.50/24")
    first, second = (lab.host(name).docker for name in ("node1", "node2"))
    assert first is not None
    assert second is not None
    first.swarm.init(advertise_addr="192.168.56.11")
    second.swarm.join(first.swarm.tokens.worker, "192.168.56.11:2377")
    lab.run(5)
    for engine, ip_range in ((first, ranges[0]), (second, ranges[1])):
        pool = {"Subnet": "192.168.56.0/24", "IPRange": ip_range, "Gateway": "192.168.56.1"}
        options = {"parent": "eth0"}
        engine.networks.create("conf", config_only=True, driver="", options=options, ipam={"Config": [pool]})
    first.networks.create("wide", driver="macvlan", scope="swarm", attachable=True, config_from="conf")
    first.services.create("nginx", name="web", networks=["wide"], replicas=4)
    lab.run(15)
    return lab


def tasks(lab: Lab) -> dict[str, Container]:
    """The tasks of the swarm by their address."""
    found: dict[str, Container] = {}
    for name in ("node1", "node2"):
        engine = lab.host(name).docker
        for container in engine.containers.list():
            found[f"{name} {container.attrs['NetworkSettings']['Networks']['wide']['IPAddress']}"] = container
    return found


@pytest.mark.parametrize("release", RELEASES)
def test_tasks_have_addresses_of_their_node_and_find_each_other_by_name(release: str) -> None:
    lab = swarm(release, ("192.168.56.64/28", "192.168.56.128/28"))
    found = tasks(lab)
    assert set(found) == {f"node{n} 192.168.56.{a}" for n, a in ((1, 64), (1, 65), (2, 128), (2, 129))}
    near, far = found["node1 192.168.56.64"], found["node2 192.168.56.128"]
    assert near.exec_run("ping -c 1 -W 2 192.168.56.128").exit_code == 0
    listed = far.exec_run("nslookup tasks.web").output.decode()
    assert all(text.partition(" ")[2] in listed for text in found)
    assert "Welcome to nginx!" in lab.host("client").curl("http://192.168.56.129/").output
    assert not lab.host("node1").ping("192.168.56.64").succeeded
    assert lab.events == []


def test_addresses_of_two_nodes_clash_where_their_ranges_are_the_same() -> None:
    lab = swarm("29.7.2", ("192.168.56.64/28", "192.168.56.64/28"))
    assert set(tasks(lab)) == {f"node{n} 192.168.56.{a}" for n in (1, 2) for a in (64, 65)}
    assert {event.kind.value for event in lab.events} == {"duplicate-address"}
    assert {event.address[-1] for event in lab.events} == {64, 65}
