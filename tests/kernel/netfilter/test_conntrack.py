"""Connection tracking: states, timeouts, what is invalid, and the table as conntrack(8) shows it."""

import pytest
from support.nat_lab import NatLab, echo, tcp, udp

from cnmsim.kernel.address import parse_ip
from cnmsim.kernel.events import DropReason
from cnmsim.kernel.netfilter import Hook
from cnmsim.kernel.netfilter.tcpstate import TcpState
from cnmsim.kernel.netfilter.tuples import packet_tuple, quoted_tuple
from cnmsim.kernel.packet import TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, build_ip
from cnmsim.kernel.skbuff import CtState, Packet
from cnmsim.kernel.transport import icmp_message

C, S = ("10.0.0.2", 4000), ("192.168.0.2", 80)


@pytest.fixture
def lab():
    lab = NatLab()
    lab.iptables("-A FORWARD -m conntrack --ctstate NEW,ESTABLISHED,RELATED,INVALID,UNTRACKED -j ACCEPT")
    return lab


def entry(lab):
    [connection] = lab.netfilter.conntrack.entries()
    return lab.netfilter.conntrack.entry_text(connection)


def handshake(lab):
    return [
        lab.forward(tcp(*C, *S, TCP_SYN)).ct_state,
        lab.back(tcp(*S, *C, TCP_SYN | TCP_ACK)).ct_state,
        lab.forward(tcp(*C, *S, TCP_ACK)).ct_state,
    ]


def test_a_handshake_goes_through_the_states(lab):
    lab.forward(tcp(*C, *S, TCP_SYN))
    assert entry(lab) == (
        "tcp      6 120 SYN_SENT src=10.0.0.2 dst=192.168.0.2 sport=4000 dport=80 [UNREPLIED] "
        "src=192.168.0.2 dst=10.0.0.2 sport=80 dport=4000 mark=0 use=1"
    )
    lab.back(tcp(*S, *C, TCP_SYN | TCP_ACK))
    assert entry(lab).split()[2:4] == ["60", "SYN_RECV"]
    lab.forward(tcp(*C, *S, TCP_ACK))
    assert entry(lab).split()[2:4] == ["432000", "ESTABLISHED"]
    assert "[ASSURED]" in entry(lab)


def test_packets_of_a_handshake_are_new_then_established(lab):
    assert handshake(lab) == [CtState.NEW, CtState.ESTABLISHED, CtState.ESTABLISHED]


def test_closing_ends_in_time_wait(lab):
    handshake(lab)
    states = []
    for packet in (
        lab.forward(tcp(*C, *S, TCP_FIN | TCP_ACK)),
        lab.back(tcp(*S, *C, TCP_ACK)),
        lab.back(tcp(*S, *C, TCP_FIN | TCP_ACK)),
        lab.forward(tcp(*C, *S, TCP_ACK)),
    ):
        assert packet is not None
        states.append(entry(lab).split()[3])
    assert states[-1] == "TIME_WAIT"
    lab.clock.run_for(121)
    assert lab.netfilter.conntrack.count == 0


#: Each step: direction (original or reply), flags, and the state and timeout in seconds afterwards. From the tables
#: tcp_conntracks and tcp_timeouts of Linux 6.1 net/netfilter/nf_conntrack_proto_tcp.c.
OPENED = [
    ("o", TCP_SYN, "SYN_SENT", 120), ("r", TCP_SYN | TCP_ACK, "SYN_RECV", 60), ("o", TCP_ACK, "ESTABLISHED", 432000)
]  # fmt: skip
FIN_ACK = TCP_FIN | TCP_ACK
WALKS = {
    "client closes": [
        *OPENED, ("o", FIN_ACK, "FIN_WAIT", 120), ("r", TCP_ACK, "CLOSE_WAIT", 60), ("r", FIN_ACK, "LAST_ACK", 30),
        ("o", TCP_ACK, "TIME_WAIT", 120),
    ],
    "server closes": [
        *OPENED, ("r", FIN_ACK, "FIN_WAIT", 120), ("o", TCP_ACK, "CLOSE_WAIT", 60), ("o", FIN_ACK, "LAST_ACK", 30),
        ("r", TCP_ACK, "TIME_WAIT", 120),
    ],
    "both close": [*OPENED, ("o", FIN_ACK, "FIN_WAIT", 120), ("r", FIN_ACK, "LAST_ACK", 30)],
    "simultaneous open": [
        ("o", TCP_SYN, "SYN_SENT", 120), ("r", TCP_SYN, "SYN_SENT2", 120), ("o", TCP_SYN | TCP_ACK, "SYN_RECV", 60),
        ("r", TCP_SYN | TCP_ACK, "SYN_RECV", 60), ("o", TCP_ACK, "ESTABLISHED", 432000),
    ],
    "reset": [*OPENED, ("r", TCP_RST | TCP_ACK, "CLOSE", 10)],
    "data": [*OPENED, ("o", TCP_ACK, "ESTABLISHED", 432000), ("r", TCP_ACK, "ESTABLISHED", 432000)],
}  # fmt: skip


