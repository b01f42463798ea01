"""nf_tables: what a verdict ends, what traces tell, and that a run of nft is done as a whole or not at all."""

from types import SimpleNamespace
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from support.nft_cases import RULES, SETS, WIDTHS

from cnmsim import Lab
from cnmsim.kernel.address import parse_ip
from cnmsim.kernel.checksum import checksum
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.netfilter.hooks import LEGACY, Hook
from cnmsim.kernel.netfilter.nftables import NfTables, NftError
from cnmsim.kernel.netfilter.nftables.action_statements import Limit
from cnmsim.kernel.netfilter.nftables.keys import KEYS, raw_key
from cnmsim.kernel.netfilter.nftables.lazy_rules import ParsedRule
from cnmsim.kernel.netfilter.nftables.list_options import ListOptions
from cnmsim.kernel.netfilter.nftables.statements import BREAK
from cnmsim.kernel.netfilter.nftables.tables import nearest_name
from cnmsim.kernel.packet import build_ip
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.transport import udp_message


def fresh():
    return NfTables.of(NetworkNamespace("n", Clock()).netfilter)


def two_hosts():
    lab = Lab()
    lab.add_host("a", "10.0.0.1/24")
    lab.add_host("b", "10.0.0.2/24", web=True)
    return lab


INPUT = "type filter hook input priority"


def test_accept_ends_one_base_chain_and_drop_the_packet():
    lab = two_hosts()
    nft = NfTables.of(lab.host("b").namespace.netfilter)
    nft.execute(f"table inet first {{ chain in {{ {INPUT} -5; tcp dport 80 accept; }}; }}")
    assert lab.explain("a", "10.0.0.2", "tcp/80").reachable
    nft.execute(f"table inet second {{ chain in {{ {INPUT} 5; tcp dport 80 counter drop; }}; }}")
    answer = lab.explain("a", "10.0.0.2", "tcp/80")
    assert not answer.reachable
    assert "rule 1 of nft inet second in (drop tcp dport 80)" in str(answer)
    assert "nft inet second in: tcp dport 80 counter drop" in answer.decided_by
    assert "counter packets 0" not in nft.execute("list table inet second")


def test_a_trace_names_table_chains_and_rule():
    lab = two_hosts()
    nft = NfTables.of(lab.host("b").namespace.netfilter)
    nft.execute(
        f"table ip t {{ chain web {{ reject; }}; chain in {{ {INPUT} 0; tcp dport vmap {{ 80 : jump web }}; }}; }}"
    )
    answer = lab.explain("a", "10.0.0.2", "tcp/80")
    assert "rule 1 of nft ip t web (reject)" in str(answer)
    assert "nft ip t in → web: reject" in answer.decided_by
    assert "refused" in str(answer)


def test_the_policy_of_a_base_chain_decides_what_no_rule_does():
    lab = two_hosts()
    nft = NfTables.of(lab.host("b").namespace.netfilter)
    nft.execute(f"table ip t {{ chain in {{ {INPUT} 0; policy drop; icmp type echo-request accept; }}; }}")
    assert "nft ip t in: policy drop" in str(lab.explain("a", "10.0.0.2", "tcp/80"))


def test_a_run_that_fails_changes_nothing():
    nft = fresh()
    nft.execute(SETS)
    before = nft.execute("list ruleset", options=ListOptions(show_handles=True))
    with pytest.raises(NftError):
        nft.execute(
            "delete table inet t\nadd table inet t\nadd chain inet t c { type filter hook input priority 0; }\n"
            "add rule inet t c jump nowhere\n"
        )
    with pytest.raises(NftError):
        nft.execute(
            "flush set inet t ports\nadd element inet t hosts { 5.5.5.5 }\ndelete element inet t hosts { 6.6.6.6 }\n"
        )
    with pytest.raises(NftError):
        nft.execute("rename chain inet t out gone\nadd rule inet t gone tcp dport 99999\n")
    assert nft.execute("list ruleset", options=ListOptions(show_handles=True)) == before


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(RULES["inet"]), max_size=8))
def test_what_is_listed_is_what_is_loaded(rules):
    nft = fresh()
    nft.execute(SETS)
    nft.execute("table inet t { chain c { type filter hook input priority filter; policy drop; }; }")
    for rule in rules:
        try:
            nft.execute(f"add rule inet t c {rule}")
        except NftError:
            continue  # the cases hold what nft refuses, too
    listed = nft.execute("list ruleset")
    other = fresh()
    other.execute(listed)
    assert other.execute("list ruleset") == listed


