"""The neighbour sysctls of a device: how long an entry is REACHABLE, when and how often it is probed
(net/core/neighbour.c)."""

import pytest

from cnmsim import Lab
from cnmsim.kernel.address import format_ip, parse_ip
from cnmsim.kernel.arp import announce
from cnmsim.kernel.sockets import UdpSocket


class Pair:
    """Two hosts on a segment; `a` has resolved `b`."""

    def __init__(self, **sysctls):
        self.lab = Lab()
        self.a = self.lab.add_host("a", "10.0.0.1/24").namespace
        self.b = self.lab.add_host("b", "10.0.0.2/24").namespace
        for name, value in sysctls.items():
            self.set(name, value)
        self.socket = UdpSocket(self.a)
        self.send()

    def set(self, name, value):
        self.a.sysctl_set(f"net.ipv4.neigh.eth0.{name}", value)

    def send(self, to="10.0.0.2"):
        self.socket.sendto(b"x", (to, 9))
        self.lab.run(0.01)

    def state(self, address="10.0.0.2"):
        return next(str(entry) for entry in self.a.neighbours.entries() if str(entry).startswith(address)).split()[-1]


@pytest.mark.parametrize(("written", "reachable_s"), [("30000", 30), ("5000", 5), ("90000", 90)])
def test_an_entry_is_reachable_for_base_reachable_time(written, reachable_s):
    pair = Pair(base_reachable_time_ms=written)
    pair.lab.run(reachable_s - 0.1)
    assert pair.state() == "REACHABLE"
    pair.lab.run(0.2)
    assert pair.state() == "STALE"


def test_a_longer_reachable_time_counts_for_entries_there_are_and_a_shorter_one_for_the_next():
    pair = Pair()
    pair.set("base_reachable_time_ms", "60000")
    pair.lab.run(45)
    assert pair.state() == "REACHABLE"
    pair.set("base_reachable_time_ms", "1000")
    pair.lab.run(10)
    assert pair.state() == "REACHABLE"  # the timer that runs was armed before
    pair.lab.run(6)
    assert pair.state() == "STALE"


def test_a_known_flow_meets_the_reachable_time_too():
    pair = Pair(base_reachable_time_ms="2000", delay_first_probe_time="1")
    receiver = UdpSocket(pair.b)
    receiver.bind(("0.0.0.0", 9))
    for _ in range(5):
        pair.send()
    pair.lab.run(2.5)
    assert pair.state() == "STALE"
    pair.send()
    assert pair.state() == "DELAY"
    pair.lab.run(1)
    assert pair.state() == "REACHABLE"  # the probe was answered


def test_a_silent_address_fails_after_so_many_probes():
    pair = Pair(mcast_solicit="5", retrans_time_ms="500")
    pair.send("10.0.0.9")
    pair.lab.run(5 * 0.512 - 0.1)
    assert pair.state("10.0.0.9") == "INCOMPLETE"
    pair.lab.run(0.2)
    assert pair.state("10.0.0.9") == "FAILED"


def test_a_stale_entry_is_probed_after_the_delay_and_as_often_as_ucast_solicit_says():
    pair = Pair(delay_first_probe_time="2", ucast_solicit="1")
    pair.b.devices["eth0"].set_down()
    pair.lab.run(31)
    pair.send()
    assert pair.state() == "DELAY"
    pair.lab.run(2)
    assert pair.state() == "PROBE"
    pair.lab.run(1.1)
    assert pair.state() == "FAILED"


@pytest.mark.parametrize(
    "switch_off",
    [
        lambda namespace: namespace.devices["eth0"].set_mtu(600),
        lambda namespace: namespace.sysctl_set("net.ipv6.conf.eth0.disable_ipv6", "1"),
        lambda namespace: namespace.sysctl_set("net.ipv6.conf.all.disable_ipv6", "1"),
    ],
    ids=["mtu", "device", "all"],
)
def test_entries_go_with_ipv6_on_their_device(switch_off):
    # As Linux showed it, for permanent entries too; those of IPv4 stay.
    lab = Lab()
    a = lab.add_host("a", "fd00::1/64", "10.0.0.1/24").namespace
    lab.add_host("b", "fd00::2/64")
    eth0 = a.devices["eth0"]
    UdpSocket(a, 6).sendto(b"x", ("fd00::2", 9))
    lab.run(0.01)
    for address in ("fd00::9", "10.0.0.9"):
        a.neighbours.add_permanent(eth0, parse_ip(address), b"\2\0\0\0\0\1")
    assert {format_ip(entry.address) for entry in a.neighbours.entries()} == {"fd00::2", "fd00::9", "10.0.0.9"}
    switch_off(a)
    assert [format_ip(entry.address) for entry in a.neighbours.entries()] == ["10.0.0.9"]
    lab.run(60)  # no timer of a removed entry is left


def test_a_claim_of_an_own_address_is_a_duplicate_unless_this_host_made_it() -> None:
    """RFC 5227 §2.4: a conflict is a sender address of this host with the MAC of another."""
    lab = Lab()
    a, b = lab.add_host("a", "10.0.0.1/24"), lab.add_host("b", "10.0.0.2/24")
    for command in ("ip link add v0 type veth peer name v1", "ip link set v0 up", "ip link set v1 up"):
        assert a.exec(command).succeeded
    announce(a.namespace.devices["v0"], parse_ip("10.0.0.1"))  # v1 receives it
    announce(b.namespace.devices["eth0"], parse_ip("10.0.0.2"))
    lab.run(0.1)
    assert lab.events == []
    announce(b.namespace.devices["eth0"], parse_ip("10.0.0.1"))
    lab.run(0.1)
    assert [(event.place, event.kind.value) for event in lab.events] == [("a", "duplicate-address")]
