"""Laws of address translation, over generated flows and rules."""

from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP
from support.nat_lab import NatLab, echo, tcp, udp

from cnmsim.kernel.address import format_ip
from cnmsim.kernel.packet import TCP_SYN, build_ip
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.transport import icmp_message

_RULES = st.lists(
    st.sampled_from([
        "-t nat -A POSTROUTING -o out0 -j MASQUERADE",
        "-t nat -A POSTROUTING -o out0 -p tcp -j MASQUERADE --to-ports 5000-5010",
        "-t nat -A POSTROUTING -o out0 -j MASQUERADE --random",
        "-t nat -A POSTROUTING -p udp -j SNAT --to-source 192.168.0.5-192.168.0.7:2000-2010",
        "-t nat -A POSTROUTING -j SNAT --to-source 192.168.0.9 --persistent",
        "-t nat -A PREROUTING -i in0 -p tcp -m tcp --dport 80 -j DNAT --to-destination 192.168.0.2:8080",
        "-t nat -A PREROUTING -i in0 -p udp --dport 53 -j DNAT --to-destination 192.168.0.2-192.168.0.4:53-60",
        "-t nat -A PREROUTING -i in0 -d 10.0.0.1 -j DNAT --to-destination 192.168.0.2",
    ]),
    min_size=1, max_size=4, unique=True,
)  # fmt: skip
_FLOWS = st.lists(
    st.tuples(
        st.sampled_from(["udp", "tcp", "icmp"]),
        st.integers(2, 4),
        st.sampled_from([1, 500, 600, 1024, 4000]),
        st.sampled_from(["10.0.0.1", "192.168.0.2", "192.168.0.3"]),
        st.sampled_from([53, 80]),
    ),
    unique=True,
    max_size=25,
)


def _packet(flow):
    kind, host, port, dst, dport = flow
    src = f"10.0.0.{host}"
    if kind == "icmp":
        return echo(src, dst, port)
    return udp(src, port, dst, dport) if kind == "udp" else tcp(src, port, dst, dport, TCP_SYN)


def _answer(packet):
    src, dst = format_ip(packet.dst), format_ip(packet.src)
    if packet.protocol == 1:
        return echo(src, dst, int.from_bytes(packet.payload[4:6]), kind=0)
    if packet.protocol == 17:
        return udp(src, packet.dport, dst, packet.sport)
    return tcp(src, packet.dport, dst, packet.sport, TCP_SYN | 16)


def _assert_checksums_right(data):
    """Let scapy compute every checksum anew."""
    parsed = IP(data)
    for layer in (parsed, parsed.payload):
        if "chksum" in layer.fields:
            del layer.chksum
    assert bytes(parsed) == data


@settings(max_examples=60, deadline=None)
@given(_RULES, _FLOWS)
def test_answers_come_back_to_who_asked_with_the_addresses_that_were_asked(rules, flows):
    lab = NatLab()
    lab.iptables(*rules)
    sent = []
    for flow in flows:
        data = _packet(flow)
        out = lab.forward(data)
        if out is not None:
            _assert_checksums_right(out.data)
            sent.append((Packet(data), out))
    for asked, out in sent:
        back = lab.back(_answer(out))
        assert (back.src, back.sport, back.dst, back.dport) == (asked.dst, asked.dport, asked.src, asked.sport)
        if asked.protocol == 1:
            assert back.payload[4:6] == asked.payload[4:6]
        _assert_checksums_right(back.data)


@settings(max_examples=60, deadline=None)
@given(_RULES, _FLOWS)
def test_no_two_live_connections_share_a_tuple(rules, flows):
    lab = NatLab()
    lab.iptables(*rules)
    for flow in flows:
        lab.forward(_packet(flow))
    connections = lab.netfilter.conntrack.entries()
    tuples = [key for c in connections for key in (c.original, c.reply)]
    assert len(set(tuples)) == len(tuples)


@settings(max_examples=40, deadline=None)
@given(_RULES, _FLOWS, st.sampled_from([28, 36, 40, 48, 60]))
def test_errors_about_translated_flows_quote_what_was_sent(rules, flows, quoted):
    lab = NatLab()
    lab.iptables(*rules)
    for flow in flows:
        data = _packet(flow)
        out = lab.forward(data)
        if out is None:
            continue
        error = build_ip(1, out.dst, out.src, icmp_message(3, 1, bytes(4), out.data[:quoted]))
        back = lab.back(error)
        assert back.dst == Packet(data).src
        assert back.payload[8:] == data[:quoted]
        _assert_checksums_right(back.data)