def test_flushing_the_ruleset_takes_the_rules_of_iptables_too_but_not_those_of_iptables_legacy():
    netfilter = NetworkNamespace("n", Clock()).netfilter
    netfilter.iptables(4).execute(["-A", "FORWARD", "-i", "docker0", "-j", "ACCEPT"])
    netfilter.iptables(4, LEGACY).execute(["-P", "FORWARD", "DROP"])
    assert 'iifname "docker0" counter packets 0 bytes 0 accept' in NfTables.of(netfilter).execute("list ruleset")
    NfTables.of(netfilter).execute("flush ruleset")
    assert NfTables.of(netfilter).execute("list ruleset") == ""
    assert netfilter.iptables(4).save() == ""
    assert ":FORWARD DROP" in netfilter.iptables(4, LEGACY).save()


def test_a_reset_that_crosses_lo_is_still_of_its_connection():
    lab = two_hosts()
    lab.host("b").exec("iptables -A INPUT -m conntrack --ctstate INVALID -j DROP")
    assert lab.trace("b", "10.0.0.2:81").verdict.value == "refused"


HEAD = (
    "table ip t { map m { type ifname : verdict; }; chain c { }; chain d { }; }\n"
    "flush chain ip t c\nflush chain ip t d\n"
)
TAIL = 'add element ip t m { "eth0" : jump c }\n'
LINES = [
    "tcp dport 80 counter accept", "tcp dport 80 counter packets 3 bytes 180 accept", "iifname vmap @m", "jump d",
    "counter drop",
    "ip daddr { 10.0.0.1, 10.0.0.2 } ct state established drop", 'ip saddr 10.0.0.9 return comment "nine"',
]  # fmt: skip


def written_as_text(nft, bodies):
    text = HEAD + "table ip t {\n"
    text += "".join(
        f"chain {name} {{\n" + "".join(f"{line}\n" for line in body) + "}\n" for name, body in bodies.items()
    )
    nft.execute(text + "}\n" + TAIL)


@given(
    st.lists(st.tuples(st.lists(st.sampled_from(LINES)), st.lists(st.sampled_from(LINES).filter("jump d".__ne__))))
)
def test_chains_written_as_a_whole_are_what_a_run_of_nft_makes(times):
    one, other = fresh(), fresh()
    for c, d in times:
        bodies = {"c": c, "d": [line for line in d if "@m" not in line]}
        written_as_text(one, bodies)
        other.rewrite(("ip", "t"), HEAD, bodies, TAIL)
    assert one.execute("list ruleset", options=ListOptions(show_handles=True)) == other.execute(
        "list ruleset", options=ListOptions(show_handles=True)
    )
    for family in (4, 6):
        one_view, other_view = one.rule_set(family), other.rule_set(family)
        assert one_view.needs_conntrack == other_view.needs_conntrack
        assert one_view.has_effect == other_view.has_effect


def test_a_chain_that_cannot_be_written_stays_as_it_was():
    nft = fresh()
    nft.rewrite(("ip", "t"), HEAD, {"c": ["counter accept"]}, TAIL)
    before = nft.execute("list ruleset", options=ListOptions(show_handles=True))
    for bodies, after in (
        ({"c": ["counter drop", "tcp dport lots"]}, ""),
        ({"c": ["counter drop"]}, "delete chain ip t no\n"),
    ):
        with pytest.raises(NftError):
            nft.rewrite(("ip", "t"), HEAD, bodies, after)
        assert nft.execute("list ruleset", options=ListOptions(show_handles=True)) == before


def test_the_same_line_in_two_namespaces_counts_for_itself():
    lab = two_hosts()
    chain = f"table ip t {{ chain in {{ {INPUT} 0; }}; }}\nflush chain ip t in\n"
    for name in ("a", "b"):
        NfTables.of(lab.host(name).namespace.netfilter).rewrite(
            ("ip", "t"), chain, {"in": ["tcp dport 80 counter accept"]}
        )
    assert lab.explain("a", "10.0.0.2", "tcp/80").reachable
    assert "counter packets 0 " in lab.host("a").exec("nft list ruleset").output
    assert "counter packets 0 " not in lab.host("b").exec("nft list ruleset").output


