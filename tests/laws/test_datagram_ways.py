"""Datagrams over a known flow go a shorter way through both sockets; nobody can tell, whatever changes between two of
them."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cnmsim import Lab
from cnmsim.kernel.sockets import UdpSocket

PORT = 5000
SENDER, RECEIVER = "10.0.0.10", "10.0.0.20"

CHANGES = st.one_of(
    st.tuples(st.just("send"), st.sampled_from([0, 1, 100, 101, 1400, 1472, 1473, 4000])),
    st.tuples(st.just("send"), st.sampled_from([64, 65])),
    st.tuples(st.just("send"), st.sampled_from([64, 65])),
    st.tuples(st.just("ttl"), st.sampled_from([1, 64, 255])),
    st.tuples(st.just("tos"), st.sampled_from([0, 16])),
    st.tuples(st.just("dont_fragment"), st.sampled_from([None, True, False])),
    st.tuples(st.just("open"), st.sampled_from(["0.0.0.0", RECEIVER, "connected", "elsewhere"])),
    st.tuples(st.just("close"), st.none()),
    st.tuples(st.just("device"), st.sampled_from(["eth0", ""])),
    st.tuples(st.just("mtu"), st.sampled_from([1500, 1000])),
    st.tuples(st.just("rule"), st.sampled_from(["-A INPUT -p udp -j DROP", "-A OUTPUT -p udp -j DROP", "-F"])),
    st.tuples(st.just("address"), st.sampled_from(["10.0.0.10/24", "10.0.0.11/24"])),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 40.0, 130.0])),
)


class World:
    """Two hosts on a segment, what one host's interface sees, and what its sockets receive."""

    def __init__(self, *, takes_short_ways: bool) -> None:
        self.lab = Lab()
        self.spaces = [
            self.lab.add_host(name, f"{address}/24").namespace
            for name, address in (("one", SENDER), ("two", RECEIVER))
        ]
        if not takes_short_ways:
            for space in self.spaces:
                space.flows.disable()
        self.seen: list[Any] = []
        eth0 = self.spaces[1].devices["eth0"]
        eth0.taps = (lambda *what: self.seen.append(what),)
        self.sender = UdpSocket(self.spaces[0])
        self.sender.bind(("0.0.0.0", PORT))
        self.receivers: list[UdpSocket] = []
        self.do("open", "0.0.0.0")
        self.count = 0

    def do(self, what: str, value: Any) -> None:
        try:
            getattr(self, f"do_{what}", self.do_option)(*((what,) if not hasattr(self, f"do_{what}") else ()), value)
        except OSError as error:
            self.seen.append((what, error.errno))
        self.lab.run(0.01)
        for number, receiver in enumerate(self.receivers):
            while receiver.pending:
                self.seen.append((number, receiver.recvfrom_nowait()))

    def do_send(self, size: int) -> None:
        self.count += 1
        self.seen.append(self.sender.sendto(bytes((self.count + at) % 251 for at in range(size)), (RECEIVER, PORT)))

    def do_option(self, what: str, value: Any) -> None:
        setattr(self.sender, what, value)

    def do_open(self, where: str) -> None:
        receiver = UdpSocket(self.spaces[1])
        receiver.reuse_address = True
        if where == "elsewhere":
            receiver.bind_device("lo")
        receiver.bind((RECEIVER if where == RECEIVER else "0.0.0.0", PORT))
        if where == "connected":
            receiver.connect((SENDER, PORT))
        self.receivers.append(receiver)

    def do_close(self, _: None) -> None:
        if self.receivers:
            self.receivers.pop().close()

    def do_device(self, name: str) -> None:
        self.receivers[-1:] and self.receivers[-1].bind_device(name)
        self.sender.bind_device(name)

    def do_mtu(self, mtu: int) -> None:
        self.spaces[0].devices["eth0"].set_mtu(mtu)

    def do_rule(self, words: str) -> None:
        for name in ("one", "two"):
            self.lab.host(name).exec(f"iptables {words}")

    def do_address(self, address: str) -> None:
        eth0 = self.spaces[0].devices["eth0"]
        here = [str(each) for each in eth0.addresses if each.family == 4]
        if address in here and len(here) > 1:
            self.spaces[0].remove_address(eth0, address)
        elif address not in here:
            self.spaces[0].add_address(eth0, address)

    def do_wait(self, seconds: float) -> None:
        self.lab.run(seconds)

    def counters(self) -> list[Any]:
        return [
            (device.rx_packets, device.rx_bytes, device.tx_packets, device.tx_bytes, device.rx_dropped)
            for space in self.spaces
            for device in space.devices.values()
        ]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(changes=st.lists(CHANGES, min_size=4, max_size=25))
@example(changes=[("send", 64)] * 4 + [("close", None), ("send", 64), ("open", RECEIVER), ("send", 64), ("send", 65)])
@example(
    changes=[("send", 64)] * 4 + [("ttl", 1), ("send", 64), ("dont_fragment", False), ("send", 64), ("send", 64)]
)
@example(
    changes=[("send", 64)] * 4
    + [("open", "connected"), ("send", 64), ("rule", "-A OUTPUT -p udp -j DROP"), ("send", 64)]
)
def test_the_short_way_cannot_be_told_from_the_long_one(changes: list[tuple[str, Any]]) -> None:
    short, long = World(takes_short_ways=True), World(takes_short_ways=False)
    for change in changes:
        for world in (short, long):
            world.do(*change)
    assert short.seen == long.seen
    assert short.counters() == long.counters()


def test_a_few_datagrams_suffice_for_the_short_way() -> None:
    world = World(takes_short_ways=True)
    for _ in range(4):
        world.do("send", 64)
    assert world.sender.offload.routes
    assert any(flow.socket is not None for flow in world.spaces[1].flows.received.values())
