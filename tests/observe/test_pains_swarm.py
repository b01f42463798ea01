"""Faults of overlay networks and swarms: each is brought about, asked for, and mended as advised."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cnmsim import Lab
from cnmsim.errors import EngineError
from cnmsim.kernel.process import Process
from cnmsim.kernel.task import Future
from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.observe.explain import Explanation
from cnmsim.observe.fixes.changes import DeleteRule


class World:
    """Three nodes in two rooms with a router between, and a client outside of the swarm."""

    def __init__(self) -> None:
        self.pushes: list[Future[None]] = []
        self.lab = lab = Lab(programs={"talker": self._talk})
        lab.add_router("router", "10.1.0.1/24", "10.2.0.1/24")
        one = lab.add_host("node1", "10.1.0.11/24", gateway="10.1.0.1", docker=True).docker
        two = lab.add_host("node2", "10.2.0.12/24", gateway="10.2.0.1", docker=True).docker
        three = lab.add_host("node3", "10.2.0.13/24", gateway="10.2.0.1", docker=True).docker
        lab.add_host("client", "10.1.0.100/24", gateway="10.1.0.1")
        assert one is not None
        assert two is not None
        assert three is not None
        self.one, self.two, self.three = one, two, three
        one.swarm.init(advertise_addr="10.1.0.11")
        token = one.swarm.tokens.worker
        two.swarm.join(token, "10.1.0.11:2377")
        three.swarm.join(token, "10.1.0.11:2377")
        one.networks.create("uber-net", driver="overlay", attachable=True)
        one.networks.create("secret-net", driver="overlay", attachable=True, options={"encrypted": ""})
        one.networks.create("closed-net", driver="overlay")
        self.serve("web", "uber-net", ports={8080: 80})
        self.serve("secret", "secret-net")
        self.serve("closed", "closed-net")
        self.serve("hosted", "uber-net", ports={9090: (80, "tcp", "host")})
        one.services.create("nginx", name="idle", networks=["uber-net"], replicas=0, ports={7070: 80})
        one.services.create("nginx", name="nowhere", networks=["uber-net"], constraints=["node.hostname==node9"])
        self.settle()
        one.containers.run("busybox", "sleep 1d", name="c1", network="uber-net", detach=True)
        two.containers.run("busybox", "sleep 1d", name="c2", network="uber-net", detach=True)
        one.containers.run("busybox", "sleep 1d", name="s1", network="secret-net", detach=True)
        self.settle()

    def serve(self, name: str, network: str, **options: object) -> None:
        self.one.services.create(
            "nginx", name=name, networks=[network], constraints=["node.hostname==node2"], **options
        )

    def settle(self) -> None:
        self.lab.settle()

    async def _talk(self, process: Process) -> int:
        """Connect, and say something whenever somebody pushes."""
        socket = process.tcp(4)
        await socket.connect((process.argv[1], int(process.argv[2])))
        while True:
            push: Future[None] = Future(process.clock)
            self.pushes.append(push)
            await push
            socket.send(b"hello\n")
            try:
                await socket.recv(100)
            except ConnectionResetError:
                return 1

    @contextmanager
    def blocked(self, host: str, *rules: str) -> Iterator[None]:
        self.lab.hosts[host].exec("; ".join(f"iptables -I {rule}" for rule in rules))
        try:
            yield
        finally:
            self.lab.hosts[host].exec("; ".join(f"iptables -D {rule}" for rule in rules))

    def ask(self, source: str, destination: str, service: str | None = None) -> Explanation:
        return self.lab.explain(source, destination, service)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def fix_by_typing(world: World, asked: Explanation) -> None:
    """Type the command that the advice begins with: `…: iptables …`, on the host it names."""
    advised = asked.advice.partition(", or ")[0]
    before, _, command = advised.partition(": iptables ")
    assert world.lab.hosts[before.rpartition(" on ")[2]].exec(f"iptables {command}").succeeded, advised


@pytest.mark.parametrize(
    ("host", "chain", "way"),
    [
        ("node2", "INPUT", "node1 to node2"),
        ("router", "FORWARD", "node1 to node2"),
        ("node1", "INPUT", "node2 to node1"),
    ],
)
@pytest.mark.parametrize(
    ("asker", "goal", "network"), [("c1", "web:80", "uber-net"), ("client", "node1:8080", "ingress")]
)
def test_the_tunnels_port_is_blocked(
    world: World, host: str, chain: str, way: str, asker: str, goal: str, network: str
) -> None:
    with world.blocked(host, f"{chain} -p udp --dport 4789 -j DROP"):
        asked = world.ask(asker, goal)
        assert asked.verdict is Verdict.TIMEOUT
        assert f"VXLAN packet (UDP port 4789) from {way} that carries network {network}" in asked.decided_by
        assert f"is dropped on {host} by filter {chain}" in asked.decided_by
        assert ("the answer" in asked.decided_by) is (host == "node1")
        fix_by_typing(world, asked)
        assert world.ask(asker, goal)


@pytest.mark.parametrize(("host", "chain"), [("node2", "INPUT"), ("router", "FORWARD")])
def test_a_firewall_lets_no_esp_through(world: World, host: str, chain: str) -> None:
    assert world.ask("s1", "secret:80")
    with world.blocked(host, f"{chain} -p esp -j DROP"):
        assert world.ask("c1", "web:80"), "what is not encrypted passes"
        asked = world.ask("s1", "secret:80")
        assert asked.verdict is Verdict.TIMEOUT
        assert "ESP packet (IP protocol 50) from node1 to node2 that carries network secret-net" in asked.decided_by
        fix_by_typing(world, asked)
        assert world.ask("s1", "secret:80")


def test_encrypted_packets_are_told_of_inside_and_outside(world: World) -> None:
    walk = world.ask("s1", "secret:80").trace
    text = walk.text(width=160)
    assert "encrypted as ESP" in text
    assert "decrypted ESP" in text
    assert "into VNI" in text
    assert not walk.drops


def test_a_service_is_scaled_to_nothing(world: World) -> None:
    by_name, by_port = world.ask("c1", "idle:80"), world.ask("client", "node1:7070")
    assert by_name.verdict is Verdict.NAME_NOT_FOUND
    assert by_port.verdict is Verdict.REFUSED
    for asked in (by_name, by_port):
        assert "service idle has no task: it is scaled to 0" in asked.decided_by
        assert asked.advice == "docker service scale idle=1"


def test_a_service_that_fits_no_node(world: World) -> None:
    asked = world.ask("c1", "nowhere:80")
    assert "its task is pending (no suitable node" in asked.decided_by
    assert "docker service ps --no-trunc nowhere" in asked.advice


def test_the_asker_is_not_on_the_services_network(world: World) -> None:
    asked = world.ask("c1", "secret:80")
    assert "share no network (c1 is on uber-net, service secret on secret-net)" in asked.decided_by
    assert asked.advice == "docker network connect secret-net c1"
    asked = world.ask("c1", "closed:80")
    assert "closed-net is not attachable: only services may join it" in asked.decided_by
    assert "--attachable" in asked.advice
    with pytest.raises(EngineError, match=r"network .* not manually attachable"):
        world.one.networks.get("closed-net").connect("c1")


def test_a_port_in_host_mode_is_only_where_a_task_is(world: World) -> None:
    assert world.ask("client", "node2:9090")
    asked = world.ask("client", "node1:9090")
    assert asked.verdict is Verdict.REFUSED
    assert (
        "service hosted publishes it in mode host, only on the nodes that run one of its tasks (node2)"
        in asked.decided_by
    )
    assert asked.advice.startswith("use node2:9090")


def test_the_mesh_hides_the_client(world: World) -> None:
    asked = world.ask("client", "node1:8080")
    assert asked.verdict is Verdict.ANSWERED
    assert any("sees the client as 10.0.0." in remark for remark in asked.trace.finding.remark_texts)
    walk = "\n".join(f"{hop.what} {hop.decision}" for hop in asked.trace.shown())
    assert "-A DOCKER-INGRESS -p tcp -m tcp --dport 8080 -j DNAT" in walk
    assert "IPVS chooses" in walk
    assert "-j SNAT --to-source 10.0.0." in walk
    assert "-j REDIRECT --to-ports 80" in walk
    places = [hop.place for hop in asked.trace.hops]
    for place in ("ingress-sbox", "node1: overlay ingress", "router", "node2: overlay ingress"):
        assert place in places


def test_the_tables_that_decided_are_shown(world: World) -> None:
    address = world.two.containers.get("c2").attrs["NetworkSettings"]["Networks"]["uber-net"]["IPAddress"]
    world.lab.run(120)  # what c1 knows of its neighbours is stale by then, and asked again
    world.one.containers.get("c1").exec_run(["ip", "neigh", "flush", "dev", "eth0"])
    walk = world.lab.trace("c1", address)
    shown = {(hop.place, hop.device, hop.decision) for hop in walk.shown()}
    mac = "02:42:" + ":".join(f"{int(part):02x}" for part in address.split("."))
    assert ("node1: overlay uber-net", "vxlan0", f"{mac} dst 10.2.0.12 self permanent") in shown
    assert any(f"lladdr {mac} PERMANENT" in decision for _place, _device, decision in shown)


def test_small_packets_pass_and_full_ones_do_not(world: World) -> None:
    world.lab.segment("10.2.0.0/24").configure(mtu=1450)
    try:
        asked = world.ask("c1", "web:80")
        assert asked, "a handshake is small"
        remarks = " ".join(asked.trace.finding.remark_texts)
        assert "small packets pass, full ones do not" in remarks
        assert "segment 10.2.0.0/24 carries 1450; set com.docker.network.driver.mtu=1450" in remarks
        with world.lab.watch("c1") as walk:
            world.one.containers.get("c1").exec_run(["ping", "-c1", "-W2", "-s", "1400", "c2"])
        assert walk.verdict is Verdict.TIMEOUT
        assert (
            "is too long for segment 10.2.0.0/24, which carries 1450 bytes: 50 bytes of headers"
            in walk.finding.cause_text
        )
        assert "com.docker.network.driver.mtu=1450" in walk.finding.advice
    finally:
        world.lab.segment("10.2.0.0/24").configure(mtu=1500)
    assert "full ones" not in str(world.ask("c1", "web:80"))


def test_an_idle_connection_to_a_virtual_address_is_forgotten(world: World) -> None:
    world.one.services.create(
        "busybox", command=["nc", "-lk", "-p", "7000", "-e", "cat"], name="echo", networks=["uber-net"],
        constraints=["node.hostname==node2"],
    )  # fmt: skip
    world.settle()
    vip = next(
        each["Addr"].partition("/")[0] for each in world.one.services.get("echo").attrs["Endpoint"]["VirtualIPs"]
    )
    world.one.containers.get("c1").exec_run(["talker", vip, "7000"], detach=True)
    world.lab.run(890)
    with world.lab.watch("c1") as walk:
        world.pushes[-1].set_result(None)
        world.lab.run(1)
    assert walk.verdict is Verdict.ANSWERED
    world.lab.run(905)
    with world.lab.watch("c1") as walk:
        world.pushes[-1].set_result(None)
        world.lab.run(1)
    assert walk.verdict is Verdict.REFUSED
    assert "lb-uber-net resets the connection to service echo" in walk.finding.cause_text
    assert "idle for 900 s" in walk.finding.cause_text
    assert "dnsrr" in walk.finding.advice


def test_nothing_watched_is_nothing_found(world: World) -> None:
    with world.lab.watch("c1") as walk:
        world.lab.run(0.1)
    assert walk.finding is None


def test_drained_nodes_run_nothing(world: World) -> None:
    node = world.one.nodes.get("node2")
    node.update(Availability="drain")
    world.lab.run(40)
    try:
        for asked in (world.ask("c1", "web:80"), world.ask("client", "node3:8080")):
            assert "service web has no running task" in asked.decided_by
            assert asked.advice == "docker node update --availability active node2"
    finally:
        world.one.nodes.get("node2").update(Availability="active")
        world.lab.run(10)
        world.settle()
    assert world.ask("c1", "web:80")


def test_the_managers_port_is_blocked(world: World) -> None:
    with world.blocked("node2", "OUTPUT -p tcp --dport 2377 -j DROP"):
        world.lab.run(30)
        asked = world.ask("c1", "c2")
        assert asked, "what runs there goes on serving"
        assert any(
            "node2 is down: the managers receive no heartbeat from node2, as" in remark
            and "node2 closes TCP port 2377 (-A OUTPUT -p tcp -m tcp --dport 2377 -j DROP)" in remark
            and "iptables -t filter -D OUTPUT" in remark
            for remark in asked.trace.finding.remark_texts
        )
        asked = world.ask("node2", "node1:2377")
        assert "dropped on node2 by filter OUTPUT" in asked.decided_by
    world.lab.run(30)
    world.settle()
    assert "node2 is down" not in str(world.ask("c1", "c2"))


def test_gossip_is_blocked(world: World) -> None:
    with world.blocked("router", "FORWARD -p udp --dport 7946 -j DROP", "FORWARD -p tcp --dport 7946 -j DROP"):
        world.lab.run(60)
        address = world.two.containers.get("c2").attrs["NetworkSettings"]["Networks"]["uber-net"]["IPAddress"]
        world.one.containers.get("c1").exec_run(["ip", "neigh", "flush", "dev", "eth0"])
        by_name, by_port, by_address = (
            world.ask("c1", "web:80"),
            world.ask("client", "node1:8080"),
            world.ask("c1", address),
        )
        assert "node1 has not heard of service web on uber-net (its tasks are on node2)" in by_name.decided_by
        assert "no neighbour or FDB entry for it (c2 on node2)" in by_address.decided_by
        assert not by_port
        for asked in (by_name, by_port, by_address):
            assert "router closes UDP port 7946 (-A FORWARD -p udp -m udp --dport 7946 -j DROP)" in asked.decided_by
            assert " and router closes TCP port 7946 (" in asked.decided_by
            assert asked.advice.startswith("delete that rule on router: iptables")
            assert [type(change) for change in asked.fixes[0].changes] == [DeleteRule, DeleteRule]
    world.lab.run(90)
    world.settle()
    assert world.ask("c1", "web:80")
    assert world.ask("c1", "c2")
