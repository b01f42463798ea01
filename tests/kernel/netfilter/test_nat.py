"""Address translation, end to end and hook by hook."""

import pytest
from support.nat_lab import NatLab, echo, tcp, udp

from cnmsim.kernel.address import format_ip, parse_ip
from cnmsim.kernel.checksum import checksum, transport_checksum
from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.netfilter import Hook
from cnmsim.kernel.netfilter.errors import IptablesError
from cnmsim.kernel.netfilter.nat import NatRange, _port_bounds, _translate
from cnmsim.kernel.packet import TCP_ACK, TCP_RST, TCP_SYN, build_ip
from cnmsim.kernel.skbuff import CtState, Packet
from cnmsim.kernel.sockets.udp import UdpSocket
from cnmsim.kernel.transport import icmp_message, icmpv6_message, udp_message


@pytest.fixture
def lab():
    return NatLab()


def ends(packet):
    return f"{format_ip(packet.src)}:{packet.sport} > {format_ip(packet.dst)}:{packet.dport}"


def answer_to(packet, make=udp, **more):
    return make(format_ip(packet.dst), packet.dport, format_ip(packet.src), packet.sport, **more)


def has_right_checksums(packet):
    Packet(packet.data)  # the IPv4 header checksum
    body = packet.payload
    at = {6: 16, 17: 6, 58: 2}[packet.protocol]
    bare = body[:at] + b"\0\0" + body[at + 2 :]
    return int.from_bytes(body[at : at + 2]) == (
        transport_checksum(packet.src, packet.dst, packet.protocol, bare) or 0xFFFF
    )


def test_masquerade_takes_the_devices_address_and_the_answer_comes_back(lab):
    lab.iptables("-t nat -A POSTROUTING -s 10.0.0.0/24 ! -o in0 -j MASQUERADE")
    out = lab.forward(udp("10.0.0.2", 4000, "192.168.0.2", 53))
    assert ends(out) == "192.168.0.1:4000 > 192.168.0.2:53"
    assert has_right_checksums(out)
    back = lab.back(answer_to(out))
    assert ends(back) == "192.168.0.2:53 > 10.0.0.2:4000"
    assert has_right_checksums(back)
    assert back.ct_state is CtState.ESTABLISHED


def test_a_source_port_in_use_is_replaced_by_one_of_its_class(lab):
    lab.iptables("-t nat -A POSTROUTING -j MASQUERADE")
    seen = [lab.forward(udp(f"10.0.0.{host}", 4000, "192.168.0.2", 53)).sport for host in range(2, 12)]
    assert seen[0] == 4000
    assert len(set(seen)) == 10
    assert all(port >= 1024 for port in seen)
    low = [lab.forward(udp(f"10.0.0.{host}", 123, "192.168.0.2", 53)).sport for host in range(2, 12)]
    assert low[0] == 123
    assert all(1 <= port < 512 for port in low)


def test_one_client_keeps_its_port_towards_several_servers(lab):
    lab.iptables("-t nat -A POSTROUTING -j SNAT --to-source 192.168.0.7")
    lab.forward(udp("10.0.0.3", 4000, "192.168.0.2", 53))
    moved = lab.forward(udp("10.0.0.2", 4000, "192.168.0.2", 53)).sport
    assert moved != 4000
    assert lab.forward(udp("10.0.0.2", 4000, "192.168.0.9", 53)).sport in {4000, moved}


def test_dnat_turns_round_for_the_answer(lab):
    lab.iptables("-t nat -A PREROUTING -i in0 -p udp --dport 8080 -j DNAT --to-destination 192.168.0.2:80")
    out = lab.forward(udp("10.0.0.2", 4000, "10.0.0.1", 8080))
    assert ends(out) == "10.0.0.2:4000 > 192.168.0.2:80"
    assert ends(lab.back(answer_to(out))) == "10.0.0.1:8080 > 10.0.0.2:4000"


def test_dnat_to_a_range_of_ports_and_addresses_stays_inside(lab):
    lab.iptables(
        "-t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to-destination 192.168.0.10-192.168.0.12:8000-8003"
    )
    for port in range(2000, 2030):
        out = lab.forward(tcp("10.0.0.2", port, "10.0.0.1", 80, TCP_SYN))
        assert parse_ip("192.168.0.10") <= out.dst <= parse_ip("192.168.0.12")
        assert 8000 <= out.dport <= 8003


def test_the_first_free_port_of_a_destination_range_is_taken(lab):
    # As Linux 6.x does: with a range of destination ports, all new connections went to the first.
    lab.iptables("-t nat -A PREROUTING -p udp --dport 80 -j DNAT --to-destination 192.168.0.2:7000-7009")
    ports = [lab.forward(udp("10.0.0.2", 4000 + number, "10.0.0.1", 80)).dport for number in range(3)]
    assert ports == [7000, 7000, 7000]


