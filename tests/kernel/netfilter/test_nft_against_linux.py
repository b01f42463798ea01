"""The same input given to a real nft 1.1.3 in a network namespace: same text, same exit status.

Each test runs twice: with nft's recorded output, and with nft itself where root has it. `NFT_RECORD=1` as root
records again.
"""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from support.nft_cases import COMMANDS, IPTABLES_RULES, PRIORITIES, RULES, SETS

from cnmsim import Lab
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.netfilter.nftables import NfTables, NftError
from cnmsim.kernel.netfilter.nftables.list_options import PLAIN, ListOptions

NAMESPACE = f"cnmsim-nft{os.getpid()}"


WITH_NFT = pytest.mark.root("nft", trial="nft add table t", version=("nft -v", "nftables v1.1.3"))
#: The distinct texts, and for each test the calls of nft: exit status, indices of output and error among the texts.
RECORDING = Path(__file__).parent / "recorded" / "nft-1.1.3.json"

HANDLES, JSON = ListOptions(show_handles=True), ListOptions(as_json=True)


class Both:
    """nft in a namespace of Linux, or its recorded output, and nft in a simulated namespace.

    `recorded` is an iterator over the recorded outputs, `None` to run nft. `calls` holds the outputs of nft.
    """

    def __init__(self, recorded=None):
        self.netfilter = NetworkNamespace("n", Clock()).netfilter
        self.recorded = recorded
        self.calls = []

    def linux(self, *words, text=None):
        if self.recorded is not None:
            return next(self.recorded)
        run = subprocess.run(
            ["ip", "netns", "exec", NAMESPACE, "nft", *words], input=text, capture_output=True, text=True, check=False
        )
        self.calls.append((run.returncode, run.stdout, run.stderr))
        return self.calls[-1]

    def iptables(self, line):
        words = shlex.split(line)
        if self.recorded is None:
            subprocess.run(["ip", "netns", "exec", NAMESPACE, *words], check=True)
        self.netfilter.iptables(6 if words[0] == "ip6tables" else 4).execute(words[1:])

    def simulated(self, source, *, options=PLAIN, origin=""):
        try:
            return 0, NfTables.of(self.netfilter).execute(source, options=options), ""
        except NftError as error:
            return 1, "", error.text(source, origin)

    def load(self, source):
        assert self.linux("-f", "-", text=source) == self.simulated(source, origin="/dev/stdin") == (0, "", "")

    def compare_json(self, command, *, without_handles=False):
        status, printed, error = self.linux("-j", command)
        assert not error, error
        mine = NfTables.of(self.netfilter).execute(command, options=JSON)
        if without_handles:
            printed = re.sub(r', "handle": \d+', "", printed)
        for one, other in zip(mine.splitlines(), printed.splitlines(), strict=True):
            # Object by object, so that a difference can be read.
            for ours, theirs in zip(json.loads(one)["nftables"], json.loads(other)["nftables"], strict=True):
                assert json.dumps(ours) == json.dumps(theirs)
        assert (status, mine) == (0, printed)

    def compare(self, command, *, handles=False):
        words = [*(["-a"] if handles else []), command]
        assert (command, *self.simulated(command, options=HANDLES if handles else PLAIN)) == (
            command,
            *self.linux(*words),
        )


@pytest.fixture(params=["recorded", pytest.param("nft", marks=WITH_NFT)])
def both(request):
    recording = json.loads(RECORDING.read_text())
    texts = recording["texts"]
    name = re.sub(r"-?(recorded|nft)-?(?=[^\]]*\])", "", request.node.name).replace("[]", "")
    if request.param == "recorded":
        calls = iter([(status, texts[out], texts[error]) for status, out, error in recording["calls"][name]])
        yield Both(calls)
        assert next(calls, None) is None, "a recorded call is no longer tested"
        return
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    both = Both()
    yield both
    subprocess.run(["ip", "netns", "del", NAMESPACE], check=True)
    if "NFT_RECORD" in os.environ:
        index = {text: number for number, text in enumerate(texts)}
        recording["calls"][name] = [
            [status, *(index.setdefault(text, len(index)) for text in output)] for status, *output in both.calls
        ]
        recording["texts"] = list(index)
        RECORDING.write_text(json.dumps(recording, separators=(",", ":")).replace('","', '",\n"') + "\n")


@pytest.mark.parametrize("kind", RULES)
def test_rules_are_taken_and_listed_as_by_nft(both, kind):
    family, chain = (
        ("ip", "nat hook prerouting priority dstnat") if kind == "nat" else (kind, "filter hook input priority 0")
    )
    both.load(SETS if family == "inet" else f"add table {family} t\n")
    both.load(f"add chain {family} t c5\nadd chain {family} t out\nadd chain {family} t c {{ type {chain}; }}\n")
    for rule in RULES[kind]:
        both.compare(f"add rule {family} t c {rule}")
        both.compare(f"list chain {family} t c", handles=True)
        if rule != "ct original saddr 1.2.3.4":  # listed like `ct original ip saddr`, but for the key's name in JSON
            both.compare_json(f"list chain {family} t c")
        both.compare(f"flush chain {family} t c")


