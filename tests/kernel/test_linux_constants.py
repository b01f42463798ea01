"""Linux's numbers, each with its source: a changed constant fails here, whatever other tests tolerate.

Paths are those of the Linux source tree (6.1 to 6.12). Times are checked on both sides: the state still holds a
millisecond before the limit, and no longer a millisecond after it.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest
from support.fake_network import FakeNetwork
from support.wiring import Net

from cnmsim.kernel import vxlan
from cnmsim.kernel.address import parse_ip
from cnmsim.kernel.bridge import MAX_PORTS, Bridge
from cnmsim.kernel.clock import NS_PER_S, Clock
from cnmsim.kernel.device import ETHERNET_HEADER, Loopback, Nic
from cnmsim.kernel.dummy import Dummy
from cnmsim.kernel.fibrules import DEFAULT, LOCAL, MAIN, FibRules
from cnmsim.kernel.fragment import fragment
from cnmsim.kernel.ipvs import IpvsState
from cnmsim.kernel.ipvs.connection import IpvsConnection
from cnmsim.kernel.ipvs.service import Destination, Method
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.neighbour import NeighbourState
from cnmsim.kernel.netfilter.cttimeouts import Timeouts
from cnmsim.kernel.netfilter.tcpstate import TcpState as CtTcpState
from cnmsim.kernel.packet import HOP_LIMIT_EXCEEDED, NO_ROUTE, TCP_ACK, TCP_SYN, TOO_BIG, Protocol, build_ip
from cnmsim.kernel.pathmtu import UNKNOWN
from cnmsim.kernel.route import RoutingTable
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.sockets import TcpSocket, UdpSocket, tcp_connection, tcp_sender
from cnmsim.kernel.sockets.congestion import CongestionWindow
from cnmsim.kernel.sockets.ports import PortSpace
from cnmsim.kernel.sockets.rtt import RttEstimator
from cnmsim.kernel.sockets.tcp import SOMAXCONN
from cnmsim.kernel.sockets.tcp_buffer import WINDOW
from cnmsim.kernel.task import Task, run_until
from cnmsim.kernel.transport import TcpSegment
from cnmsim.kernel.vlan import Vlan
from cnmsim.kernel.vxlan_fdb import VxlanFdb
from cnmsim.underlay.segment import Segment

MS = 1_000_000
MAC_A, MAC_B = b"\x02\0\0\0\0\x0a", b"\x02\0\0\0\0\x0b"
NEIGHBOUR_TICK_S = 1.024


def sysctl(key: str) -> str:
    return NetworkNamespace("machine", Clock()).sysctl_get(key)


def underlay_device() -> tuple[NetworkNamespace, Nic]:
    namespace = NetworkNamespace("machine", Clock())
    nic = Nic("eth0", MAC_A, namespace.clock)
    namespace.add_device(nic)
    nic.set_up()
    namespace.add_address(nic, "10.0.0.1/24")
    return namespace, nic


# --- sysctl defaults ---------------------------------------------------------------------------------------------

SYSCTLS = [
    ("net.core.somaxconn", "4096", "SOMAXCONN, include/linux/socket.h"),
    ("net.ipv4.ip_default_ttl", "64", "IPDEFTTL, include/uapi/linux/ip.h; RFC 1700"),
    ("net.ipv4.ip_local_port_range", "32768\t60999", "inet_init_net, net/ipv4/af_inet.c"),
    ("net.ipv4.ip_unprivileged_port_start", "1024", "PROT_SOCK, include/net/sock.h"),
    ("net.ipv4.ipfrag_time", "30", "IP_FRAG_TIME, include/net/ip.h"),
    ("net.ipv4.tcp_syn_retries", "6", "TCP_SYN_RETRIES, include/net/tcp.h"),
    ("net.ipv4.tcp_synack_retries", "5", "TCP_SYNACK_RETRIES, include/net/tcp.h"),
    ("net.ipv4.tcp_retries2", "15", "TCP_RETR2, include/net/tcp.h"),
    ("net.ipv4.tcp_fin_timeout", "60", "TCP_FIN_TIMEOUT, include/net/tcp.h"),
    ("net.ipv4.tcp_keepalive_time", "7200", "TCP_KEEPALIVE_TIME, include/net/tcp.h; RFC 1122 §4.2.3.6"),
    ("net.ipv4.tcp_keepalive_intvl", "75", "TCP_KEEPALIVE_INTVL, include/net/tcp.h"),
    ("net.ipv4.tcp_keepalive_probes", "9", "TCP_KEEPALIVE_PROBES, include/net/tcp.h"),
    ("net.ipv4.neigh.default.base_reachable_time_ms", "30000", "REACHABLE_TIME, RFC 4861 §10; net/ipv4/arp.c"),
    ("net.ipv4.neigh.default.delay_first_probe_time", "5", "DELAY_FIRST_PROBE_TIME, RFC 4861 §10; net/ipv4/arp.c"),
    ("net.ipv4.neigh.default.retrans_time_ms", "1000", "RETRANS_TIMER, RFC 4861 §10; net/ipv4/arp.c"),
    ("net.ipv4.neigh.default.mcast_solicit", "3", "MAX_MULTICAST_SOLICIT, RFC 4861 §10; net/ipv4/arp.c"),
    ("net.ipv4.neigh.default.ucast_solicit", "3", "MAX_UNICAST_SOLICIT, RFC 4861 §10; net/ipv4/arp.c"),
    ("net.ipv4.neigh.default.gc_stale_time", "60", "net/ipv4/arp.c"),
    ("net.ipv6.conf.default.hop_limit", "64", "IPV6_DEFAULT_HOPLIMIT, include/net/ipv6.h"),
    ("net.netfilter.nf_conntrack_max", "262144", "nf_conntrack_init_start, net/netfilter/nf_conntrack_core.c"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "source"), SYSCTLS, ids=[row[0] for row in SYSCTLS])
def test_sysctl_defaults(key: str, value: str, source: str) -> None:
    assert sysctl(key) == value, source


# --- constants ---------------------------------------------------------------------------------------------------


def measured(rtt_ns: int, *, expiries: int = 0) -> int:
    """Return the retransmission timeout after many equal round trips and some expiries."""
    estimator = RttEstimator()
    for _ in range(100):
        estimator.sample(rtt_ns)
    for _ in range(expiries):
        estimator.back_off()
    return estimator.rto_ns


def duplicates_that_cause_a_retransmission() -> int:
    """Return how many duplicate ACKs make the sender repeat a lost segment before its timer does."""
    return next(count for count in range(1, 9) if is_sent_again_after(count))


def is_sent_again_after(duplicates: int) -> bool:
    network = FakeNetwork()
    a, b = network.add("a", "10.0.0.1"), network.add("b", "10.0.0.2")
    client, _ = connected(network, a, b)
    client.send(b"x")  # an ACK that changes the window is none of the duplicates
    network.clock.run_for(1)
    sent: list[int] = []
    answers = iter(range(duplicates))

    def fate(packet: Packet) -> list[float]:
        if packet.dst == parse_ip("10.0.0.1"):
            return [] if next(answers, None) is None else [0.001]
        sent.append(int.from_bytes(packet.payload[4:8]))
        return [] if len(sent) == 1 else [0.001]  # the first segment is lost

    network.fate = fate
    client.send(bytes(9000))
    network.clock.run_for(0.15)
    return len(set(sent)) < len(sent)


def fragment_sizes(mtu: int) -> list[int]:
    packet = Packet(build_ip(17, parse_ip("10.0.0.1"), parse_ip("10.0.0.2"), bytes(2000), dont_fragment=False))
    return [len(piece) for piece in fragment(packet, mtu, 1)]


def quoted_length(family: int) -> int:
    """Return how much of a long packet an ICMP error quotes."""
    net = Net()
    sender = net.container(2)
    net.container(3)
    net.clock.context = net.witness
    address = "10.1.0.3" if family == 4 else "fd01::3"
    socket = UdpSocket(sender, family)
    socket.sendto(bytes(1400), (address, 9))
    net.clock.run_for(1)
    errors = [
        Packet(event.data)
        for event in net.witness.events
        if event.place == "c2" and event.what.endswith("reaches its sender")
    ]
    return len(errors[0].payload) - 8


def smallest_with_ipv6() -> int:
    namespace, nic = underlay_device()
    return next(mtu for mtu in range(1270, 1300) if not (nic.set_mtu(mtu) or namespace.ipv6_disabled(nic)))


def one_sample() -> int:
    estimator = RttEstimator()
    estimator.sample(100 * MS)
    return estimator.rto_ns


def two_samples() -> int:
    estimator = RttEstimator()
    for rtt_ns in (100 * MS, 900 * MS):
        estimator.sample(rtt_ns)
    return estimator.rto_ns


def halved(in_flight: int) -> int:
    window = CongestionWindow(1000)
    window.lost(in_flight, 0)
    return window.size


def priorities(family: int) -> list[int]:
    return [rule.priority for rule in FibRules(RoutingTable(family), lambda: None).rules]


def learnt_mtu(dst: str, mtu: int) -> int:
    namespace, _ = underlay_device()
    namespace.path_mtu.learn(parse_ip(dst), mtu)
    return namespace.path_mtu.to(parse_ip(dst))


def ephemeral_ports() -> tuple[int, int]:
    """Return the lowest and the highest ephemeral port when all but two at each end are in use."""
    namespace = NetworkNamespace("machine", Clock())
    space = PortSpace(namespace)
    socket = UdpSocket(namespace)
    for port in range(32770, 60998):
        space.claim(socket, port)
    ports = {space.claim(socket, 0) for _ in range(4)}
    with pytest.raises(OSError, match="in use"):
        space.claim(socket, 0)
    return min(ports), max(ports)


CONSTANTS: list[tuple[str, Callable[[], Any], Any, str]] = [
    ("default MTU of an Ethernet device", lambda: underlay_device()[1].mtu, 1500, "ETH_DATA_LEN, if_ether.h"),
    ("MTU of lo", lambda: Loopback(Clock()).mtu, 65536, "loopback_setup, drivers/net/loopback.c"),
    ("MTU of a bridge without ports", lambda: Bridge("br0", MAC_A, Clock()).mtu, 1500, "ETH_DATA_LEN, if_ether.h"),
    ("headers of VXLAN", lambda: vxlan._OVERHEAD, {4: 50, 6: 70},
     "VXLAN_HEADROOM, VXLAN6_HEADROOM, include/net/vxlan.h"),
    ("port of VXLAN", lambda: vxlan.VXLAN_PORT, 4789, "RFC 7348 §5"),
    ("smallest MTU", lambda: Nic("eth0", MAC_A, Clock()).min_mtu, 68, "ETH_MIN_MTU, if_ether.h; RFC 791 §3.2"),
    ("largest MTU", lambda: Nic("eth0", MAC_A, Clock()).max_mtu, 65535, "ETH_MAX_MTU, if_ether.h"),
    ("smallest MTU of a VLAN", lambda: Vlan.min_mtu, 0, "vlan_setup, net/8021q/vlan_dev.c"),
    ("bounds of a dummy's MTU", lambda: (Dummy.min_mtu, Dummy.max_mtu), (0, 0), "dummy_setup, drivers/net/dummy.c"),
    ("smallest MTU with IPv6", smallest_with_ipv6, 1280, "IPV6_MIN_MTU; RFC 8200 §5"),
    ("Ethernet header", lambda: ETHERNET_HEADER, 14, "ETH_HLEN, if_ether.h"),
    ("IPv4 header", lambda: len(build_ip(17, bytes(4), bytes(4), b"")), 20, "RFC 791 §3.1"),
    ("IPv6 header", lambda: len(build_ip(17, bytes(16), bytes(16), b"")), 40, "RFC 8200 §3"),
    ("fragments of 2,020 bytes", lambda: fragment_sizes(1500), [1500, 540], "RFC 791 §3.2: offsets count 8 bytes"),
    ("protocol numbers", lambda: [int(each) for each in Protocol], [1, 6, 17, 50, 58, 132], "IANA, RFC 5237"),
    ("ports of a bridge", lambda: MAX_PORTS, 1023, "BR_MAX_PORTS (1 << 10), net/bridge/br_private.h"),
    ("ageing time in `ip -d link`", lambda: Bridge("br0", MAC_A, Clock()).ageing_ns, 300 * NS_PER_S,
     "BR_DEFAULT_AGEING_TIME, include/linux/if_bridge.h"),
    ("initial RTO", lambda: RttEstimator().rto_ns, NS_PER_S, "TCP_TIMEOUT_INIT, include/net/tcp.h; RFC 6298 §2.1"),
    ("smallest RTO", lambda: measured(0), 200 * MS, "TCP_RTO_MIN, include/net/tcp.h"),
    ("smallest RTO lies above the round trip", lambda: measured(100 * MS), 300 * MS,
     "tcp_rtt_estimator, tcp_input.c"),
    ("RTO after one sample", one_sample, 300 * MS, "RFC 6298 §2.2: SRTT + 4 * R / 2"),
    ("RTO after two samples", two_samples, 1150 * MS, "RFC 6298 §2.3: alpha 1/8, beta 1/4"),
    ("largest RTO", lambda: measured(100 * MS, expiries=20), 120 * NS_PER_S, "TCP_RTO_MAX, include/net/tcp.h"),
    ("initial window", lambda: CongestionWindow(1000).size, 10_000, "TCP_INIT_CWND, include/net/tcp.h; RFC 6928"),
    ("window after a loss", lambda: halved(20_000), 10_000, "RFC 5681 §3.1, equation 4"),
    ("smallest window after a loss", lambda: halved(1000), 2000, "RFC 5681 §3.1, equation 4"),
    ("duplicate ACKs before a retransmission", duplicates_that_cause_a_retransmission, 3, "RFC 5681 §3.2"),
    ("default MSS", lambda: tcp_connection._DEFAULT_MSS, {4: 536, 6: 1220}, "TCP_MSS_DEFAULT; RFC 9293 §3.7.1"),
    ("smallest MSS", lambda: tcp_sender.MINIMUM_MSS, 88, "TCP_MIN_MSS, include/net/tcp.h"),
    ("receive window", lambda: WINDOW, 65535, "tcp_select_initial_window, net/ipv4/tcp_output.c"),
    ("window scale", lambda: tcp_sender._WINDOW_SCALE, 7, "tcp_rmem[2] of 6 MB, tcp_select_initial_window"),
    ("retries of an orphan", lambda: tcp_sender._ORPHAN_RETRIES, 8, "tcp_orphan_retries, net/ipv4/tcp_timer.c"),
    ("answers to invalid segments", lambda: tcp_connection._INVALID_INTERVAL_NS, 500 * MS,
     "tcp_invalid_ratelimit HZ / 2, net/ipv4/tcp_ipv4.c"),
    ("backlog", lambda: SOMAXCONN, 4096, "SOMAXCONN, include/linux/socket.h"),
    ("bytes that an ICMP error quotes", lambda: quoted_length(4), 548,
     "icmp_send: 576 bytes in all; RFC 1812 §4.3.2.3"),
    ("bytes that an ICMPv6 error quotes", lambda: quoted_length(6), 1232, "RFC 4443 §2.4 (c): IPV6_MIN_MTU in all"),
    ("routing tables", lambda: (DEFAULT, MAIN, LOCAL), (253, 254, 255), "enum rt_class_t, uapi/linux/rtnetlink.h"),
    ("priorities of the IPv4 rules", lambda: priorities(4), [32766, 32767],
     "fib_default_rules_init, net/ipv4/fib_rules.c"),
    ("priorities of the IPv6 rules", lambda: priorities(6), [32766], "fib6_rules_net_init, net/ipv6/fib6_rules.c"),
    ("smallest path MTU of IPv4", lambda: learnt_mtu("10.0.0.9", 100), 552, "DEFAULT_MIN_PMTU, net/ipv4/route.c"),
    ("smallest path MTU of IPv6", lambda: learnt_mtu("fd00::9", 100), 1280, "IPV6_MIN_MTU; RFC 8201 §4"),
    ("ephemeral ports", ephemeral_ports, (32768, 60999), "inet_init_net, net/ipv4/af_inet.c"),
    ("ICMP types", lambda: (NO_ROUTE[4], HOP_LIMIT_EXCEEDED[4], TOO_BIG[6]), ((3, 0), (11, 0), (2, 0)),
     "RFC 792, RFC 4443"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "value", "expected", "source"), CONSTANTS, ids=[row[0] for row in CONSTANTS])
def test_constants(what: str, value: Callable[[], Any], expected: Any, source: str) -> None:
    assert value() == expected, f"{what}: {source}"


# --- timeouts by state -------------------------------------------------------------------------------------------

#: tcp_timeouts in net/netfilter/nf_conntrack_proto_tcp.c, and the defaults of the other protocols.
CONNTRACK_TIMEOUTS_S = [
    (6, CtTcpState.SYN_SENT, 120), (6, CtTcpState.SYN_RECV, 60), (6, CtTcpState.ESTABLISHED, 5 * 24 * 3600),
    (6, CtTcpState.FIN_WAIT, 120), (6, CtTcpState.CLOSE_WAIT, 60), (6, CtTcpState.LAST_ACK, 30),
    (6, CtTcpState.TIME_WAIT, 120), (6, CtTcpState.CLOSE, 10), (6, CtTcpState.SYN_SENT2, 120),
    (17, 0, 30), (1, 0, 30), (58, 0, 30), (132, 0, 600),
]  # fmt: skip


@pytest.mark.parametrize(("protocol", "state", "seconds"), CONNTRACK_TIMEOUTS_S)
def test_conntrack_timeouts(protocol: int, state: int, seconds: int) -> None:
    assert Timeouts(NetworkNamespace("machine", Clock())).of(protocol, state) == seconds * NS_PER_S


def test_conntrack_timeouts_of_udp() -> None:
    # udp_timeouts in net/netfilter/nf_conntrack_proto_udp.c: unreplied, and as a stream.
    assert Timeouts(NetworkNamespace("machine", Clock())).udp() == (30 * NS_PER_S, 120 * NS_PER_S)


#: tcp_timeouts and udp_timeouts in net/netfilter/ipvs/ip_vs_proto_{tcp,udp}.c.
IPVS_TIMEOUTS_S = {
    "NONE": 2, "ESTABLISHED": 15 * 60, "SYN_SENT": 2 * 60, "SYN_RECV": 1 * 60, "FIN_WAIT": 2 * 60,
    "TIME_WAIT": 2 * 60,
    "CLOSE": 10, "CLOSE_WAIT": 60, "LAST_ACK": 30, "LISTEN": 2 * 60, "SYNACK": 120, "UDP": 5 * 60,
}  # fmt: skip


def test_ipvs_timeouts() -> None:
    ipvs = NetworkNamespace("machine", Clock()).ipvs
    assert {state.name: ipvs.lifetime_s(state) for state in IpvsState} == IPVS_TIMEOUTS_S


# --- durations, from both sides ----------------------------------------------------------------------------------


def connected(network: FakeNetwork, a: Any, b: Any) -> tuple[TcpSocket, TcpSocket]:
    listener = TcpSocket(b)
    listener.bind(("0.0.0.0", 80))
    listener.listen()
    client = TcpSocket(a)
    run_until(network.clock, client.connect(("10.0.0.2", 80)))
    return client, run_until(network.clock, listener.accept())


#: What `arrange` functions return: the clock, when the time begins (ns), and whether the state still holds.
Arranged = tuple[Clock, int, Callable[[], bool]]


def bridge_entry() -> Arranged:
    net = Net()
    two, three, four = net.container(2), net.container(3), net.container(4)
    flooded: list[bytes] = []
    four.devices["eth0"].taps = (lambda _t, way, frame: flooded.append(frame) if way == "in" else None,)
    target = three.devices["eth0"]
    net.clock.run_for(10)
    target.transmit(b"\xff" * 6 + target.mac + b"\x88\xb5" + bytes(46))
    net.clock.run_ready()

    def is_known() -> bool:
        flooded.clear()
        two.devices["eth0"].transmit(target.mac + two.devices["eth0"].mac + b"\x88\xb5" + bytes(46))
        net.clock.run_ready()
        return not flooded

    return net.clock, net.clock.now_ns, is_known


class Station:
    """The end of a cable, which counts the frames it receives."""

    def __init__(self, name: str, mac: bytes) -> None:
        self.name, self.mac, self.received = name, mac, 0
        self.link: Any = None

    def plug(self, link: Any) -> None:
        self.link = link

    def receive(self, frame: bytes) -> None:
        self.received += len(frame) > 0


def switch_entry() -> Arranged:
    segment = Segment("lan", Clock(), latency_s=0)
    one, two, three = (Station(f"s{n}", bytes((2, 0, 0, 0, 0, n))) for n in range(3))
    for station in (one, two, three):
        segment.attach(station)
    segment.carry(b"\xff" * 6 + two.mac + b"\x88\xb5" + bytes(46), two)
    segment.clock.run_for(0)

    def is_known() -> bool:
        before = three.received
        segment.carry(two.mac + one.mac + b"\x88\xb5" + bytes(46), one)
        segment.clock.run_for(0)
        return three.received == before

    return segment.clock, 0, is_known


def vxlan_entry() -> Arranged:
    clock = Clock()
    fdb = VxlanFdb(clock)
    fdb.add(MAC_A, parse_ip("10.0.0.9"), state="")
    return clock, 0, lambda: fdb.peek(MAC_A) is not None


def path_mtu() -> Arranged:
    namespace, _ = underlay_device()
    dst = parse_ip("10.0.0.9")
    namespace.path_mtu.learn(dst, 1400)
    return namespace.clock, namespace.clock.now_ns, lambda: namespace.path_mtu.to(dst) != UNKNOWN


def first_fragment(family: int) -> Arranged:
    namespace, nic = underlay_device()
    src, dst = (parse_ip(text) for text in (("10.0.0.9", "10.0.0.1") if family == 4 else ("fd00::9", "fd00::1")))
    whole = Packet(build_ip(17, src, dst, bytes(2000), dont_fragment=False))
    namespace.ip.reassembly.add(Packet(fragment(whole, 1500, 7)[0], nic))
    return namespace.clock, namespace.clock.now_ns, lambda: len(namespace.ip.reassembly) == 1


def time_wait() -> Arranged:
    network = FakeNetwork()
    a, b = network.add("a", "10.0.0.1"), network.add("b", "10.0.0.2")
    client, server = connected(network, a, b)
    network.fate = lambda packet: [0.0]
    client.close()
    network.clock.run_for(0)
    server.close()
    network.clock.run_for(0)
    return network.clock, network.clock.now_ns, lambda: bool(a.sockets.connections())


def fin_wait_2() -> Arranged:
    network = FakeNetwork()
    a, b = network.add("a", "10.0.0.1"), network.add("b", "10.0.0.2")
    client, server = connected(network, a, b)
    network.fate = lambda packet: [0.0]
    client.close()
    network.clock.run_for(0)
    assert [info.state for info in a.sockets.connections()] == ["FIN-WAIT-2"]
    assert not server.is_closed
    return network.clock, network.clock.now_ns, lambda: bool(a.sockets.connections())


def neighbour(namespace: NetworkNamespace, text: str) -> Any:
    entry = namespace.neighbours.get(namespace.devices["eth0"], parse_ip(text))
    assert entry is not None
    return entry


def reachable() -> Arranged:
    net = Net()
    two = net.container(2)
    net.container(3)
    net.ping(two, "10.1.0.3", seconds=0.5)
    entry = neighbour(two, "10.1.0.3")
    return net.clock, entry.confirmed_ns, lambda: entry.state is NeighbourState.REACHABLE


def delay() -> Arranged:
    net = Net()
    two = net.container(2)
    net.container(3)
    net.ping(two, "10.1.0.3", seconds=40)
    entry = neighbour(two, "10.1.0.3")
    assert entry.state is NeighbourState.STALE
    UdpSocket(two).sendto(b"x", ("10.1.0.3", 9))
    return net.clock, net.clock.now_ns, lambda: entry.state is NeighbourState.DELAY


def incomplete() -> Arranged:
    net = Net()
    two = net.container(2)
    UdpSocket(two).sendto(b"x", ("10.1.0.77", 9))
    entry = neighbour(two, "10.1.0.77")
    return net.clock, net.clock.now_ns, lambda: entry.state is NeighbourState.INCOMPLETE


def ipvs_connection() -> Arranged:
    namespace, nic = underlay_device()
    namespace.neighbours.add_permanent(nic, parse_ip("10.0.0.2"), MAC_B)
    ipvs = namespace.ipvs
    service = ipvs.add_service(protocol="udp", address="10.0.0.1", port=53, scheduler="rr")
    ipvs.add_destination(service, "10.0.0.2", port=53)
    packet = Packet(build_ip(17, parse_ip("10.0.0.9"), parse_ip("10.0.0.1"), b"\x04\0\0\x35\0\x08\0\0"))
    ipvs.hooks.request(packet)
    assert len(ipvs.connections) == 1
    return namespace.clock, namespace.clock.now_ns, lambda: bool(ipvs.connections.entries())


def new_ipvs_connection() -> Arranged:
    """Return a connection table with an entry whose timeout is IPVS's for established TCP."""
    namespace, _ = underlay_device()
    ipvs = namespace.ipvs
    service = ipvs.add_service(protocol="tcp", address="10.0.0.1", port=80)
    destination = Destination(parse_ip("10.0.0.2"), 80, 1, Method.MASQUERADING, service)
    ends = (parse_ip("10.0.0.9"), 1024, parse_ip("10.0.0.1"), 80, parse_ip("10.0.0.2"), 80)
    connection = IpvsConnection(6, *ends, destination, Method.MASQUERADING, False, IpvsState.NONE)
    for flags, is_reply in ((TCP_SYN, False), (TCP_SYN | TCP_ACK, True), (TCP_ACK, False)):
        header = bytes(13) + bytes((flags,)) + bytes(6)
        connection.follow(Packet(build_ip(6, ends[0], ends[2], header)), is_reply=is_reply)
    assert connection.state is IpvsState.ESTABLISHED
    connection.expires_ns = namespace.clock.now_ns + ipvs.lifetime_s(connection.state) * NS_PER_S
    ipvs.connections.add(connection)
    return namespace.clock, namespace.clock.now_ns, lambda: bool(ipvs.connections.entries())