@pytest.mark.parametrize("walk", WALKS.values(), ids=list(WALKS))
def test_a_connection_goes_through_linuxs_states(lab, walk):
    for direction, flags, state, timeout_s in walk:
        if direction == "o":
            lab.forward(tcp(*C, *S, flags))
        else:
            lab.back(tcp(*S, *C, flags))
        assert entry(lab).split()[2:4] == [str(timeout_s), state]


def test_the_states_have_linuxs_numbers():
    # include/uapi/linux/netfilter/nf_conntrack_tcp.h: enum tcp_conntrack
    names = (
        "NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE",
        "SYN_SENT2",
    )  # fmt: skip
    assert [(state.name, int(state)) for state in TcpState] == [*zip(names, range(10), strict=True)]


def test_a_syn_after_time_wait_begins_anew(lab):
    handshake(lab)
    for data in (tcp(*C, *S, TCP_FIN | TCP_ACK), tcp(*C, *S, TCP_RST)):
        lab.forward(data)
    assert lab.forward(tcp(*C, *S, TCP_SYN)).ct_state is CtState.NEW


def test_a_refused_connection_leaves_no_entry(lab):
    lab.forward(tcp(*C, *S, TCP_SYN))
    assert lab.back(tcp(*S, *C, TCP_RST | TCP_ACK)) is not None
    assert lab.netfilter.conntrack.count == 0


@pytest.mark.parametrize(
    ("flags", "state"),
    [
        (TCP_ACK, CtState.NEW),
        (TCP_SYN | TCP_ACK, CtState.INVALID),
        (TCP_RST, CtState.INVALID),
        (TCP_FIN | TCP_ACK, CtState.INVALID),
        (TCP_SYN | TCP_FIN, CtState.INVALID),
        (0, CtState.INVALID),
    ],
)
def test_what_may_begin_a_tcp_connection(lab, flags, state):
    assert lab.forward(tcp(*C, *S, flags)).ct_state is state


def test_a_connection_in_the_middle_is_not_picked_up_without_tcp_loose(lab):
    lab.router.sysctl_set("net.netfilter.nf_conntrack_tcp_loose", "0")
    assert lab.forward(tcp(*C, *S, TCP_ACK)).ct_state is CtState.INVALID


def test_udp_expires_after_thirty_seconds_and_a_stream_after_two_minutes(lab):
    lab.forward(udp(*C, *S))
    lab.back(udp(*S, *C))
    assert entry(lab).split()[2] == "30"
    lab.clock.run_for(5)
    lab.forward(udp(*C, *S))
    assert entry(lab).split()[2] == "120"
    assert "[ASSURED]" in entry(lab)
    lab.clock.run_for(120)
    assert lab.netfilter.conntrack.count == 0
    assert lab.back(udp(*S, *C)).ct_state is CtState.NEW


def test_timeouts_are_sysctls(lab):
    lab.router.sysctl_set("net.netfilter.nf_conntrack_udp_timeout", "7")
    lab.forward(udp(*C, *S))
    assert entry(lab).split()[2] == "7"


def test_echo_requests_and_replies_make_one_flow(lab):
    assert lab.forward(echo("10.0.0.2", "192.168.0.2", 9)).ct_state is CtState.NEW
    assert lab.back(echo("192.168.0.2", "10.0.0.2", 9, kind=0)).ct_state is CtState.ESTABLISHED
    assert lab.back(echo("192.168.0.2", "10.0.0.2", 8, kind=0)).ct_state is CtState.INVALID
    assert entry(lab) == (
        "icmp     1 30 src=10.0.0.2 dst=192.168.0.2 type=8 code=0 id=9 "
        "src=192.168.0.2 dst=10.0.0.2 type=0 code=0 id=9 mark=0 use=1"
    )


def test_an_error_about_a_known_flow_is_related_and_about_an_unknown_one_invalid(lab):
    lab.forward(udp(*C, *S))
    known = icmp_message(3, 1, bytes(4), udp(*C, *S))
    unknown = icmp_message(3, 1, bytes(4), udp("10.0.0.2", 4001, *S))
    server, client = parse_ip("192.168.0.2"), parse_ip("10.0.0.2")
    assert lab.back(build_ip(1, server, client, known)).ct_state is CtState.RELATED
    assert lab.back(build_ip(1, server, client, unknown)).ct_state is CtState.INVALID


