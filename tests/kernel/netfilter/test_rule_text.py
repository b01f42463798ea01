"""Rules as text: what is given, what iptables prints of it, and that reading what was printed gives the same rule."""

import json
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.netfilter import netdb
from cnmsim.kernel.netfilter.option_values import split_words
from cnmsim.kernel.netfilter.parser import parse_rule
from cnmsim.kernel.netfilter.restore import restore_rules

RECORDED = Path(__file__).parents[2] / "conformance" / "recorded"

CASES = [
    ("-i docker0 ! -o docker0 -d 1.2.3.4 -p tcp --dport 80 -j ACCEPT",
     "-d 1.2.3.4/32 -i docker0 ! -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT"),
    ("-s 10.0.0.5/24 -m comment --comment 'hello world' -j DROP",
     '-s 10.0.0.0/24 -m comment --comment "hello world" -j DROP'),
    ("-m comment --comment simple -m mark --mark 0x10/0xff -m mark ! --mark 7",
     "-m comment --comment simple -m mark --mark 0x10/0xff -m mark ! --mark 0x7"),
    ("-p tcp ! --syn -j REJECT", ("-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -j REJECT --reject-with "
                                 "icmp-port-unreachable")),
    ("-p tcp --sport 1000: --dport :100", "-p tcp -m tcp --sport 1000:65535 --dport 0:100"),
    ("-p udp --sport 0:65535", "-p udp -m udp"),
    ("-p icmp --icmp-type echo-request", "-p icmp -m icmp --icmp-type 8"),
    ("-m conntrack --ctstate new,DNAT,RELATED", "-m conntrack --ctstate NEW,RELATED,DNAT"),
    ("-m conntrack --ctdir REPLY --ctorigdstport 80 --ctproto tcp",
     "-m conntrack --ctproto 6 --ctorigdstport 80 --ctdir REPLY"),
    ("-m addrtype --dst-type LOCAL,UNICAST ! --src-type BROADCAST --limit-iface-in",
     "-m addrtype ! --src-type BROADCAST --dst-type UNICAST,LOCAL --limit-iface-in"),
    ("-m limit -j LOG --log-level warning", "-m limit --limit 3/hour -j LOG"),
    ("-m limit --limit 120/m", "-m limit --limit 2/sec"),
    ("-j LOG --log-prefix a:b --log-level info", '-j LOG --log-prefix "a:b" --log-level 6'),
    ("-j MARK --and-mark 0xf", "-j MARK --set-xmark 0x0/0xfffffff0"),
    ("-j MARK --set-mark 0x10/0xf", "-j MARK --set-xmark 0x10/0x1f"),
    ("-j CONNMARK --restore-mark --mask 0xff", "-j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff"),
    ("-p tcp -j DNAT --to 10.0.0.3:80-90 --random", "-p tcp -j DNAT --to-destination 10.0.0.3:80-90 --random"),
    ("-s 0/0 -o + -j ACCEPT", "-j ACCEPT"),
    ("! -i +", "! -i +"),
    ("-p all -f", "-f"),
    ("-m statistic --mode random --probability 0.33", "-m statistic --mode random --probability 0.33000000007"),
    ("-p tcp -m tcp --dport=80", "-p tcp -m tcp --dport 80"),
    ("-ptcp -m multiport --dports http,https", "-p tcp -m multiport --dports 80,443"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "canonical"), CASES)
def test_a_rule_prints_as_iptables_prints_it(text, canonical):
    [rule] = parse_rule(split_words(text), 4)
    assert str(rule) == canonical


def test_another_value_of_an_option_makes_the_rule_its_text_would_make():
    def dnat(port):
        return parse_rule(f"-d 127.0.0.11 -p tcp --dport 53 -j DNAT --to-destination 127.0.0.11:{port}".split(), 4)[0]

    def snat(port):
        return parse_rule(f"-s 127.0.0.11 -p udp --sport {port} -j SNAT --to-source :53".split(), 4)[0]

    assert dnat(1).with_value("to-destination", "127.0.0.11:40000") == dnat(40000)
    assert snat(1).with_value("sport", "40000") == snat(40000)