DURATIONS: list[tuple[str, Callable[[], Arranged], float, str]] = [
    ("a learnt address of a bridge", bridge_entry, 300, "BR_DEFAULT_AGEING_TIME, include/linux/if_bridge.h"),
    ("a learnt address of a switch", switch_entry, 300, "IEEE 802.1D-2004 table 7-5"),
    ("a learnt address of a VXLAN device", vxlan_entry, 300, "FDB_AGE_DEFAULT, drivers/net/vxlan/vxlan_core.c"),
    ("a learnt path MTU", path_mtu, 600, "DEFAULT_MTU_EXPIRES, net/ipv4/route.c; RFC 1191 §6.3"),
    ("an incomplete IPv4 packet", lambda: first_fragment(4), 30, "IP_FRAG_TIME, include/net/ip.h"),
    ("an incomplete IPv6 packet", lambda: first_fragment(6), 60, "IPV6_FRAG_TIMEOUT; RFC 8200 §4.5"),
    ("TIME-WAIT", time_wait, 60, "TCP_TIMEWAIT_LEN, include/net/tcp.h"),
    ("FIN-WAIT-2 of an orphan", fin_wait_2, 60, "TCP_FIN_TIMEOUT, include/net/tcp.h"),
    ("a reachable neighbour", reachable, 30, "REACHABLE_TIME, RFC 4861 §10; net/ipv4/arp.c"),
    ("the delay before a probe", delay, 5, "DELAY_FIRST_PROBE_TIME, RFC 4861 §10; net/ipv4/arp.c"),
    ("an unanswered neighbour", incomplete, 3 * NEIGHBOUR_TICK_S, "3 x RETRANS_TIMER, rounded up by the timer wheel"),
    ("an IPVS connection of UDP", ipvs_connection, 300, "udp_timeouts, net/netfilter/ipvs/ip_vs_proto_udp.c"),
    ("an IPVS connection of TCP", new_ipvs_connection, 900, "tcp_timeouts, net/netfilter/ipvs/ip_vs_proto_tcp.c"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "arrange", "seconds", "source"), DURATIONS, ids=[row[0] for row in DURATIONS])