@pytest.mark.parametrize(("port", "chosen"), [(100, 9), (101, 5), (102, 5), (103, 6), (107, 5), (108, 6)])
def test_a_shifted_range_keeps_the_distance_to_its_base(lab, port, chosen):
    # The pairs are those that conntrack -L printed on Linux 6.x.
    lab.iptables("-t nat -A PREROUTING -p udp --dport 100:120 -j DNAT --to-destination 192.168.0.2:5-9/102")
    assert lab.forward(udp("10.0.0.2", 4000, "10.0.0.1", port)).dport == chosen


#: What iptables 1.8.11 makes of ports after `--to-destination ADDRESS:`: as saved, or its error.
PORTS = {
    "0": "0", "010": "8", "0x10": "16", "5-5": "5", "5-9/7": "5-9/7", "http": "80",
    "5-a": "Port `a' not valid", "a-5": "Port `a-5' not valid", "5-70000": "Port `70000' not valid",
    "70000-5": "Port `70000-5' not valid", "5/10": "Garbage after port value: `/10'",
    "5-9/70000": "Port `70000' not valid", "-1": "Port `-1' not valid", "5-": "Port `' not valid",
    "": "Port `' not valid", "7-6": "Port range `6' funky", "5-6-7": "Garbage after port range: `-7'",
    "http-https": "Port `http-https' not valid",
}  # fmt: skip
#: The targets for which iptables 1.8.11 differs from `PORTS`.
OTHERWISE = {
    ("SNAT", "5-9/7"): "5-9/0",
    ("MASQUERADE", "5-9/7"): "5-9/0",
    ("REDIRECT", "5-9/7"): "Shifted portmap ranges not supported with this kernel",
}
BEFORE_PORTS = {
    "DNAT": ("PREROUTING", "--to-destination 192.168.0.2:"), "SNAT": ("POSTROUTING", "--to-source 192.168.0.2:"),
    "MASQUERADE": ("POSTROUTING", "--to-ports "), "REDIRECT": ("PREROUTING", "--to-ports "),
}  # fmt: skip


@pytest.mark.parametrize("target", BEFORE_PORTS)
@pytest.mark.parametrize("ports", PORTS)
def test_ports_of_translation_are_read_as_iptables_reads_them(lab, target, ports):
    if not ports and "--to-ports" in BEFORE_PORTS[target][1]:
        return
    chain, option = BEFORE_PORTS[target]
    expected = OTHERWISE.get((target, ports), PORTS[ports])
    try:
        lab.iptables(f"-t nat -A {chain} -p tcp -j {target} {option}{ports}")
    except IptablesError as error:
        assert expected in str(error)
        return
    saved = [line for line in lab.router.netfilter.iptables(4).save("nat").splitlines() if line.startswith("-A")]
    assert saved == [f"-A {chain} -p tcp -j {target} {option}{expected}"]


def test_echo_identifiers_are_translated(lab):
    lab.iptables("-t nat -A POSTROUTING -j MASQUERADE")
    first = lab.forward(echo("10.0.0.2", "192.168.0.2", 7))
    second = lab.forward(echo("10.0.0.3", "192.168.0.2", 7))
    ids = [int.from_bytes(packet.payload[4:6]) for packet in (first, second)]
    assert ids[0] == 7
    assert ids[1] != 7
    back = lab.back(echo("192.168.0.2", "192.168.0.1", ids[1], kind=0))
    assert format_ip(back.dst) == "10.0.0.3"
    assert int.from_bytes(back.payload[4:6]) == 7


def test_an_icmp_error_reaches_the_client_with_what_the_client_sent_in_it(lab):
    lab.iptables("-t nat -A POSTROUTING -j MASQUERADE")
    sent = udp("10.0.0.2", 4000, "192.168.0.2", 53)
    lab.forward(udp("10.0.0.9", 4000, "192.168.0.2", 53))
    out = lab.forward(sent)
    assert out.sport != 4000
    error = icmp_message(3, 3, bytes(4), out.data)
    back = lab.back(build_ip(1, out.dst, out.src, error))
    assert format_ip(back.dst) == "10.0.0.2"
    assert back.ct_state is CtState.RELATED
    quoted = Packet(back.payload[8:])
    assert ends(quoted) == "10.0.0.2:4000 > 192.168.0.2:53"
    assert has_right_checksums(quoted)
    assert icmp_message(3, 3, bytes(4), back.payload[8:]) == back.payload


