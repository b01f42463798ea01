"""The same input given to a real nft 1.1.3 in a network namespace: same text, same exit status."""

import os
import shlex
import shutil
import subprocess

import pytest
from nft_cases import COMMANDS, IPTABLES_RULES, RULES, SETS

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.netfilter.nftables import NftError

NAMESPACE = f"cnmsim-nft{os.getpid()}"


def _why_not():
    if os.geteuid() != 0:
        return "needs root"
    if not all(map(shutil.which, ("ip", "nft"))):
        return "needs ip and nft"
    version = subprocess.run(["nft", "-v"], capture_output=True, text=True, check=False).stdout
    if not version.startswith("nftables v1.1.3"):
        return f"needs nftables v1.1.3, not {version}"
    made = subprocess.run(["ip", "netns", "add", NAMESPACE], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"cannot make a network namespace: {made.stderr.strip()}"
    works = subprocess.run(
        ["ip", "netns", "exec", NAMESPACE, "nft", "add", "table", "t"], capture_output=True, text=True, check=False
    )
    subprocess.run(["ip", "netns", "del", NAMESPACE], check=True)
    return f"nft does not work here: {works.stderr}" if works.returncode else ""


WHY_NOT = _why_not()
pytestmark = [pytest.mark.root, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "runs")]


class Both:
    """nft in a namespace of Linux, and in a simulated one."""

    def __init__(self):
        self.netfilter = NetworkNamespace("n", Clock()).netfilter

    def linux(self, *words, text=None):
        run = subprocess.run(
            ["ip", "netns", "exec", NAMESPACE, "nft", *words], input=text, capture_output=True, text=True, check=False
        )
        return run.returncode, run.stdout, run.stderr

    def simulated(self, source, *, handles=False, origin=""):
        try:
            return 0, self.netfilter.nft.execute(source, handles=handles), ""
        except NftError as error:
            return 1, "", error.text(source, origin)

    def load(self, source):
        assert self.linux("-f", "-", text=source) == self.simulated(source, origin="/dev/stdin") == (0, "", "")

    def compare(self, command, *, handles=False):
        words = [*(["-a"] if handles else []), command]
        assert (command, *self.simulated(command, handles=handles)) == (command, *self.linux(*words))


@pytest.fixture
def both():
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    yield Both()
    subprocess.run(["ip", "netns", "del", NAMESPACE], check=True)


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
        both.compare(f"flush chain {family} t c")


def test_commands_do_and_say_what_those_of_nft_do(both):
    both.load(SETS)
    both.load("add chain inet t out")
    for command in COMMANDS:
        both.compare(command)
        if command.startswith("list"):
            both.compare(command, handles=True)
        both.compare("list ruleset")


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
        words = shlex.split(line)
        subprocess.run(["ip", "netns", "exec", NAMESPACE, *words], check=True)
        both.netfilter.iptables(6 if words[0] == "ip6tables" else 4).execute(words[1:])
    for table in ("ip filter", "ip nat", "ip raw", "ip mangle", "ip6 filter"):
        warnings = []
        listed = both.netfilter.nft.execute(f"list table {table}", warn=warnings.append)
        assert (0, listed, "".join(warnings)) == both.linux("list", "table", *table.split())
    both.compare("list tables")
    both.compare("delete table ip raw")
    both.compare("list tables")
    both.compare("flush ruleset")
    both.compare("list tables")
    assert "DOCKER" not in both.netfilter.iptables(4).save()
