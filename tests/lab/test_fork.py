"""What-if copies: the same lab, and no thread from one to the other."""

import gc
import types

import pytest
from hypothesis import HealthCheck, given, settings

from cnmsim import Lab
from cnmsim.errors import Unavailable
from cnmsim.lab.copying import Copier
from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.testing.snapshot import Snapshot
from cnmsim.testing.strategies import NODE, LabSpec, lab_specs


@pytest.fixture
def built():
    lab = Lab()
    node = lab.add_host("node1", "10.0.0.15/24", docker=True)
    lab.add_host("client", "10.0.0.50/24", names={"a.example": "10.0.0.50"})
    node.docker.networks.create("front", enable_ipv6=True)
    node.docker.containers.run("nginx", name="web", network="front", ports={"80/tcp": 8080}, detach=True)
    node.docker.containers.run("alpine", "sleep infinity", name="box", network="front", detach=True)
    lab.settle()
    return lab


def path_to(root, goals):
    """Find a chain of references from `root` to one of `goals`, as the garbage collector sees them."""
    came_from = {id(root): None}
    goals = {id(goal) for goal in goals}
    open_ends = [root]
    while open_ends:
        here = open_ends.pop()
        for there in gc.get_referents(here):
            is_module = isinstance(there, (types.ModuleType, type)) or (
                type(there) is dict and "__builtins__" in there
            )
            if is_module or id(there) in came_from:
                continue
            came_from[id(there)] = here
            if id(there) in goals:
                path = [there]
                while here is not None:
                    path.append(here)
                    here = came_from[id(here)]
                return [f"{type(each).__name__} {each!r:.80}" for each in path]
            open_ends.append(there)
    return None


def test_a_fork_answers_as_the_original_does(built):
    fork = built.fork()
    assert fork.now == built.now
    for source, target in (("client", "10.0.0.15:8080"), ("box", "web:80"), ("box", "web:81"), ("web", "client")):
        ours, theirs = built.trace(source, target), fork.trace(source, target)
        assert ours.verdict is theirs.verdict
        assert [str(hop.addresses) for hop in ours.hops] == [str(hop.addresses) for hop in theirs.hops]


def test_nothing_in_a_fork_leads_back(built):
    fork = built.fork()
    node = built.host("node1")
    assert path_to(fork, [built, built.clock, node.machine, node.docker]) is None
    assert path_to(built, [fork, fork.clock, fork.host("node1").machine]) is None


def test_what_is_done_in_a_fork_is_not_seen_outside(built):
    fork = built.fork()
    before = {name: Snapshot.of(host) for name, host in built.hosts.items()}
    fork.host("node1").iptables("-I DOCKER-USER -p tcp --dport 80 -j DROP")
    fork.container("box").remove(force=True)
    fork.host("node1").docker.networks.create("more")
    fork.run(100)
    assert fork.trace("client", "10.0.0.15:8080", timeout_s=1).verdict is not Verdict.ANSWERED
    assert {name: Snapshot.of(host) for name, host in built.hosts.items()} == before
    assert built.trace("client", "10.0.0.15:8080").verdict is Verdict.ANSWERED


def test_both_give_out_the_same_addresses_and_ids_from_then_on(built):
    fork = built.fork()
    made = [
        lab.host("node1").docker.containers.run("alpine", "sleep 9d", name="new", network="front", detach=True)
        for lab in (built, fork)
    ]
    assert made[0].id == made[1].id
    assert made[0].ip("front") == made[1].ip("front")


def test_hand_made_rules_routes_sysctls_and_faults_are_carried(built):
    node = built.host("node1")
    node.iptables("-A INPUT -s 10.0.0.50 -p icmp -j DROP")
    node.exec("ip route add 192.0.2.0/24 via 10.0.0.50")
    node.exec("sysctl -w net.ipv4.icmp_echo_ignore_all=1")
    fork = built.fork()
    for command in ("iptables-save -c", "ip route", "ip neigh", "sysctl -a", "ip -d addr"):
        assert fork.host("node1").exec(command).output == node.exec(command).output


def test_programs_go_on_as_the_same_processes(built):
    client = built.host("client")
    started = client.start("nc -lk -p 7000")
    status, _ = built.container("box").exec_run("httpd -p 99")  # goes to the background
    assert not status
    built.container("web").pause()
    fork = built.fork()
    assert {pid: each.argv for pid, each in fork.host("client").machine.processes.items()}[
        started.pid
    ] == started.argv
    assert fork.trace("box", "10.0.0.50:7000").verdict is Verdict.ANSWERED
    assert fork.trace("client", "10.0.0.15:8080").verdict == built.trace("client", "10.0.0.15:8080").verdict
    assert fork.container("web").status == "paused"
    fork.container("web").unpause()
    assert fork.trace("web", "box:99").verdict is Verdict.ANSWERED


def test_a_fork_of_a_fork(built):
    fork = built.fork().fork()
    assert fork.trace("box", "web:80").verdict is Verdict.ANSWERED


def test_captures_stay_with_the_original(built):
    taken = built.capture("web:eth0")
    built.fork().trace("box", "web:80")
    assert not len(taken)


def test_a_lab_with_plugins_is_refused(tmp_path):
    lab = Lab(plugin_dirs=[tmp_path])
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    with pytest.raises(Unavailable, match="plugins"):
        lab.fork()


def test_what_cannot_be_copied_is_named(tmp_path):
    with (tmp_path / "file").open("w") as file, pytest.raises(Unavailable, match="TextIOWrapper"):
        Copier({}).copy({"file": file})