def test_durations(what: str, arrange: Callable[[], Arranged], seconds: float, source: str) -> None:
    clock, begin_ns, holds = arrange()
    end_ns = begin_ns + round(seconds * NS_PER_S)
    run_to(clock, end_ns - MS)
    assert holds(), f"{what} ended too early: {source}"
    clock, begin_ns, holds = arrange()  # looking may prolong it
    run_to(clock, begin_ns + round(seconds * NS_PER_S) + MS)
    assert not holds(), f"{what} lasts too long: {source}"


def run_to(clock: Clock, when_ns: int) -> None:
    clock.run(when_ns / NS_PER_S)
    assert abs(clock.now_ns - when_ns) < 1000


# --- timers that repeat ------------------------------------------------------------------------------------------


def sent_at(network: FakeNetwork, source: str, flag: int) -> list[float]:
    """Note when `source` puts segments with this flag on the wire."""
    times: list[float] = []
    plain = network.fate

    def fate(packet: Packet) -> list[float]:
        if packet.src == parse_ip(source) and packet.tcp_flags & flag:
            times.append(round(network.clock.now, 3))
        return plain(packet)

    network.fate = fate
    return times


def test_a_syn_is_sent_seven_times_and_given_up_after_127_seconds() -> None:
    # TCP_SYN_RETRIES 6, initial RTO 1 s, doubled each time: include/net/tcp.h, net/ipv4/tcp_timer.c.
    network = FakeNetwork(fate=lambda packet: [])
    a = network.add("a", "10.0.0.1")
    network.add("b", "10.0.0.2")
    times = sent_at(network, "10.0.0.1", TCP_SYN)
    socket = TcpSocket(a)
    attempt = Task(network.clock, socket.connect(("10.0.0.2", 80)))
    attempt.add_done_callback(lambda _: None)
    network.clock.run(126.999)
    assert (times, attempt.is_done) == ([0, 1, 3, 7, 15, 31, 63], False)
    network.clock.run(127.001)
    with pytest.raises(OSError) as raised:
        attempt.result()
    assert raised.value.errno == errno.ETIMEDOUT


