"""Walking chains: jumps, returns, gotos, counters, what is remembered of flows, and what is reported."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.nat_lab import NatLab, tcp, udp

from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.netfilter import Hook
from cnmsim.kernel.packet import TCP_ACK, TCP_SYN
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.transport import TcpSegment

C, S = ("10.0.0.2", 4000), ("192.168.0.2", 80)


@pytest.fixture
def lab():
    return NatLab()


def counters(lab, chain, table="filter"):
    return [entry.packets for entry in lab.tables.tables[table].chains[chain].rules]


def test_return_goes_back_to_the_caller_and_goto_to_its_callers_caller(lab):
    lab.iptables(
        "-N A", "-N B", "-A FORWARD -j A", "-A FORWARD -s 10.0.0.2 -j ACCEPT", "-P FORWARD DROP",
        "-A A -g B", "-A A -j DROP", "-A B -p tcp -j DROP", "-A B -j RETURN", "-A B -j DROP",
    )  # fmt: skip
    assert lab.forward(udp(*C, *S)) is not None
    assert lab.forward(tcp(*C, *S, TCP_SYN)) is None
    assert counters(lab, "A") == [2, 0]
    assert counters(lab, "B") == [1, 1, 0]
    assert counters(lab, "FORWARD") == [2, 1]


def test_policy_counts_what_reaches_the_end(lab):
    lab.iptables("-A FORWARD -p tcp -j ACCEPT")
    data = udp(*C, *S)
    lab.forward(data)
    chain = lab.tables.tables["filter"].chains["FORWARD"]
    assert (chain.packets, chain.bytes) == (1, len(data))


def test_counters_go_on_for_remembered_flows(lab):
    lab.iptables("-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT", "-A FORWARD -p udp -j ACCEPT")
    lab.forward(udp(*C, *S))
    lab.back(udp(*S, *C))
    for _ in range(5):
        lab.forward(udp(*C, *S))
    assert counters(lab, "FORWARD") == [6, 1]


def test_a_changed_rule_takes_effect_for_a_flow_under_way(lab):
    lab.iptables("-A FORWARD -m conntrack --ctstate ESTABLISHED,NEW -j ACCEPT")
    lab.forward(udp(*C, *S))
    lab.back(udp(*S, *C))
    assert lab.forward(udp(*C, *S)) is not None
    lab.iptables("-I FORWARD -s 10.0.0.2 -j DROP")
    assert lab.forward(udp(*C, *S)) is None


def test_a_changed_address_takes_effect_for_a_flow_under_way(lab):
    lab.iptables("-A FORWARD -m addrtype --src-type LOCAL -j DROP", "-A FORWARD -m conntrack --ctstate NEW -j ACCEPT")
    lab.forward(udp("10.0.0.77", 1, *S))
    assert lab.forward(udp("10.0.0.77", 1, *S)) is not None
    lab.router.add_address(lab.in0, "10.0.0.77/32")
    assert lab.forward(udp("10.0.0.77", 1, *S)) is None


def test_limit_lets_its_burst_through_and_then_its_rate(lab):
    lab.iptables("-A FORWARD -m limit --limit 1/sec --limit-burst 3 -j ACCEPT", "-P FORWARD DROP")
    assert [lab.forward(udp(*C, *S)) is not None for _ in range(5)] == [True, True, True, False, False]
    lab.clock.run_for(2)
    assert [lab.forward(udp(*C, *S)) is not None for _ in range(3)] == [True, True, False]


def test_nth_takes_every_third(lab):
    lab.iptables("-A FORWARD -m statistic --mode nth --every 3 --packet 0 -j DROP")
    assert [lab.forward(udp(*C, *S)) is None for _ in range(6)] == [True, False, False] * 2


def test_random_is_the_same_for_the_same_seed():
    def run():
        lab = NatLab(seed=5)
        lab.iptables("-A FORWARD -m statistic --mode random --probability 0.5 -j DROP")
        return [lab.forward(udp(*C, *S)) is None for _ in range(40)]

    first = run()
    assert first == run()
    assert 5 < sum(first) < 35


MATCHES = [
    ("-s 10.0.0.0/24", True), ("! -s 10.0.0.0/24", False), ("-d 192.168.0.2", True), ("-i in+", True),
    ("-i in", False), ("! -i docker0", True), ("-o out0", True), ("-p tcp", True), ("! -p tcp", False),
    ("-p tcp --dport 80", True), ("-p tcp --dport 81:90", False), ("-p tcp ! --sport 4000", False),
    ("-p udp --dport 80", False), ("-p tcp --syn", True), ("-p tcp --tcp-flags SYN,ACK ACK", False),
    ("-p tcp -m multiport --dports 22,80", True), ("-p tcp -m multiport ! --ports 4000", False),
    ("-m conntrack --ctstate NEW", True), ("-m conntrack ! --ctstate NEW", False), ("-m state --state NEW", True),
    ("-m conntrack --ctorigdstport 80 --ctorigdst 192.168.0.0/24 --ctdir ORIGINAL", True),
    ("-m conntrack --ctproto udp", False), ("-m conntrack --ctstatus NONE", True),
    ("-m addrtype --dst-type UNICAST", True), ("-m addrtype --src-type LOCAL", False), ("-m mark --mark 0", True),
    ("-m mark --mark 1", False), ("-m comment --comment x", True), ("-m length --length 40:60", True),
    ("-m ttl --ttl-eq 64", True), ("-m ttl --ttl-lt 64", False), ("-m pkttype --pkt-type unicast", True),
    ("-m iprange --src-range 10.0.0.1-10.0.0.2", True), ("-m iprange --dst-range 192.168.0.3-192.168.0.9", False),
    ("-m physdev --physdev-is-bridged", False), ("-m set --match-set hosts src", True),
    ("-m set ! --match-set nets dst", False), ("-m set --match-set services dst,dst", True), ("-f", False),
    ("-m connmark --mark 0", True),
]  # fmt: skip


@pytest.mark.parametrize(("match", "fits"), MATCHES)
def test_what_a_match_fits(lab, match, fits):
    lab.netfilter.create_set("hosts").add("10.0.0.2")
    lab.netfilter.create_set("nets", "hash:net").add("192.168.0.0/16")
    lab.netfilter.create_set("services", "hash:ip,port").add("192.168.0.2,tcp:80")
    lab.iptables(f"-A FORWARD {match} -j DROP", "-A FORWARD -m conntrack --ctstate NEW")
    assert (lab.forward(tcp(*C, *S, TCP_SYN)) is None) is fits


def test_marks_are_set_saved_and_restored(lab):
    lab.iptables(
        "-t mangle -A PREROUTING -i in0 -j MARK --set-mark 0x15",
        "-t mangle -A PREROUTING -i in0 -j CONNMARK --save-mark --mask 0xf",
        "-t mangle -A PREROUTING -i out0 -j CONNMARK --restore-mark",
    )
    assert lab.forward(udp(*C, *S)).mark == 0x15
    assert lab.back(udp(*S, *C)).mark == 5


def test_mss_is_clamped_to_the_narrowest_path(lab):
    lab.out0.set_mtu(1400)
    lab.iptables("-t mangle -A FORWARD -p tcp --syn -j TCPMSS --clamp-mss-to-pmtu")
    out = lab.forward(tcp(*C, *S, TCP_SYN, options=b"\x01\x02\x04\x05\xb4\x00"))
    segment = TcpSegment.parse(out.payload)
    assert segment.mss == 1360
    assert segment.to_wire(out.src, out.dst) == out.payload


def test_a_syn_whose_options_are_cut_off_is_dropped_where_its_mss_is_set(lab):
    lab.iptables("-t mangle -A FORWARD -p tcp --syn -j TCPMSS --set-mss 1000")
    whole = tcp(*C, *S, TCP_SYN, options=b"\x02\x04\x05\xb4")
    assert TcpSegment.parse(lab.forward(whole).payload).mss == 1000
    cut = Packet(whole)
    cut.replace_payload(cut.payload[:21])
    assert lab.forward(cut.data) is None
    assert lab.forward(whole) is not None


def test_set_mss_never_raises_the_mss(lab):
    lab.iptables("-t mangle -A FORWARD -p tcp --syn -j TCPMSS --set-mss 1400")
    syn = tcp(*C, *S, TCP_SYN, options=b"\x02\x04\x02\x18")
    assert TcpSegment.parse(lab.forward(syn).payload).mss == 536


@pytest.mark.parametrize(
    ("client", "server", "value", "mss"),
    [(C, S, 1000, 536), (C, S, 400, 400), (("fd00::2", 4000), ("fd01::2", 80), 1400, 1220)],
)
def test_a_missing_mss_is_added_at_most_the_default(lab, client, server, value, mss):
    command = f"-t mangle -A FORWARD -p tcp --syn -j TCPMSS --set-mss {value}"
    lab.netfilter.iptables(6 if ":" in client[0] else 4).execute(command.split())
    out = lab.forward(tcp(*client, *server, TCP_SYN, options=b"\x01\x03\x03\x07"))
    segment = TcpSegment.parse(out.payload)
    assert segment.mss == mss
    assert segment.options == b"\x02\x04" + mss.to_bytes(2) + b"\x01\x03\x03\x07"
    assert segment.to_wire(out.src, out.dst) == out.payload


@pytest.mark.parametrize(("options", "payload"), [(b"", b"data"), (b"\x01" * 40, b"")])
def test_no_mss_is_added_to_a_segment_with_data_or_a_full_header(lab, options, payload):
    lab.iptables("-t mangle -A FORWARD -p tcp --syn -j TCPMSS --set-mss 1000")
    syn = tcp(*C, *S, TCP_SYN, options=options, payload=payload)
    assert lab.forward(syn).payload == Packet(syn).payload


def test_log_writes_the_kernels_line(lab):
    lab.tables.execute(["-A", "FORWARD", "-j", "LOG", "--log-prefix", "seen: "])
    lab.forward(tcp(*C, *S, TCP_SYN))
    [line] = lab.netfilter.log
    assert line == (
        "seen: IN=in0 OUT=out0 MAC= SRC=10.0.0.2 DST=192.168.0.2 LEN=40 TOS=0x00 PREC=0x00 TTL=64 ID=0 DF PROTO=TCP "
        "SPT=4000 DPT=80 WINDOW=64240 RES=0x00 SYN URGP=0"
    )


def test_output_is_routed_anew_after_translation(lab):
    lab.iptables("-t nat -A OUTPUT -d 10.0.0.99 -j DNAT --to-destination 192.168.0.2")
    packet = Packet(udp("10.0.0.1", 1, "10.0.0.99", 2))
    packet.outdev = lab.in0
    assert lab.netfilter.run(Hook.OUTPUT, packet)
    assert packet.outdev is lab.out0


def test_a_drop_names_the_chains_and_the_rule(lab):
    lab.iptables("-N DOCKER-USER", "-A FORWARD -j DOCKER-USER", "-A DOCKER-USER -s 10.0.0.2 -j DROP")
    lab.clock.context = lab.witness
    assert lab.forward(udp(*C, *S)) is None
    assert lab.witness.drops == [
        ("router", DropReason.NETFILTER_DROP, "filter FORWARD → DOCKER-USER: -A DOCKER-USER -s 10.0.0.2/32 -j DROP")
    ]


def test_a_policy_drop_says_so(lab):
    lab.iptables("-P FORWARD DROP")
    lab.clock.context = lab.witness
    lab.forward(udp(*C, *S))
    assert lab.witness.drops == [("router", DropReason.NETFILTER_POLICY, "filter FORWARD: policy DROP")]


def test_every_table_with_rules_tells_what_let_the_packet_go_on(lab):
    lab.iptables("-A FORWARD -p udp -j ACCEPT", "-t mangle -A FORWARD -p tcp -j ACCEPT")
    lab.clock.context = lab.witness
    lab.forward(udp(*C, *S))
    assert [event.decision for event in lab.witness.of(Step.HOOK)] == [
        "mangle FORWARD: policy ACCEPT",
        "filter FORWARD: -A FORWARD -p udp -j ACCEPT",
    ]


# --- law: remembering changes nothing ----------------------------------------------------------------------------

_RULES = st.lists(
    st.sampled_from([
        "-A FORWARD -j A", "-A A -j B", "-A FORWARD -g B", "-A A -p tcp -j RETURN", "-A B -p udp --dport 80 -j DROP",
        "-A B -m conntrack --ctstate ESTABLISHED -j ACCEPT", "-A FORWARD -i in0 ! -o in0 -j ACCEPT",
        "-A FORWARD -m mark --mark 1 -j DROP", "-t mangle -A FORWARD -s 10.0.0.2 -j MARK --set-mark 1",
        "-A A -p tcp --tcp-flags SYN,ACK ACK -j DROP", "-A B -m length --length 0:45 -j DROP", "-P FORWARD DROP",
        "-t raw -A PREROUTING -s 192.168.0.2 -p udp -j NOTRACK", "-A A -m connmark --mark 3 -j DROP",
        "-t mangle -A FORWARD -o in0 -j CONNMARK --set-mark 3", "-t nat -A POSTROUTING -o out0 -j MASQUERADE",
        "-A B -m statistic --mode nth --every 2 --packet 0 -j DROP", "-A A -m addrtype --dst-type LOCAL -j DROP",
    ]),
    unique=True,
)  # fmt: skip
_TRAFFIC = st.lists(st.tuples(st.booleans(), st.sampled_from(["udp", "syn", "ack", "long"])), max_size=12)


def _outcome(rules, traffic, observed):
    lab = NatLab()
    lab.iptables("-N A", "-N B", *rules)
    lab.clock.context = lab.witness if observed else None
    ends = []
    for forth, kind in traffic:
        source, target = (C, S) if forth else (S, ("192.168.0.1", 4000) if any("MASQ" in r for r in rules) else C)
        make = {
            "udp": lambda s=source, t=target: udp(*s, *t),
            "syn": lambda s=source, t=target: tcp(*s, *t, TCP_SYN),
            "ack": lambda s=source, t=target: tcp(*s, *t, TCP_ACK),
            "long": lambda s=source, t=target: udp(*s, *t, payload=bytes(100)),
        }[kind]
        packet = lab.forward(make()) if forth else lab.back(make())
        ends.append(packet and packet.data)
    return ends, lab.tables.save(counters=True)


@settings(max_examples=60, deadline=None)
@given(_RULES, _TRAFFIC)
def test_remembered_flows_fare_as_flows_walked_in_full(rules, traffic):
    traffic = traffic * 2
    assert _outcome(rules, traffic, observed=False) == _outcome(rules, traffic, observed=True)


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [("set 5", 64, 5), ("dec 3", 64, 61), ("inc 3", 64, 67), ("inc 255", 64, 255), ("dec 200", 64, 0)],
)
def test_a_changed_ttl_stays_within_its_octet(lab, change, before, after):  # ttl_tg of net/netfilter/xt_HL.c
    lab.iptables(f"-t mangle -A FORWARD -j TTL --ttl-{change}")
    packet = lab.forward(udp("10.0.0.2", 1, "192.168.0.2", 2))
    assert before == Packet(udp("10.0.0.2", 1, "192.168.0.2", 2)).ttl
    assert packet.ttl == after
    assert sum(int.from_bytes(packet.data[at : at + 2]) for at in range(0, 20, 2)) % 0xFFFF == 0


def test_only_an_inverted_address_is_echoed_with_an_exclamation_mark(lab):
    tables = lab.router.netfilter.iptables(4)
    text = tables.execute(["-v", "-A", "FORWARD", "!", "-s", "10.0.0.2", "-d", "10.0.0.3", "-j", "ACCEPT"])
    assert "!10.0.0.2" in text
    assert "!10.0.0.3" not in text
    assert "10.0.0.3" in text


@pytest.mark.parametrize(
    ("kind", "member"), [("hash:ip", "fd00::1"), ("hash:net", "fd00::/64"), ("hash:ip,port", "fd00::1,tcp:80")]
)
def test_a_set_of_ipv4_takes_no_ipv6_address(lab, kind, member):
    made = lab.netfilter.create_set("s", kind)
    with pytest.raises(ValueError, match="another family than set s"):
        made.add(member)
    assert len(made) == 0