def test_lists_of_addresses_become_several_rules():
    rules = parse_rule(split_words("-s 10.0.0.0/8,192.168.0.0/16 -d 1.1.1.1,2.2.2.2 -j DROP"), 4)
    assert [str(rule) for rule in rules] == [
        "-s 10.0.0.0/8 -d 1.1.1.1/32 -j DROP",
        "-s 10.0.0.0/8 -d 2.2.2.2/32 -j DROP",
        "-s 192.168.0.0/16 -d 1.1.1.1/32 -j DROP",
        "-s 192.168.0.0/16 -d 2.2.2.2/32 -j DROP",
    ]


# --- laws --------------------------------------------------------------------------------------------------------

_invert = st.sampled_from(["", "! "])
_port = st.integers(0, 65535)
_ports = st.one_of(_port.map(str), st.tuples(_port, _port).map(lambda p: f"{min(p)}:{max(p)}"))
_host4 = st.tuples(*[st.integers(0, 255)] * 4, st.integers(1, 32)).map(lambda v: "{}.{}.{}.{}/{}".format(*v))
_host6 = st.tuples(st.integers(0, 65535), st.integers(0, 65535), st.integers(1, 128)).map(
    lambda v: f"fd{v[0] % 256:02x}:{v[1]:x}::{v[0]:x}/{v[2]}"
)
_name = st.text("abcdefghijklmnopqrstuvwxyz0123456789.-", min_size=1, max_size=14).filter(lambda t: t[0] not in "-.")
_interface = st.builds(str.__add__, _name, st.sampled_from(["", "+"]))
_mark = st.one_of(
    st.integers(0, 2**32 - 1).map(hex), st.tuples(*[st.integers(0, 2**32 - 1)] * 2).map(lambda v: f"{v[0]}/{v[1]:#x}")
)
_states = st.lists(
    st.sampled_from(["INVALID", "NEW", "RELATED", "ESTABLISHED", "UNTRACKED"]), min_size=1, unique=True
).map(",".join)
_comment = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)


def _flagged(flag, values):
    return st.tuples(_invert, values).map(lambda pair: f"{pair[0]}{flag} {pair[1]}")


_matches = st.lists(
    st.one_of(
        _flagged("--ctstate", _states).map("-m conntrack {}".format),
        _flagged("--mark", _mark).map("-m mark {}".format),
        _comment.map(lambda text: f"-m comment --comment {shlex.quote(text)}"),
        _flagged("--dst-type", st.sampled_from(["LOCAL", "UNICAST,BROADCAST"])).map("-m addrtype {}".format),
        st.tuples(st.integers(1, 500), st.sampled_from(["sec", "min", "hour", "day"]), st.integers(1, 50)).map(
            lambda v: f"-m limit --limit {v[0]}/{v[1]} --limit-burst {v[2]}"
        ),
        _flagged("--length", _ports).map("-m length {}".format),
    ),
    max_size=3,
).map(" ".join)
_transport = st.one_of(
    st.just(""),
    st.tuples(st.sampled_from(["tcp", "udp", "sctp"]), _flagged("--sport", _ports), _flagged("--dport", _ports)).map(
        lambda v: f"-p {v[0]} {v[1]} {v[2]}"
    ),
    _ports.map(lambda ports: f"-p tcp -m multiport ! --dports {ports},7"),
    st.integers(1, 255).map(lambda n: f"! -p {n}"),
)
_targets = st.sampled_from(
    ["", "-j ACCEPT", "-j DROP", "-j RETURN", "-j CHAIN", "-g CHAIN", "-j LOG --log-prefix 'a b'", "-j REJECT",
     "-j MARK --xor-mark 5", "-j CONNMARK --save-mark", "-j TCPMSS --set-mss 1400", "-j MASQUERADE"]
)  # fmt: skip


