"""Daemons of a swarm that are stopped (SIGSTOP) and go on: the others think them lost, and take them back."""

from cnmsim import Lab
from cnmsim.kernel.process import SIGCONT, SIGSTOP

_NODES = ("node1", "node2", "node3")


def swarm_of_three(role):
    lab = Lab()
    for number, name in enumerate(_NODES, 1):
        lab.add_host(name, f"10.0.0.{number}/24", docker=True)
    tokens = lab.host("node1").docker.swarm.init(advertise_addr="10.0.0.1").tokens
    for name in _NODES[1:]:
        lab.host(name).docker.swarm.join(getattr(tokens, role), "10.0.0.1:2377")
    lab.settle()
    return lab


def signal(lab, name, number):
    (daemon,) = (each for each in lab.host(name).machine.processes.values() if each.name == "dockerd")
    daemon.kill(number)


def states(lab, asked):
    nodes = lab.host(asked).docker.nodes.list()
    return {each.attrs["Description"]["Hostname"]: each.attrs["Status"]["State"] for each in nodes}


def leader(lab, asked):
    nodes = lab.host(asked).docker.nodes.list()
    return next(
        (
            each.attrs["Description"]["Hostname"]
            for each in nodes
            if each.attrs.get("ManagerStatus", {}).get("Leader")
        ),
        "",
    )


def test_a_stopped_worker_is_down_after_three_heartbeats_and_back_when_it_goes_on():
    lab = swarm_of_three("worker")
    lab.clock.run_for(20)
    signal(lab, "node3", SIGSTOP)
    before = lab.clock.now
    lab.clock.run_for(60, stop=lambda: states(lab, "node1")["node3"] == "down")
    # Its last heartbeat was at most 5.5 s ago; three of 4.5 to 5.5 s are waited for.
    assert 13.5 - 5.5 <= lab.clock.now - before <= 16.5
    signal(lab, "node3", SIGCONT)
    lab.clock.run_for(10)
    assert states(lab, "node1")["node3"] == "ready"
    lab.settle()


def test_the_tables_of_networks_are_back_at_once_when_a_stopped_worker_goes_on():
    lab = swarm_of_three("worker")
    manager = lab.host("node1").docker
    manager.networks.create("net", driver="overlay", attachable=True)
    manager.services.create("nginx", name="web", mode="global", networks=["net"])
    lab.settle()

    def seen():
        return len(manager.networks.get("net").attrs["Peers"])

    assert seen() == 3
    signal(lab, "node3", SIGSTOP)
    lab.clock.run_for(24)
    assert seen() == 2
    signal(lab, "node3", SIGCONT)
    lab.clock.run_for(2)
    assert seen() == 3


def test_a_stopped_leader_is_followed_by_another_and_follows_it_when_it_goes_on():
    lab = swarm_of_three("manager")
    assert leader(lab, "node2") == "node1"
    signal(lab, "node1", SIGSTOP)
    lab.clock.run_for(45)
    new = leader(lab, "node2")
    assert new in ("node2", "node3")
    assert states(lab, "node2")["node1"] == "down"
    signal(lab, "node1", SIGCONT)
    lab.clock.run_for(30)
    assert leader(lab, "node1") == leader(lab, "node2") == new
    assert set(states(lab, "node1").values()) == {"ready"}
    lab.settle()