def test_a_syn_ack_is_sent_six_times() -> None:
    # TCP_SYNACK_RETRIES 5, include/net/tcp.h.
    network = FakeNetwork(fate=lambda packet: [])
    network.add("a", "10.0.0.1")
    b = network.add("b", "10.0.0.2")
    times = sent_at(network, "10.0.0.2", TCP_SYN)
    listener = TcpSocket(b)
    listener.bind(("0.0.0.0", 80))
    listener.listen()
    src, dst = parse_ip("10.0.0.1"), parse_ip("10.0.0.2")
    b.input(build_ip(6, src, dst, TcpSegment(1024, 80, 1, 0, TCP_SYN, 65535).to_wire(src, dst)))
    network.clock.run(62.999)
    assert times == [0, 1, 3, 7, 15, 31]
    assert [info.state for info in b.sockets.connections()] == ["SYN-RECV"]
    network.clock.run(63.001)
    assert not b.sockets.connections()


def test_keepalives_start_after_two_hours_and_end_after_nine_probes() -> None:
    # TCP_KEEPALIVE_TIME, _INTVL and _PROBES, include/net/tcp.h.
    network = FakeNetwork()
    a, b = network.add("a", "10.0.0.1"), network.add("b", "10.0.0.2")
    client, _ = connected(network, a, b)
    network.clock.run_for(1)
    client.set_keepalive()
    begin_s = network.clock.now
    network.fate = lambda packet: []
    times = sent_at(network, "10.0.0.1", TCP_ACK)
    network.clock.run(begin_s + 7200 + 9 * 75 - 0.001)
    assert [round(time - begin_s, 3) for time in times] == [7200 + 75 * n for n in range(9)]
    assert client.state == "ESTAB"
    network.clock.run(begin_s + 7200 + 9 * 75 + 0.001)
    assert client.state == "UNCONN"


def test_a_neighbour_is_asked_three_times() -> None:
    # mcast_solicit 3, retrans_time_ms 1000, net/ipv4/arp.c; the timer wheel rounds to 1.024 s.
    net = Net()
    two = net.container(2)
    times: list[float] = []
    two.devices["eth0"].taps = (
        lambda time_ns, way, frame: (
            times.append(time_ns / NS_PER_S) if way == "out" and frame[12:14] == b"\x08\x06" else None
        ),
    )
    begin_s = net.clock.now
    UdpSocket(two).sendto(b"x", ("10.1.0.77", 9))
    net.clock.run_for(10)
    assert [round(time - begin_s, 3) for time in times] == [0, NEIGHBOUR_TICK_S, 2 * NEIGHBOUR_TICK_S]