def test_an_error_about_a_dnated_flow_names_the_address_that_was_asked(lab):
    lab.iptables("-t nat -A PREROUTING -i in0 -p udp --dport 8080 -j DNAT --to-destination 192.168.0.2:80")
    out = lab.forward(udp("10.0.0.2", 4000, "10.0.0.1", 8080))
    back = lab.back(build_ip(1, out.dst, out.src, icmp_message(3, 3, bytes(4), out.data)))
    assert format_ip(back.src) == "10.0.0.1"
    assert ends(Packet(back.payload[8:])) == "10.0.0.2:4000 > 10.0.0.1:8080"


def test_redirect_turns_a_flow_to_the_router_itself(lab):
    lab.iptables("-t nat -A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 3128")
    packet = Packet(tcp("10.0.0.2", 4000, "192.168.0.2", 80, TCP_SYN), lab.in0)
    assert lab.netfilter.run(Hook.PREROUTING, packet)
    assert ends(packet) == "10.0.0.2:4000 > 10.0.0.1:3128"


def test_masqueraded_flows_die_with_their_device(lab):
    lab.iptables("-t nat -A POSTROUTING -o out0 -j MASQUERADE")
    lab.forward(udp("10.0.0.2", 4000, "192.168.0.2", 53))
    assert lab.netfilter.conntrack.count == 1
    lab.out0.set_down()
    lab.out0.set_up()
    assert lab.netfilter.conntrack.count == 0


def test_translation_is_reported_with_both_sides(lab):
    lab.iptables("-t nat -A POSTROUTING -j MASQUERADE")
    lab.clock.context = lab.witness
    lab.forward(udp("10.0.0.2", 4000, "192.168.0.2", 53))
    [event] = lab.witness.of(Step.TRANSLATED)
    assert event.decision == "UDP 10.0.0.2:4000 > 192.168.0.2:53 → UDP 192.168.0.1:4000 > 192.168.0.2:53"


def test_a_rejected_new_flow_is_answered_in_the_name_of_the_address_asked(lab):
    lab.iptables(
        "-t nat -A PREROUTING -i in0 -p udp --dport 8080 -j DNAT --to-destination 192.168.0.2:80",
        "-A FORWARD -o out0 -j REJECT",
    )
    heard = []
    lab.client.devices["eth0"].taps = (lambda _t, way, frame: heard.append(frame) if way == "in" else None,)
    lab.clock.context = lab.witness
    lab.client.send(17, lab.client.route_output(parse_ip("10.0.0.1")), parse_ip("10.0.0.1"),
                    udp("10.0.0.2", 4000, "10.0.0.1", 8080)[20:])  # fmt: skip
    lab.clock.run_for(5)
    errors = [Packet(frame[14:]) for frame in heard if frame[12:14] == b"\x08\x00"]
    assert [format_ip(error.src) for error in errors] == ["10.0.0.1"]
    assert ends(Packet(errors[0].payload[8:])) == "10.0.0.2:4000 > 10.0.0.1:8080"
    assert (
        "router",
        DropReason.NETFILTER_REJECT,
        "filter FORWARD: -A FORWARD -o out0 -j REJECT --reject-with icmp-port-unreachable",
    ) in lab.witness.drops


def test_tcp_reset_comes_from_the_address_asked(lab):
    lab.iptables(
        "-t nat -A PREROUTING -i in0 -p tcp --dport 8080 -j DNAT --to-destination 192.168.0.2:80",
        "-A FORWARD -p tcp -j REJECT --reject-with tcp-reset",
    )
    heard = []
    lab.client.devices["eth0"].taps = (lambda _t, way, frame: heard.append(frame) if way == "in" else None,)
    lab.client.send(6, lab.client.route_output(parse_ip("10.0.0.1")), parse_ip("10.0.0.1"),
                    tcp("10.0.0.2", 4000, "10.0.0.1", 8080, TCP_SYN)[20:])  # fmt: skip
    lab.clock.run_for(5)
    [reset] = [Packet(frame[14:]) for frame in heard if frame[12:14] == b"\x08\x00"]
    assert ends(reset) == "10.0.0.1:8080 > 10.0.0.2:4000"
    assert reset.tcp_flags == TCP_RST | TCP_ACK
    assert has_right_checksums(reset)