def test_closures_of_a_copy_are_its_own():
    held = []
    add = held.append
    both = {"held": held, "call": lambda value: add(value + 1)}
    copy = Copier({}).copy(both)
    copy["call"](1)
    assert copy["held"] == [2]
    assert not held


@given(spec=lab_specs(max_containers=2))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_labs_hold_the_same_when_forked(spec: LabSpec):
    lab = spec.build()
    fork = lab.fork()
    for name, host in lab.hosts.items():
        assert not Snapshot.of(host).difference(Snapshot.of(fork.host(name)))
    save = "iptables-save -c"
    assert lab.host(NODE).exec(save).output == fork.host(NODE).exec(save).output


def test_a_swarm_goes_on_in_the_fork():
    lab = Lab()
    nodes = [lab.add_host(f"node{number}", f"10.0.0.1{number}/24", docker=True).docker for number in (1, 2, 3)]
    tokens = nodes[0].swarm.init(advertise_addr="10.0.0.11").tokens
    nodes[1].swarm.join(tokens.manager, "10.0.0.11:2377")
    nodes[2].swarm.join(tokens.worker, "10.0.0.11:2377")
    nodes[0].networks.create("uber", driver="overlay", attachable=True)
    nodes[0].services.create("nginx", name="web", networks=["uber"], mode={"Replicated": {"Replicas": 2}})
    with pytest.raises(Unavailable, match=r"settle\(\)"):
        lab.fork()
    nodes[2].containers.run("alpine", "sleep infinity", name="box", network="uber", detach=True)
    early = lab.fork()  # gossip has not spread yet: it goes on in the copy
    early.settle()
    assert early.trace("box", "web:80").verdict is Verdict.ANSWERED
    lab.settle()
    fork = lab.fork()
    assert path_to(fork, [lab, lab.clock, lab.host("node1").machine]) is None
    leader = fork.host("node1").docker
    for there, here in ((leader, nodes[0]),):
        before, after = (
            sorted(each["ID"] for each in engine.services.get("web").tasks()) for engine in (here, there)
        )
        assert before == after
    assert fork.trace("box", "web:80").verdict is Verdict.ANSWERED
    leader.services.get("web").scale(4)
    fork.run(60)
    fork.settle()
    assert [each.attrs["Status"]["State"] for each in leader.nodes.list()] == ["ready"] * 3
    assert [each["Status"]["State"] for each in leader.services.get("web").tasks()] == ["running"] * 4
    assert len(nodes[0].services.get("web").tasks()) == 2


@pytest.mark.parametrize("command", ["", "sh -c 'sleep 1; exit 3'"])
def test_a_swarm_whose_tasks_fail_is_forked_between_two_attempts(command):
    lab = Lab()
    node = lab.add_host("node1", "10.0.0.11/24", docker=True)
    node.docker.swarm.init(advertise_addr="10.0.0.11")
    node.docker.networks.create("net", driver="overlay", attachable=True)
    if not command:  # no device for the network can be made
        node.exec("ip link add vx-001001-old type vxlan id 4097 dstport 4789 dev eth0")
    service = node.docker.services.create("nginx", command or None, name="web", networks=["net"])
    lab.run(9)
    while "ready" not in (states := [task["DesiredState"] for task in service.tasks()]) and "running" in states:
        lab.run(0.3)  # it runs, or tries to
    there = lab.fork()
    began = len(there.host("node1").docker.services.get("web").tasks())
    there.run(20)
    tried = there.host("node1").docker.services.get("web").tasks()
    assert len(tried) > began, "the copy goes on trying"
    if not command:
        there.host("node1").exec("ip link del vx-001001-old")
        there.settle()
        assert (
            there.host("node1").docker.services.get("web").tasks({"desired-state": "running"})[0]["Status"]["State"]
            == "running"
        )
        assert "vx-001001-old" in node.exec("ip link").output


@pytest.mark.parametrize(
    ("commands", "verdict"),
    [
        pytest.param(["iptables -A INPUT -p udp --dport 7946 -j DROP"], Verdict.ANSWERED, id="one way over UDP"),
        pytest.param(["iptables -A INPUT -p tcp --dport 7946 -j DROP"], Verdict.ANSWERED, id="one way over TCP"),
        pytest.param(
            [
                "iptables -A INPUT -p tcp --dport 7946 -j REJECT",
                "nft add table inet g",
                "nft 'add chain inet g input { type filter hook input priority 0; }'",
                "nft add rule inet g input udp dport 7946 drop",
            ],
            Verdict.NAME_NOT_FOUND,
            id="both",
        ),
    ],
)
def test_whether_a_swarm_with_filtered_gossip_can_be_forked_does_not_depend_on_the_moment(commands, verdict):
    lab = swarm_with_service()
    for command in commands:
        assert lab.host("node2").exec(command).status == 0
    lab.run(30)
    for _ in range(10):  # nodes are suspected, fail, join again, and sync
        fork = lab.fork()
        lab.run(6.3)
    fork.run(60)
    lab.run(60)
    assert fork.trace("box", "web:80").verdict is lab.trace("box", "web:80").verdict is verdict


def swarm_with_service():
    """Return a lab of two nodes, with a service on node2 and a container on node1 that uses it."""
    lab = Lab()
    one, two = (lab.add_host(f"node{number}", f"10.0.0.1{number}/24", docker=True).docker for number in (1, 2))
    two.swarm.join(one.swarm.init(advertise_addr="10.0.0.11").tokens.worker, "10.0.0.11:2377")
    one.networks.create("app", driver="overlay", attachable=True)
    one.services.create("nginx", name="web", networks=["app"], constraints=["node.hostname==node2"])
    one.containers.run("busybox", "sleep 1d", name="box", network="app", detach=True)
    lab.settle()
    return lab