def test_writing_a_chain_again_does_not_make_its_rules_again(monkeypatch):
    made = []
    copy = ParsedRule.copy
    monkeypatch.setattr(ParsedRule, "copy", lambda line: made.append(line) or copy(line))
    nft = fresh()
    for count in range(1, 100):
        nft.rewrite(("ip", "t"), HEAD, {"c": [f"tcp dport {port} counter accept" for port in range(1, count + 1)]})
    assert made == []
    assert nft.execute("list chain ip t c").count("counter packets 0") == 99
    assert len(made) == 99


def test_raw_payload_expressions_have_the_bits_that_they_name():
    namespace = NetworkNamespace("n", Clock())
    source, destination = parse_ip("10.0.0.2"), parse_ip("192.168.0.2")
    packet = Packet(build_ip(17, source, destination, udp_message(source, destination, 4000, 53, b"hi"), ttl=9))
    end = 8 * len(packet.data)
    values = {
        ("nh", 0, 4): 4, ("nh", 4, 4): 5, ("nh", 64, 8): 9, ("nh", 72, 8): 17, ("nh", 96, 32): int.from_bytes(source),
        ("nh", 61, 6): 0, ("nh", 69, 3): 1, ("nh", 70, 9): 1 << 7 | 17 >> 1,
        ("th", 0, 16): 4000, ("th", 16, 16): 53, ("th", 27, 5): 53 & 31, ("th", 64, 16): int.from_bytes(b"hi"),
        ("th", 64, 17): None, ("nh", end - 8, 8): ord("i"), ("nh", end - 1, 1): 1, ("nh", end - 1, 2): None,
    }  # fmt: skip
    assert {name: raw_key(*name).reader(namespace)(packet) for name in values} == values
    data = bytearray(build_ip(17, source, destination, bytes(16)))
    data[6:8] = (8).to_bytes(2)  # a fragment from byte 64 on
    data[10:12] = b"\0\0"
    data[10:12] = checksum(bytes(data[:20])).to_bytes(2)
    fragment = Packet(bytes(data))
    assert raw_key("th", 0, 16).reader(namespace)(fragment) is None
    assert raw_key("nh", 72, 8).reader(namespace)(fragment) == 17


def test_adjacent_fields_are_listed_in_the_order_of_the_header():
    nft = fresh()
    nft.execute("table inet t { chain c { }; }")
    for rule in (
        "ip ttl 7 ip protocol sctp", "ip length 4 ip id 3", "ip6 nexthdr sctp ip6 hoplimit 3",
        "tcp sport 4 tcp dport 3", "icmp type echo-request icmp code 3", "udp dport 5 udp length 8",
    ):  # fmt: skip
        words = rule.split()
        for text in (rule, " ".join([*words[3:], *words[:3]])):
            nft.execute(f"add rule inet t c {text}")
            assert nft.execute("list chain inet t c").splitlines()[2].strip() == rule
            nft.execute("flush chain inet t c")
    for rule in ("ip daddr 1.1.1.1 ip saddr 2.2.2.2", "ip6 daddr ::1 ip6 saddr ::2"):  # too wide to be merged
        nft.execute(f"add rule inet t c {rule}")
        assert nft.execute("list chain inet t c").splitlines()[2].strip() == rule
        nft.execute("flush chain inet t c")


@pytest.mark.parametrize(("field", "limit"), WIDTHS.items())
def test_a_number_must_fit_its_field(field, limit):
    nft = fresh()
    nft.execute(f"table inet t {{ chain c {{ {field} {limit}; }}; }}")
    assert f"{field} {limit}\n" in nft.execute("list ruleset")
    for value in (str(limit + 1), f"{limit}-{limit + 1}"):
        with pytest.raises(NftError, match=f"Value {limit + 1} exceeds valid range 0-{limit}$"):
            nft.execute(f"add rule inet t c {field} {value}")


def test_a_misspelt_name_suggests_the_most_similar_one():
    assert nearest_name("fiter", ["nat", "filter", "mangle"]) == "filter"
    assert nearest_name("filter", ["fitler", "filter", "filters"]) == "filter"
    assert nearest_name("b", ["a", "c"]) == "a"
    assert nearest_name("x", []) == ""


def test_a_list_is_of_one_family_or_of_all():
    nft = fresh()
    nft.execute("add table ip a; add table ip6 b")
    assert nft.execute("list tables") == "table ip a\ntable ip6 b\n"
    assert nft.execute("list tables ip6") == "table ip6 b\n"