def test_a_flow_to_loopback_is_translated_once_although_lo_brings_it_back(lab):
    """The embedded DNS server's rules: 127.0.0.11:53 is another port of the same namespace, both ways."""
    lab.iptables(
        "-t nat -A OUTPUT -d 127.0.0.11/32 -p udp -m udp --dport 53 -j DNAT --to-destination 127.0.0.11:40000",
        "-t nat -A POSTROUTING -s 127.0.0.11/32 -p udp -m udp --sport 40000 -j SNAT --to-source :53",
        namespace=lab.client,
    )
    server, client = UdpSocket(lab.client, 4), UdpSocket(lab.client, 4)
    server.bind(("127.0.0.11", 40000))
    client.bind(("127.0.0.1", 5555))
    lab.clock.context = lab.witness
    client.sendto(b"question", ("127.0.0.11", 53))
    lab.clock.run_for(1)
    server.sendto(b"answer", ("127.0.0.1", 5555))
    lab.clock.run_for(1)
    heard = [event.data for event in lab.witness.of(Step.DELIVERED)]
    assert [ends(Packet(each)) for each in heard] == [
        "127.0.0.1:5555 > 127.0.0.11:40000",
        "127.0.0.11:53 > 127.0.0.1:5555",
    ]
    assert lab.client.netfilter.conntrack.count == 1


def udp6(src, sport, dst, dport):
    src, dst = parse_ip(src), parse_ip(dst)
    return build_ip(17, src, dst, udp_message(src, dst, sport, dport, b"hello"))


def test_ipv6_is_translated_both_ways_with_right_checksums(lab):
    tables = lab.netfilter.iptables(6)
    tables.append("nat", "PREROUTING", "! -s fe80::/10 -p udp --dport 8080 -j DNAT --to-destination [fd01::2]:80")
    tables.append("nat", "POSTROUTING", "-s fd00::/64 ! -o in0 -j MASQUERADE")
    out = lab.forward(udp6("fd00::2", 4000, "fd00::1", 8080))
    assert ends(out) == "fd01::1:4000 > fd01::2:80"
    back = lab.back(udp6("fd01::2", 80, "fd01::1", 4000))
    assert ends(back) == "fd00::1:8080 > fd00::2:4000"
    assert has_right_checksums(out)
    assert has_right_checksums(back)


def test_an_icmpv6_error_is_translated_with_what_it_quotes(lab):
    lab.netfilter.iptables(6).append("nat", "POSTROUTING", "-s fd00::/64 ! -o in0 -j MASQUERADE")
    sent = udp6("fd00::2", 4000, "fd01::2", 53)
    out = lab.forward(sent)
    error = icmpv6_message(out.dst, out.src, 1, 4, bytes(4), out.data)
    back = lab.back(build_ip(58, out.dst, out.src, error))
    assert format_ip(back.dst) == "fd00::2"
    assert back.payload[8:] == Packet(sent).data
    assert has_right_checksums(back)


def test_neighbour_discovery_is_not_tracked(lab):
    lab.netfilter.iptables(6).append("filter", "INPUT", "-m conntrack --ctstate UNTRACKED -j ACCEPT")
    src, dst = parse_ip("fd00::2"), parse_ip("ff02::1:ff00:1")
    packet = Packet(build_ip(58, src, dst, icmpv6_message(src, dst, 135, 0, bytes(4), parse_ip("fd00::1"))), lab.in0)
    assert lab.netfilter.run(Hook.PREROUTING, packet)
    assert packet.ct_state is CtState.UNTRACKED


#: nf_nat_l4proto_unique_tuple, net/netfilter/nf_nat_core.c: the first port to try, and the number of ports.
BOUNDS = [(1, (1, 511)), (511, (1, 511)), (512, (600, 424)), (1023, (600, 424)), (1024, (1024, 64512)),
          (65535, (1024, 64512))]  # fmt: skip


@pytest.mark.parametrize(("port", "bounds"), BOUNDS)
def test_a_source_port_is_replaced_by_one_of_the_kernels_range_for_it(port, bounds):
    key = (17, parse_ip("10.0.0.2"), parse_ip("192.168.0.2"), port, 53)
    assert _port_bounds(key, NatRange(), is_source=True) == bounds
    assert _port_bounds(key, NatRange(), is_source=False) is None
    assert _port_bounds(key, NatRange(ports=(80, 90)), is_source=False) == (80, 11)


@pytest.mark.parametrize("is_source", [True, False])
@pytest.mark.parametrize(
    ("address", "identifier", "is_changed"),
    [("", 7, False), ("", 8, True), ("", 0x0107, True), ("203.0.113.9", 7, True), ("203.0.113.9", 8, True)],
)
def test_a_ping_is_rewritten_only_where_nat_demands(is_source, address, identifier, is_changed):
    data = echo("10.0.0.2", "192.168.0.2", 7)
    packet = Packet(data, None)
    new = parse_ip(address) if address else packet.src if is_source else packet.dst
    other = (1, packet.dst, new, identifier, 0) if is_source else (1, new, packet.src, identifier, 0)
    assert _translate(packet, other, is_source=is_source) is is_changed
    assert (packet.data != data) is is_changed
    assert (packet.src if is_source else packet.dst) == new
    assert int.from_bytes(packet.payload[4:6]) == identifier
    assert checksum(packet.payload) == 0
