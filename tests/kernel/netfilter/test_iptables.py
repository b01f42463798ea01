"""The iptables command and its programmatic form: edits, errors, restore."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.netfilter import IptablesError
from cnmsim.kernel.netfilter.hooks import LEGACY, NFT
from cnmsim.kernel.netfilter.restore import restore_rules


@pytest.fixture
def tables():
    return NetworkNamespace("n", Clock()).netfilter.iptables(4)


def rules(tables, chain="INPUT", table="filter"):
    return [str(entry.rule) for entry in tables.tables[table].chains[chain].rules]


def run(tables, line):
    return tables.execute(line.split())


def test_insert_puts_at_the_place_asked(tables):
    for text in ("-s 1.1.1.1", "-s 2.2.2.2"):
        tables.append("filter", "INPUT", text)
    tables.insert("filter", "INPUT", "-s 3.3.3.3")
    tables.insert("filter", "INPUT", "-s 4.4.4.4", position=3)
    run(tables, "-I INPUT 5 -s 5.5.5.5")
    assert rules(tables) == [f"-s {n}.{n}.{n}.{n}/32" for n in (3, 1, 4, 2, 5)]


def test_delete_takes_the_first_equal_rule_however_it_is_spelled(tables):
    for text in ("-p tcp --dport 80 -j ACCEPT", "-j DROP", "-p tcp -m tcp --dport 80 -j ACCEPT"):
        tables.append("filter", "INPUT", text)
    tables.delete("filter", "INPUT", "-p 6 --destination-port http -j ACCEPT")
    assert rules(tables) == ["-j DROP", "-p tcp -m tcp --dport 80 -j ACCEPT"]
    assert tables.exists("filter", "INPUT", "-p tcp --dport 80 -j ACCEPT")
    tables.delete("filter", "INPUT", "-p tcp --dport 80 -j ACCEPT")
    assert not tables.exists("filter", "INPUT", "-p tcp --dport 80 -j ACCEPT")


def test_replace_keeps_the_place(tables):
    run(tables, "-A INPUT -s 1.1.1.1")
    run(tables, "-A INPUT -s 2.2.2.2")
    run(tables, "-R INPUT 1 -s 9.9.9.9 -j DROP")
    assert rules(tables) == ["-s 9.9.9.9/32 -j DROP", "-s 2.2.2.2/32"]


def test_renaming_a_chain_renames_the_jumps_to_it(tables):
    run(tables, "-N OLD")
    run(tables, "-A INPUT -j OLD")
    run(tables, "-E OLD NEW")
    assert rules(tables) == ["-j NEW"]
    assert run(tables, "-S NEW") == "-N NEW\n"


ERRORS = [
    ("-A NOPE -j ACCEPT", 1, "iptables: No chain/target/match by that name."),
    ("-D INPUT -j DROP", 1, "iptables: Bad rule (does a matching rule exist in that chain?)."),
    ("-N INPUT", 1, "iptables: Chain already exists."),
    ("-X INPUT", 4, "iptables v1.8.11 (nf_tables):  CHAIN_DEL failed (Device or resource busy): chain INPUT"),
    ("-A INPUT -m foo", 2, ("iptables v1.8.11 (nf_tables): Couldn't load match `foo':No such file or directory\n\n"
     "Try `iptables -h' or 'iptables --help' for more information.")),
    ("-A INPUT -j MASQUERADE", 4,
     "iptables v1.8.11 (nf_tables):  RULE_APPEND failed (Invalid argument): rule in chain INPUT"),
    ("-t foo -L", 3, ("iptables v1.8.11 (nf_tables): table 'foo' does not exist\n"
     "Perhaps iptables or your kernel needs to be upgraded.")),
    ("-A INPUT -j NOPE", 2, ("iptables v1.8.11 (nf_tables): Chain 'NOPE' does not exist\n"
     "Try `iptables -h' or 'iptables --help' for more information.")),
]  # fmt: skip


@pytest.mark.parametrize(("line", "status", "text"), ERRORS)
def test_errors_are_iptables_own(tables, line, status, text):
    before = tables.save(counters=True)
    with pytest.raises(IptablesError) as error:
        run(tables, line)
    assert (error.value.status, error.value.text) == (status, text)
    assert tables.save(counters=True) == before


def test_chains_must_not_jump_in_circles(tables):
    for line in ("-N A", "-N B", "-A A -j B"):
        run(tables, line)
    with pytest.raises(IptablesError, match="Too many links"):
        run(tables, "-A B -j A")


RESTORE_ERRORS = [
    ("*filter\n-A NOPE -j ACCEPT\nCOMMIT\n", 1,
     "iptables-restore: line 2 failed: No chain/target/match by that name."),
    ("*filter\n-A INPUT -p tcp --dport foo\nCOMMIT\n", 2,
     ("iptables-restore v1.8.11 (nf_tables): invalid port/service `foo' specified\nError occurred at line: 2\n"
     "Try `iptables-restore -h' or 'iptables-restore --help' for more information.")),
    ("*filter\n-A INPUT -p tcp\n", 1, "iptables-restore: COMMIT expected at line 3"),
    ("-A INPUT -p tcp\n", 1, "iptables-restore: line 1 failed"),
    ("*foo\n", 2,
     ("iptables-restore v1.8.11 (nf_tables): iptables-restore: line 1 table name 'foo' invalid\n"
     "Error occurred at line: 1\n"
     "Try `iptables-restore -h' or 'iptables-restore --help' for more information.")),
]  # fmt: skip


@pytest.mark.parametrize(("text", "status", "said"), RESTORE_ERRORS)
def test_a_restore_that_fails_changes_nothing(tables, text, status, said):
    run(tables, "-A INPUT -s 1.2.3.4 -j DROP")
    before = tables.save(counters=True)
    with pytest.raises(IptablesError) as error:
        restore_rules(tables, text)
    assert (error.value.status, error.value.text) == (status, said)
    assert tables.save(counters=True) == before


def test_restore_replaces_a_table_and_no_flush_adds_to_it(tables):
    run(tables, "-A INPUT -s 1.2.3.4 -j DROP")
    restore_rules(
        tables, "*filter\n:INPUT DROP [3:4]\n:MINE - [0:0]\n[5:6] -A INPUT -j MINE\nCOMMIT\n", with_counters=True
    )
    assert tables.save(counters=True) == (
        "*filter\n:INPUT DROP [3:4]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:MINE - [0:0]\n"
        "[5:6] -A INPUT -j MINE\nCOMMIT\n"
    )
    restore_rules(tables, "*filter\n-A MINE -j ACCEPT\nCOMMIT\n", no_flush=True)
    assert rules(tables, "MINE") == ["-j ACCEPT"]
    assert rules(tables) == ["-j MINE"]


def test_only_tables_that_were_changed_are_saved(tables):
    assert tables.save() == ""
    run(tables, "-t nat -L")
    assert tables.save() == ""
    run(tables, "-t nat -A POSTROUTING -j MASQUERADE")
    assert tables.save().startswith("*nat\n")
    assert tables.save("raw") == "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"


def test_zero_sets_counters_to_nothing(tables):
    run(tables, "-A INPUT -c 5 500 -j DROP")
    assert "-c 5 500" in run(tables, "-S INPUT -v")
    run(tables, "-Z INPUT 1")
    assert "-c 0 0 -j DROP" in run(tables, "-S INPUT -v")


@given(st.lists(st.tuples(st.sampled_from(["append", "insert", "delete"]), st.integers(1, 5)), max_size=60))
def test_a_long_chain_has_the_rules_that_a_list_has(edits):
    tables, model = NetworkNamespace("n", Clock()).netfilter.iptables(4), []
    for number in range(20):  # from the 16th rule on, a chain has an index
        tables.append("filter", "INPUT", f"-s 10.0.0.{number % 4 + 1}")
        model.append(f"-s 10.0.0.{number % 4 + 1}/32")
    for action, number in edits:
        rule = f"-s 10.0.0.{number}/32"
        if action == "append":
            tables.append("filter", "INPUT", rule)
            model.append(rule)
        elif action == "insert":
            tables.insert("filter", "INPUT", rule)
            model.insert(0, rule)
        elif rule in model:
            tables.delete("filter", "INPUT", rule)
            model.remove(rule)
        assert rules(tables) == model
        assert [tables.exists("filter", "INPUT", f"-s 10.0.0.{each}") for each in range(1, 6)] == [
            f"-s 10.0.0.{each}/32" in model for each in range(1, 6)
        ]


#: nf_log.h: NF_LOG_TCPSEQ, NF_LOG_TCPOPT, NF_LOG_IPOPT, NF_LOG_UID, NF_LOG_MACDECODE; the levels of syslog.h.
LOG_FLAGS = {"tcp-sequence": 1, "tcp-options": 2, "ip-options": 4, "uid": 8, "macdecode": 32}
LOG_LEVELS = {
    "emerg": 0, "panic": 0, "alert": 1, "crit": 2, "error": 3, "warning": 4, "notice": 5, "info": 6, "debug": 7,
}  # fmt: skip


def test_flags_and_levels_of_a_log_rule_are_listed_as_numbers(tables):
    for flag, bit in LOG_FLAGS.items():
        run(tables, f"-A INPUT -j LOG --log-{flag}")
        assert f"LOG flags {bit} level 4" in run(tables, "-L INPUT -n")
        assert f"LOG level warn {flag}" in run(tables, "-L INPUT")
        run(tables, "-F INPUT")
    for name, level in LOG_LEVELS.items():
        run(tables, f"-A INPUT -j LOG --log-level {name}")
        assert f"LOG flags 0 level {level}" in run(tables, "-L INPUT -n")
        run(tables, "-F INPUT")


@pytest.mark.parametrize(
    ("ports", "fits"),
    [
        (range(1, 16), True), (range(1, 17), False), (["1:2", *range(3, 16)], True), (["1:2", *range(3, 17)], False),
        ([f"{n}:{n + 1}" for n in range(1, 15, 2)], True), ([f"{n}:{n + 1}" for n in range(1, 17, 2)], False),
        (["7:7", *range(10, 24)], True),
    ],
)  # fmt: skip
def test_a_multiport_match_has_fifteen_ports_and_a_range_counts_as_two(tables, ports, fits):
    line = f"-A INPUT -p tcp -m multiport --dports {','.join(map(str, ports))}"
    if fits:
        run(tables, line)
    else:
        with pytest.raises(IptablesError, match="too many ports specified"):
            run(tables, line)


def test_counters_have_sixty_four_bits(tables):
    greatest = 2**64 - 1
    for text in (f"{greatest},{greatest}", f"{greatest} {greatest}"):
        run(tables, f"-A INPUT -c {text} -j ACCEPT")
        assert run(tables, "-S INPUT -v").endswith(f"-A INPUT -c {greatest} {greatest} -j ACCEPT\n")
        run(tables, "-F INPUT")
    for text in (f"{greatest + 1},0", f"0,{greatest + 1}"):
        with pytest.raises(IptablesError, match="-c packet counter not numeric"):
            run(tables, f"-A INPUT -c {text} -j ACCEPT")


@pytest.mark.parametrize(
    ("flags", "is_accepted"),
    [
        ("--tcp-flags SYN,RST SYN", True), ("--tcp-flags SYN,RST SYN,RST", True), ("--tcp-flags SYN,RST RST", False),
        ("! --tcp-flags SYN,RST SYN", False), ("--dport 80", False),
    ],
)  # fmt: skip
def test_a_legacy_rule_sets_the_mss_only_of_a_syn(flags, is_accepted):
    # tcpmss_tg4_check, find_syn_match: nf_tables' compatibility layer does not call it with the rule's matches.
    words = f"-t mangle -A FORWARD -p tcp {flags} -j TCPMSS --set-mss 1400"
    netfilter = NetworkNamespace("n", Clock()).netfilter
    run(netfilter.iptables(4, NFT), words)
    if is_accepted:
        run(netfilter.iptables(4, LEGACY), words)
        return
    with pytest.raises(IptablesError):
        run(netfilter.iptables(4, LEGACY), words)
    assert not rules(netfilter.iptables(4, LEGACY), "FORWARD", "mangle")