def test_commands_do_and_say_what_those_of_nft_do(both):
    both.load(SETS)
    both.load("add chain inet t out")
    for command in COMMANDS:
        both.compare(command)
        if command.startswith("list"):
            both.compare(command, handles=True)
        both.compare("list ruleset")
        if command.startswith("list") and both.linux(command)[0] == 0:
            both.compare_json(command)
        both.compare_json("list ruleset")


def test_priorities_have_the_names_that_nft_gives_them(both):
    for command in PRIORITIES:
        both.compare(command)
    both.compare_json("list chains")


def test_what_is_listed_can_be_loaded_again(both):
    both.load(SETS)
    both.load(
        "add chain inet t out\nadd chain inet t c5\nadd chain inet t c { type filter hook input priority 0; }\n"
    )
    for rule in RULES["inet"]:
        both.simulated(f"add rule inet t c {rule}")
    _, listed, _ = both.simulated("list ruleset")
    both.linux("flush", "ruleset")
    both.simulated("flush ruleset")
    both.load(listed)
    both.compare("list ruleset")
    assert both.simulated("list ruleset")[1] == listed


def test_the_fault_in_a_file_is_named_with_line_and_column(both):
    both.load("add table ip t\nadd chain ip t c\nadd chain ip t b { type filter hook input priority 0; }\n")
    for source in (
        "table ip t {\n chain c {\n   ip saddr 1.2.3.4 jump zz\n }\n}\n",
        "add rule ip t c masquerade\nadd rule ip t b masquerade\n",
        "add rule ip t c tcp dport 99999\n",
        "define x = 1.2.3.4\nadd rule ip t c ip saddr $x accept\nadd rule ip t c ip saddr $y accept\n",
    ):
        assert both.simulated(source, origin="/dev/stdin") == both.linux("-f", "-", text=source)
    both.compare("list ruleset")


def test_rules_of_iptables_are_listed_as_by_nft(both):
    for line in IPTABLES_RULES:
        both.iptables(line)
    for table in ("ip filter", "ip nat", "ip raw", "ip mangle", "ip6 filter"):
        warnings = []
        listed = NfTables.of(both.netfilter).execute(f"list table {table}", warn=warnings.append)
        assert (0, listed, "".join(warnings)) == both.linux("list", "table", *table.split())
        both.compare_json(f"list table {table}", without_handles=True)
    both.compare_json("list chain ip filter DOCKER", without_handles=True)
    both.compare_json("list chains", without_handles=True)
    both.compare("list tables")
    both.compare("delete table ip raw")
    both.compare("list tables")
    both.compare("flush ruleset")
    both.compare("list tables")
    assert "DOCKER" not in both.netfilter.iptables(4).save()


def test_what_only_json_tells_is_told_as_by_nft(both):
    both.load("""
table ip q {
  comment "hello"
  set s { type ipv4_addr; size 100; policy memory; flags timeout, interval; timeout 1h5m; gc-interval 10s
          comment "c"; }
  map mv { typeof ip saddr . tcp dport : meta mark; flags interval; elements = { 1.2.3.0/24 . 1-5 : 0x5 }; }
  map mc { type inet_service : ipv4_addr . inet_service; elements = { 5 : 1.2.3.4 . 6 }; }
  set g { type inet_proto; elements = { tcp, 200 }; }
  set e { type mark; elements = { 5, 0x10 }; }
  chain c {
    type filter hook input priority -5; policy drop;
    tcp flags & (fin|syn) == syn|fin
    tcp flags & (fin|syn) != syn
    tcp flags & fin == fin
    ct state ! established
    meta l4proto 200
    icmp type 77
    fib daddr type 99
    limit rate over 10 kbytes/second burst 5 mbytes
    limit rate 10 kbytes/second burst 9 kbytes
    log flags ip options
  }
  chain n {
    type nat hook prerouting priority 0;
    dnat to 1.2.3.4-1.2.3.9 random,persistent
    dnat to tcp dport map @mc
    redirect
  }
}
""")
    for command in ("list ruleset", "list set ip q s", "list map ip q mv", "list tables; list chains",
                    "list counters",
                    "list sets ip6", "list chain ip q c"):  # fmt: skip
        both.compare_json(command)


def test_the_rules_that_docker_writes_are_listed_in_json_as_by_nft(both):
    host = Lab("29.7.2").add_host("node1", "10.0.0.15/24", docker={"firewall-backend": "nftables"}, router=True)
    docker, nft = host.docker, NfTables.of(host.namespace.netfilter)
    docker.networks.create("net", enable_ipv6=True)
    docker.networks.create("inside", internal=True)
    docker.containers.run("nginx", network="net", ports={"80/tcp": 8080, "53/udp": ("127.0.0.1", 53)}, detach=True)
    assert both.linux("-f", "-", text=nft.execute("list ruleset"))[0] == 0
    NfTables.of(both.netfilter).execute(nft.execute("list ruleset"))
    both.compare_json("list ruleset")