def _rules(host):
    return st.tuples(
        st.one_of(st.just(""), _flagged("-s", host)),
        st.one_of(st.just(""), _flagged("-d", host)),
        st.one_of(st.just(""), _flagged("-i", _interface)),
        st.one_of(st.just(""), _flagged("-o", _interface)),
        _transport,
        _matches,
        _targets,
    ).map(lambda parts: " ".join(part for part in parts if part))


@given(_rules(_host4))
def test_what_is_printed_reads_back_as_the_same_rule(text):
    [rule] = parse_rule(split_words(text), 4)
    assert parse_rule(split_words(str(rule)), 4) == [rule]


@given(_rules(_host6))
def test_what_is_printed_reads_back_as_the_same_rule_in_ipv6(text):
    [rule] = parse_rule(split_words(text), 6)
    assert parse_rule(split_words(str(rule)), 6) == [rule]


@given(st.lists(_rules(_host4), max_size=6))
def test_a_saved_rule_set_restores_to_itself(texts):
    netfilter = NetworkNamespace("n", Clock()).netfilter
    tables = netfilter.iptables(4)
    tables.new_chain("filter", "CHAIN")
    for text in texts:
        if "MASQUERADE" not in text and "TCPMSS" not in text:  # allowed in some chains and for TCP only
            tables.append("filter", "FORWARD", text)
    text = tables.save()
    other = NetworkNamespace("m", Clock()).netfilter.iptables(4)
    restore_rules(other, text)
    assert other.save() == text


# --- recordings --------------------------------------------------------------------------------------------------


def _recorded_saves():
    for path in sorted(RECORDED.glob("*/*.json")):
        for step in json.loads(path.read_text(encoding="utf-8")):
            command = str(step.get("command", ""))
            if "tables-save" in command and "|" not in command and str(step.get("out", "")).startswith("*"):
                yield command, step["out"]


_SAVES = sorted(set(_recorded_saves()))


@pytest.mark.parametrize(("command", "text"), _SAVES)
def test_what_a_real_engine_wrote_restores_and_saves_to_the_same_text(command, text):
    family = 6 if "ip6tables" in command else 4
    tables = NetworkNamespace("n", Clock()).netfilter.iptables(family)
    restore_rules(tables, text)
    table = command.split()[-1] if " -t " in command else None
    assert tables.save(table).replace("[0:0]", "[n:n]").strip() == text.strip()


@pytest.mark.skipif(not Path("/etc/services").exists(), reason="no /etc/services to compare with")
def test_services_and_protocols_have_the_numbers_of_this_hosts_files():
    services = {}
    for line in Path("/etc/services").read_text(encoding="utf-8").splitlines():
        name, *rest = line.partition("#")[0].split() or [""]
        for word in (name, *rest[1:]):
            services.setdefault(word, set()).add(int(rest[0].partition("/")[0]) if rest else 0)
    different = {name: port for name, port in netdb.SERVICES.items() if port not in services.get(name, {port})}
    assert different == {}
    protocols = {}
    for line in Path("/etc/protocols").read_text(encoding="utf-8").splitlines():
        name, *rest = line.partition("#")[0].split() or [""]
        protocols.update(dict.fromkeys((name, *(word.lower() for word in rest[1:])), int(rest[0]) if rest else 0))
    assert {name: n for name, n in netdb.PROTOCOLS.items() if name != "all" and protocols.get(name, n) != n} == {}
    assert len(services.keys() & netdb.SERVICES.keys()) > 50 and len(protocols.keys() & netdb.PROTOCOLS.keys()) > 20


def test_a_name_of_several_services_or_protocols_is_printed_as_the_first():
    assert {netdb.SERVICES[name] for name in ("shell", "syslog")} == {514}
    assert netdb.SERVICE_NAMES[514] == "shell"
    assert [netdb.LONG_PROTOCOL_NAMES[number] for number in (0, 1, 6, 17, 58, 89)] == [
        "all", "icmp", "tcp", "udp", "ipv6-icmp", "ospf",
    ]  # fmt: skip
