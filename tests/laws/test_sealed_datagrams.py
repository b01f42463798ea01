"""Opaque datagrams over cached flows are never made into frames; nobody can tell, whatever changes while one is under
way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cnmsim import Lab
from cnmsim.kernel.offload.datagram_path import OpaqueDatagrams
from cnmsim.kernel.opaque_payload import OpaquePayload, payload_store
from cnmsim.kernel.sockets import UdpSocket

PORT = 7946
HOSTS = ("one", "two", "router", "three")
ADDRESSES = {"one": "10.1.0.2", "two": "10.1.0.3", "three": "10.2.0.2"}
LIFETIME_S = 10
#: A segment takes 0.1 ms: some moments lie between two stations, some at one.
MOMENTS = (0.00005, 0.0001, 0.00015, 0.0002, 0.001)

SENDS = st.tuples(
    st.sampled_from(["send", "known"]), st.sampled_from([("one", "three"), ("three", "one"), ("one", "two")]),
    st.sampled_from([20, 21, 1400])
)  # fmt: skip
CHANGES = st.one_of(
    SENDS,
    SENDS,
    st.tuples(st.sampled_from(["send", "known"]), st.just(("one", "three")), st.sampled_from([1444, 1445, 3000])),
    st.tuples(st.just("rule"), st.sampled_from(HOSTS), st.sampled_from([
        "-A INPUT -p udp -j DROP", "-A OUTPUT -p udp -j REJECT", "-A FORWARD -p udp", "-I FORWARD -p udp -j DROP",
        "-F",
        "-t nat -A POSTROUTING -p udp -j MASQUERADE", "-t nat -F", "-t mangle -A PREROUTING -j TTL --ttl-set 1",
        "-t mangle -F",
    ])),
    st.tuples(st.just("ttl"), st.sampled_from(["one", "three"]), st.sampled_from([1, 2, 64])),
    st.tuples(st.just("pause"), st.sampled_from(["one", "two", "three"]), st.booleans()),
    st.tuples(st.just("tap"), st.sampled_from(HOSTS), st.booleans()),
    st.tuples(st.just("listen"), st.sampled_from([0, 1]), st.booleans()),
    st.tuples(st.just("link"), st.sampled_from(HOSTS), st.booleans()),
    st.tuples(st.just("cut"), st.sampled_from(["one", "three"]), st.booleans()),
    st.tuples(st.just("lose"), st.sampled_from([("one", "three"), ("three", "one")]), st.booleans()),
    st.tuples(st.just("latency"), st.sampled_from([0, 1]), st.sampled_from([0.0001, 0.01])),
    st.tuples(st.just("rate"), st.sampled_from([0, 1]), st.sampled_from([1e6, 1e9])),
    st.tuples(st.just("segment_mtu"), st.sampled_from([0, 1]), st.sampled_from([1000, 1500])),
    st.tuples(st.just("mtu"), st.sampled_from(HOSTS), st.sampled_from([1000, 1500])),
    st.tuples(st.just("mac"), st.sampled_from(["one", "three"]), st.just(b"\x02\0\0\0\0\x09")),
    st.tuples(st.just("neighbour"), st.sampled_from(HOSTS), st.none()),
    st.tuples(st.just("conntrack"), st.sampled_from(HOSTS), st.none()),
    st.tuples(st.just("close"), st.sampled_from(["one", "two", "three"]), st.none()),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 2.5, 31.0, 130.0, 301.0]), st.none()),
)  # fmt: skip
#: What is sent, how long it has been under way when something changes, and how long it is until the next is sent.
EPISODES = st.lists(
    st.tuples(SENDS, st.sampled_from(MOMENTS), CHANGES, st.sampled_from((*MOMENTS, 0.1))), min_size=2, max_size=6
)
#: What happens while time passes, and how long after what was before.
COURSES = st.lists(
    st.tuples(
        st.one_of(
            SENDS, CHANGES.filter(lambda change: change[0] not in ("rule", "conntrack", "wait", "lose", "cut"))
        ),
        st.sampled_from((0.0, *MOMENTS)),
    ),
    min_size=1,
    max_size=12,
)
THERE = ("send", ("one", "three"), 20)
#: Twice, as an answer changes what a connection is.
WARM = 2 * [
    (("send", ends, 100), 0.001) for ends in (("one", "three"), ("three", "one"), ("one", "two")) for _ in range(6)
]


class World:
    """Two hosts on a segment, a third behind a router; what their sockets take, and when."""

    def __init__(self, *, knows_flows: bool) -> None:
        self.lab = lab = Lab()
        lab.add_router("router", "10.1.0.1/24", "10.2.0.1/24")
        for name, address in ADDRESSES.items():
            lab.add_host(name, f"{address}/24", gateway=f"{address[:5]}0.1")
        for name in ("one", "three"):  # as on every Docker host, connections are tracked
            lab.hosts[name].exec("iptables -A INPUT -m conntrack --ctstate INVALID -j DROP")
        lab.run(3)
        self.segments = list(lab.segments.values())
        self.spaces = {name: lab.hosts[name].namespace for name in HOSTS}
        if not knows_flows:
            for space in self.spaces.values():
                space.flows.disable()
        self.seen: list[Any] = []
        self.heard: list[Any] = []
        self.count = self.at_once = 0
        self.known: set[int] = set()
        self.sockets: dict[str, UdpSocket] = {}
        self.datagrams: dict[str, OpaqueDatagrams] = {}
        self.payloads = payload_store(lab.clock)
        self.paused: set[str] = set()
        for name in ADDRESSES:
            self.do_close(name, None)

    def do_close(self, name: str, _: None) -> None:
        if name in self.sockets:
            self.sockets[name].close()
        socket = self.sockets[name] = UdpSocket(self.spaces[name])
        socket.bind(("0.0.0.0", PORT))

        def is_redundant(content: Any) -> bool:
            return name not in self.paused and content in self.known

        def taken(content: Any, sender: Any) -> bool:
            if name in self.paused:
                return False
            if content not in self.known:
                self.seen.append((self.lab.clock.now_ns, name, content, sender))
            return True

        def readable(_: Any) -> None:
            if name not in self.paused:
                self.receive(name)

        self.datagrams[name] = OpaqueDatagrams(socket, taken, is_redundant)
        socket.on_readable = readable

    def receive(self, name: str) -> None:
        socket = self.sockets[name]
        while socket.pending:
            payload, sender = socket.recvfrom_nowait()
            try:
                content = self.payloads.decrypt(payload[1:])
            except ValueError as error:
                content = str(error)
            if content not in self.known:
                self.seen.append((self.lab.clock.now_ns, name, content, sender))

    def do(self, what: str, where: Any, value: Any, wait_s: float | None) -> None:
        try:
            getattr(self, f"do_{what}")(where, value)
        except OSError as error:
            self.seen.append((what, error.errno))
        if wait_s is not None:
            self.lab.run(wait_s)

    def do_send(self, ends: tuple[str, str], size: int) -> None:
        self.datagrams[ends[0]].send(self.sealed(size), self.place(ends[1]))

    def do_known(self, ends: tuple[str, str], size: int) -> None:
        """Send what the other side knows already."""
        sealed, datagrams, place = self.sealed(size), self.datagrams[ends[0]], self.place(ends[1])
        self.known.add(self.count)
        waiting = self.lab.clock.pending_count
        if not datagrams.send_if_redundant(sealed, place):
            datagrams.send(sealed, place)
        elif self.lab.clock.pending_count == waiting:
            self.at_once += 1

    def sealed(self, size: int) -> OpaquePayload:
        self.count += 1
        return self.payloads.payload(self.count, size, head=b"\x01", lifetime_s=LIFETIME_S)

    def place(self, name: str) -> tuple[bytes, int]:
        addresses = self.spaces[name].devices["eth0"].addresses
        return addresses[0].address if addresses else b"\x0a\x02\0\x02", PORT

    def do_plain(self, ends: tuple[str, str], size: int) -> None:
        """Send a datagram that is not sealed, of another socket, the same way."""
        other = UdpSocket(self.spaces[ends[0]])
        other.sendto(bytes(size), (self.spaces[ends[1]].devices["eth0"].addresses[0].address, PORT))
        other.close()

    def do_resume(self, name: str, _: None) -> None:
        """Let a program go on that takes what waits only when the next comes."""
        self.paused.discard(name)

    def do_permanent(self, name: str, mac: bytes) -> None:
        eth0 = self.spaces[name].devices["eth0"]
        for entry in self.spaces[name].neighbours.entries():
            self.spaces[name].neighbours.set_permanent(eth0, entry.address, mac)

    def do_rule(self, name: str, words: str) -> None:
        self.lab.hosts[name].exec(f"iptables {words}")

    def do_ttl(self, name: str, ttl: int) -> None:
        self.sockets[name].ttl = ttl

    def do_pause(self, name: str, is_paused: bool) -> None:
        (self.paused.add if is_paused else self.paused.discard)(name)
        if not is_paused:
            self.receive(name)

    def do_tap(self, name: str, is_there: bool) -> None:
        eth0 = self.spaces[name].devices["eth0"]
        eth0.taps = (lambda when, way, frame: self.heard.append((name, when, way, frame)),) if is_there else ()

    def do_listen(self, number: int, is_there: bool) -> None:
        self.segments[number].taps = (
            (lambda when, way, frame: self.heard.append((number, when, way, frame)),) if is_there else ()
        )

    def do_link(self, name: str, is_up: bool) -> None:
        eth0 = self.spaces[name].devices["eth0"]
        (eth0.set_up if is_up else eth0.set_down)()

    def do_cut(self, name: str, is_cut: bool) -> None:
        (self.lab.cut if is_cut else self.lab.heal)(name)

    def do_lose(self, ends: tuple[str, str], is_lossy: bool) -> None:
        self.lab.lose(*ends, 1.0 if is_lossy else 0.0)

    def do_latency(self, number: int, latency_s: float) -> None:
        self.segments[number].configure(latency_s=latency_s)

    def do_rate(self, number: int, rate: float) -> None:
        self.segments[number].configure(bandwidth_bps=rate)

    def do_segment_mtu(self, number: int, mtu: int) -> None:
        self.segments[number].configure(mtu=mtu)

    def do_mtu(self, name: str, mtu: int) -> None:
        self.spaces[name].devices["eth0"].set_mtu(mtu)

    def do_mac(self, name: str, mac: bytes) -> None:
        self.spaces[name].devices["eth0"].set_mac(mac)

    def do_neighbour(self, name: str, _: None) -> None:
        for entry in self.spaces[name].neighbours.entries():
            self.spaces[name].neighbours.remove(entry.device, entry.address)

    def do_conntrack(self, name: str, _: None) -> None:
        self.lab.hosts[name].exec("conntrack -F")

    def do_wait(self, seconds: float, _: None) -> None:
        self.lab.run(seconds)

    def state(self) -> list[Any]:
        """All that the datagrams left behind on their way."""
        found: list[Any] = []
        for name, space in self.spaces.items():
            host = self.lab.hosts[name]
            found += [
                (
                    device.rx_packets,
                    device.rx_bytes,
                    device.tx_packets,
                    device.tx_bytes,
                    device.rx_dropped,
                    device.tx_dropped,
                )
                for device in space.devices.values()
            ]
            found += [
                str(host.exec(words).output)
                for words in ("iptables -vnxL", "iptables -t nat -vnxL", "ip neigh", "conntrack -L")
            ]
        for segment in self.segments:
            found.append([(key, learnt.heard_ns) for key, learnt in segment._learnt.items()])
        return found


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(episodes=EPISODES)
@example(episodes=[(THERE, 0.00015, ("link", "three", False), 0.001)])
@example(episodes=[(THERE, 0.00015, ("cut", "three", True), 0.001)])
@example(episodes=[(THERE, 0.00005, ("rule", "router", "-I FORWARD -p udp -j DROP"), 0.001)])
@example(episodes=[(THERE, 0.00005, ("tap", "three", True), 0.001), (THERE, 0.001, ("tap", "three", False), 0.001)])
@example(
    episodes=[
        (THERE, 0.001, ("pause", "three", True), 0.001),
        (THERE, 0.001, ("wait", 31.0, None), 0.001),
        (THERE, 0.001, ("pause", "three", False), 0.001),
    ]
)
def test_what_is_sealed_arrives_as_if_every_frame_had_been_there(episodes: list[Any]) -> None:
    short, long = World(knows_flows=True), World(knows_flows=False)
    steps: list[Any] = []
    for send, under_way_s, change, wait_s in episodes:
        steps += [*WARM, (send, under_way_s), (change, wait_s)]
    for world in (short, long):
        for (what, where, value), wait_s in steps:
            world.do(what, where, value, wait_s)
        world.lab.run(1.0)
    assert short.seen == long.seen
    assert short.heard == long.heard
    assert short.state() == long.state()


@pytest.mark.parametrize(
    "changes",
    [
        [("latency", 0, 0.01), ("plain", ("one", "three"), 20), ("plain", ("one", "three"), 20)],
        [("permanent", "one", b"\x02\0\0\0\0\x77")],
        [("permanent", "router", b"\x02\0\0\0\0\x77")],
        [("pause", "three", True), THERE, ("resume", "three", None)],
    ],
    ids=["another way", "another station", "another station further on", "something waits"],
)
def test_what_changed_before_it_was_sent_counts(changes: list[Any]) -> None:
    short, long = World(knows_flows=True), World(knows_flows=False)
    steps = [*WARM, *((change, 0.1) for change in changes), (THERE, 0.1), (THERE, 0.1)]
    for world in (short, long):
        for (what, where, value), wait_s in steps:
            world.do(what, where, value, wait_s)
    assert short.seen == long.seen
    assert short.state() == long.state()


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(course=COURSES)
@example(course=[(("known", ("one", "three"), 20), 0.001), (("link", "router", False), 0.00005)])
@example(course=[(("known", ("one", "three"), 20), 0.001), (("mtu", "three", 1000), 0.00015)])
@example(course=[(("known", ("one", "three"), 20), 0.001), (("tap", "three", True), 0.0002)])
@example(
    course=[(THERE, 0.001), (("known", ("three", "one"), 20), 0.00005), (("known", ("one", "two"), 20), 0.00005)]
)
def test_what_is_known_has_arrived_before_anything_else_happens(course: list[Any]) -> None:
    short, long = World(knows_flows=True), World(knows_flows=False)
    for world in (short, long):
        for (what, where, value), wait_s in WARM:
            world.do(what, where, value, wait_s)
        moment_s = world.lab.clock.now
        for (what, where, value), wait_s in course:
            moment_s += wait_s
            world.lab.clock.call_later(moment_s - world.lab.clock.now, world.do, what, where, value, None)
        world.lab.run(1.0)
    assert short.seen == long.seen
    assert short.heard == long.heard
    assert short.state() == long.state()


def test_what_is_known_takes_no_time_of_anybody() -> None:
    world = World(knows_flows=True)
    for (what, where, value), wait_s in WARM:
        world.do(what, where, value, wait_s)
    clock = world.lab.clock
    before = world.at_once
    for ends in (("one", "three"), ("three", "one")):
        clock.call_later(0.001, world.do, "known", ends, 100, None)
    world.lab.run(0.01)
    assert world.at_once == before  # one waits for the other
    for number, ends in enumerate((("one", "three"), ("three", "one"), ("one", "two"))):
        clock.call_later(0.001 + number / 1000, world.do, "known", ends, 100, None)
    world.lab.run(0.01)
    assert world.at_once == before + 3
    clock.call_later(0.001, world.do, "known", ("one", "three"), 100, None)
    world.lab.run(0.00105)  # whoever looks now finds it under way
    assert world.at_once == before + 3


def test_a_few_sealed_datagrams_suffice_for_the_fast_path() -> None:
    world = World(knows_flows=True)
    for (what, where, value), wait_s in WARM:
        world.do(what, where, value, wait_s)
    before = len(world.payloads)
    for _ in range(5):
        world.do("send", ("one", "three"), 100, 0.001)
    assert len(world.payloads) == before
    assert [content for _, _, content, _ in world.seen[-5:]] == list(range(world.count - 4, world.count + 1))