@pytest.mark.parametrize("kind", RULES)
def test_what_nft_lists_in_json_is_read_as_by_nft(both, kind):
    family, chain = (
        ("ip", "nat hook prerouting priority dstnat") if kind == "nat" else (kind, "filter hook input priority 0")
    )
    both.load(SETS if family == "inet" else f"add table {family} t\n")
    both.load(f"add chain {family} t c5\nadd chain {family} t out\nadd chain {family} t c {{ type {chain}; }}\n")
    for rule in RULES[kind]:
        both.simulated(f"add rule {family} t c {rule}")
        both.linux(f"add rule {family} t c {rule}")
    both.load("add table ip6 x")
    both.compare('add set ip6 x y { type ipv6_addr; flags timeout; timeout 90061s; comment "hey"; }')
    _, listed, _ = both.linux("-j", "list ruleset")
    both.compare("flush ruleset")
    assert both.linux("-j", "-f", "-", text=listed) == both.simulated(listed, options=JSON) == (0, "", "")
    both.compare("list ruleset")


BAD = [
    {"nftables": {}}, {"nftables": [5]}, {"nftables": [{"foo": {}}]}, {"nftables": [{"add": {"foo": {}}}]},
    {"nftables": [{"metainfo": {"json_schema_version": 2}}]},
    {"nftables": [{"create": {"table": {"family": "ip", "name": "t"}}}]},
    *(
        {"nftables": [{"add": {"rule": {"family": "ip", "table": "t", "chain": "c", "expr": [expr]}}}]}
        for expr in (
            {"bogus": None}, {"jump": {"target": "nope"}},
            {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "zz"}}, "right": 9}},
            {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 99999}},
        )
    ),
]  # fmt: skip


def test_wrong_json_is_refused_as_by_nft(both):
    both.load("add table ip t\nadd chain ip t c\n")
    for document in BAD:
        text = json.dumps(document)
        assert both.simulated(text, options=JSON) == both.linux("-j", "-f", "-", text=text)
    both.compare("list ruleset")


def test_commands_in_json_do_what_those_of_nft_do(both):
    where = {"family": "ip", "table": "t", "chain": "c"}
    accept, dport = {"accept": None}, {"payload": {"protocol": "tcp", "field": "dport"}}
    for command in (
        {"add": {"table": {"family": "ip", "name": "t", "comment": "hi"}}},
        {"add": {"chain": {"family": "ip", "table": "t", "name": "c", "type": "filter", "hook": "input", "prio": 5,
                           "policy": "drop"}}},
        {"rule": {**where, "expr": [{"match": {"op": "==", "left": dport,
            "right": {"set": [80, {"range": [90, 99]}]}}}, accept]}},
        {"insert": {"rule": {**where, "comment": "first", "expr": [{"counter": None}, {"drop": None}]}}},
        {"add": {"set": {"family": "ip", "table": "t", "name": "s", "type": "ipv4_addr", "flags": ["interval"],
                         "elem": ["1.2.3.4"]}}},
        {"add": {"element": {"family": "ip", "table": "t", "name": "s",
            "elem": [{"prefix": {"addr": "10.0.0.0", "len": 8}}]}}},
        {"delete": {"element": {"family": "ip", "table": "t", "name": "s", "elem": ["1.2.3.4"]}}},
        {"list": {"set": {"family": "ip", "table": "t", "name": "s"}}},
        {"rename": {"chain": {"family": "ip", "table": "t", "name": "c", "newname": "d"}}},
        {"flush": {"chain": {"family": "ip", "table": "t", "name": "d"}}},
        {"destroy": {"table": {"family": "ip", "name": "none"}}},
        {"list": {"chains": {"family": "ip"}}},
        {"flush": {"ruleset": None}},
    ):  # fmt: skip
        text = json.dumps({"nftables": [command]})
        assert both.simulated(text, options=JSON) == both.linux("-j", "-f", "-", text=text), command
        both.compare("list ruleset", handles=True)


def test_options_leave_out_of_a_listing_what_they_leave_out_of_that_of_nft(both):
    both.load(SETS)
    both.load("add chain inet t c\nadd rule inet t c counter packets 5 bytes 6 ip saddr @hosts accept\n")
    for line in ("iptables -A FORWARD -j ACCEPT", "iptables -A INPUT -m comment --comment x -j DROP"):
        both.iptables(line)
    for flags, options in (
        ("-s", ListOptions(show_counters=False)), ("-t", ListOptions(show_elements=False)),
        ("-sta", ListOptions(True, show_counters=False, show_elements=False)),
        ("-js", ListOptions(show_counters=False, as_json=True)),
        ("-jt", ListOptions(show_elements=False, as_json=True)),
    ):  # fmt: skip
        for command in ("list table inet t", "list chain inet t c", "list set inet t hosts", "list table ip filter"):
            if flags == "-sta" and "filter" in command:
                continue  # iptables' rules have no handles here
            _, printed, _ = both.linux(flags, command)
            mine = NfTables.of(both.netfilter).execute(command, options=options)
            if "filter" in command:
                printed = re.sub(r', "handle": \d+', "", printed)
            assert (flags, command, mine) == (flags, command, printed)