@pytest.mark.parametrize("protocol", [6, 17, 33, 132, 136])  # TCP, UDP, DCCP, SCTP, UDP-Lite
@pytest.mark.parametrize("family", [4, 6])
def test_an_error_about_a_packet_with_ports_has_the_packets_tuple(protocol: int, family: int) -> None:
    # nf_ct_get_tuple_ports: the first four bytes of the transport header are enough
    src, dst = (parse_ip(text) for text in (("10.0.0.2", "192.168.0.2") if family == 4 else ("fd00::2", "fd01::2")))
    ports = (4000).to_bytes(2) + (80).to_bytes(2)
    assert quoted_tuple(error_about(build_ip(protocol, src, dst, ports))) == (protocol, src, dst, 4000, 80)
    assert quoted_tuple(error_about(build_ip(protocol, src, dst, ports[:3]))) is None


@pytest.mark.parametrize("protocol", [4, 50, 255])
def test_an_error_about_a_packet_without_ports_has_the_tuple_of_its_addresses(protocol: int) -> None:
    src, dst = parse_ip("10.0.0.2"), parse_ip("192.168.0.2")
    quoted = build_ip(protocol, src, dst, b"\1\2\3\4")
    assert quoted_tuple(error_about(quoted)) == packet_tuple(Packet(quoted)) == (protocol, src, dst, 0, 0)


def error_about(quoted: bytes) -> Packet:
    ends = (quoted[12:16], quoted[16:20]) if quoted[0] >> 4 == 4 else (quoted[8:24], quoted[24:40])
    protocol, kind = (1, 3) if quoted[0] >> 4 == 4 else (58, 1)
    return Packet(build_ip(protocol, ends[1], ends[0], icmp_message(kind, 1, bytes(4), quoted)))


def test_a_dropped_first_packet_leaves_no_entry(lab):
    lab.iptables("-I FORWARD -j DROP")
    assert lab.forward(udp(*C, *S)) is None
    assert lab.netfilter.conntrack.count == 0


def test_notrack_takes_packets_out(lab):
    lab.iptables("-t raw -A PREROUTING -p udp -j NOTRACK")
    assert lab.forward(udp(*C, *S)).ct_state is CtState.UNTRACKED
    assert lab.netfilter.conntrack.count == 0


def test_a_full_table_drops_what_is_new_once_all_it_holds_is_assured(lab):
    lab.router.sysctl_set("net.netfilter.nf_conntrack_max", "1")
    handshake(lab)
    lab.clock.context = lab.witness
    assert lab.forward(udp(*C, *S)) is None
    assert lab.witness.drops == [("router", DropReason.CONNTRACK_INVALID, "net.netfilter.nf_conntrack_max")]
    assert lab.forward(tcp(*C, *S, TCP_ACK)) is not None


def test_entries_are_deleted_by_filter(lab):
    for port in (1000, 1001, 1002):
        lab.forward(udp("10.0.0.2", port, *S))
    assert lab.netfilter.conntrack.delete(protocol=17, orig_sport=1001) == 1
    assert lab.netfilter.conntrack.delete(address=parse_ip("192.168.0.2")) == 2
    assert lab.netfilter.conntrack.listing() == ""


def test_nothing_is_tracked_where_no_rule_asks():
    lab = NatLab()
    lab.iptables("-A FORWARD -s 10.0.0.0/8 -j ACCEPT")
    packet = lab.forward(udp(*C, *S))
    assert packet.connection is None
    assert lab.netfilter.conntrack.count == 0


def test_a_namespace_is_inactive_until_something_could_touch_a_packet():
    lab = NatLab()
    assert not lab.netfilter.is_active
    lab.iptables("-N MINE")
    assert not lab.netfilter.is_active
    lab.iptables("-P FORWARD DROP")
    assert lab.netfilter.is_active
    lab.iptables("-P FORWARD ACCEPT")
    assert not lab.netfilter.is_active


def test_two_packets_of_a_new_flow_on_their_way_at_once_become_one_entry(lab):
    packets = [Packet(udp(*C, *S), lab.in0) for _ in range(2)]
    for packet in packets:
        assert lab.netfilter.run(Hook.PREROUTING, packet)
        packet.outdev = lab.out0
    assert all(lab.netfilter.run(Hook.POSTROUTING, packet) for packet in packets)
    assert lab.netfilter.conntrack.count == 1
    assert packets[0].connection is packets[1].connection
