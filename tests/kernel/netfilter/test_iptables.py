"""The iptables command and its programmatic form: edits, errors, restore."""

import pytest

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.netfilter import IptablesError
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