#: Fields of packets: nft(8), "Payload expressions" and "Meta expressions".
FIELDS = {
    (4, 17): {"meta nfproto": 2, "meta l4proto": 17, "meta protocol": 0x0800, "meta length": 30, "ip version": 4,
              "ip length": 30, "ip ttl": 9, "ip protocol": 17, "ip saddr": 0x0A000002, "ip daddr": 0xC0A80002,
              "udp sport": 4000, "udp dport": 53, "udp length": 10, "th sport": 4000, "th dport": 53,
              "tcp dport": None, "ip6 saddr": None, "icmp type": None, "sctp dport": None},
    (6, 17): {"meta nfproto": 10, "meta l4proto": 17, "meta protocol": 0x86DD, "meta length": 50, "ip6 length": 10,
              "ip6 nexthdr": 17, "ip6 hoplimit": 9, "ip6 saddr": 0xFD << 120 | 2, "ip6 daddr": 0xFD << 120 | 3,
              "udp sport": 4000, "udp dport": 53, "ip saddr": None, "ip ttl": None},
    (4, 6): {"tcp sport": 4000, "tcp dport": 53, "tcp flags": 0x12, "th dport": 53, "udp dport": None},
    (4, 1): {"icmp type": 3, "icmp code": 4, "icmpv6 type": None, "th sport": 0x0304},
    (6, 58): {"icmpv6 type": 3, "icmpv6 code": 4, "icmp type": None},
    (4, 132): {"sctp sport": 4000, "sctp dport": 53, "th sport": 4000},
}  # fmt: skip


@pytest.mark.parametrize(("family", "protocol"), FIELDS)
def test_a_field_has_the_bytes_of_its_header(family: int, protocol: int) -> None:
    source, destination = (parse_ip(text) for text in (
        ("10.0.0.2", "192.168.0.2") if family == 4 else ("fd00::2", "fd00::3")
    ))  # fmt: skip
    ports = (4000).to_bytes(2) + (53).to_bytes(2)
    payload = {
        17: udp_message(source, destination, 4000, 53, b"hi"), 1: bytes([3, 4]) + bytes(6),
        58: bytes([3, 4]) + bytes(6), 6: ports + bytes(8) + bytes([0x50, 0x12]) + bytes(6), 132: ports + bytes(8),
    }[protocol]  # fmt: skip
    packet = Packet(build_ip(protocol, source, destination, payload, ttl=9))
    namespace = NetworkNamespace("n", Clock())
    fields = FIELDS[family, protocol]
    assert {name: KEYS[name].reader(namespace)(packet) for name in fields} == fields


@pytest.mark.parametrize(
    ("limit", "first", "pause_s", "then"),
    [
        (Limit(10, "second", 5), 5, 0.2, 2), (Limit(2, "second", 3), 3, 0.5, 1), (Limit(60, "minute", 1), 1, 2, 1),
        (Limit(6, "hour", 2), 2, 599, 0), (Limit(6, "hour", 2), 2, 600, 1), (Limit(48, "day", 1), 1, 1800, 1),
        (Limit(2, "week", 1), 1, 302400, 1), (Limit(1000, "second", 500, size_unit="bytes"), 50, 0.06, 2),
        (Limit(1000, "second", 500, size_unit="bytes"), 50, 0.029, 0),
        (Limit(1, "second", 1, size_unit="kbytes", burst_unit="kbytes"), 68, 60, 68),
        (Limit(1, "second", 500, size_unit="kbytes"), 50, 0.03, 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_over", [False, True])
def test_a_limit_is_a_token_bucket(limit: Limit, first: int, pause_s: float, then: int, is_over: bool) -> None:
    # Linux net/netfilter/nft_limit.c, nft_limit_init and nft_limit_eval: of bytes, a bucket holds burst and rate
    namespace = NetworkNamespace("n", Clock())
    address = parse_ip("10.0.0.2")
    packet = Packet(build_ip(17, address, address, udp_message(address, address, 4000, 53, b"hi")))
    context: Any = SimpleNamespace(netfilter=namespace.netfilter)
    test = evolve(limit, is_over=is_over).compile(context)
    for count, wait_s in ((first, pause_s), (then, 0)):
        outcomes = [test(packet, Hook.INPUT) for _ in range(count + 1)]
        assert outcomes == ([BREAK] * count + [None] if is_over else [None] * count + [BREAK])
        namespace.clock.run_for(wait_s)
