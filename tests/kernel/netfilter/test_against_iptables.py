"""The same command lines given to a real iptables 1.8.11 in a network namespace: same text, same exit status."""

import os
import shlex
import subprocess

import pytest
from support.iptables_cases import GROUPS

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.netfilter import IptablesError
from cnmsim.kernel.netfilter.hooks import LEGACY, NFT

NAMESPACE = f"cnmsim-iptables{os.getpid()}"


@pytest.fixture
def real():
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    yield lambda words: subprocess.run(
        ["ip", "netns", "exec", NAMESPACE, *words], capture_output=True, text=True, check=False
    )
    subprocess.run(["ip", "netns", "del", NAMESPACE], check=True)


def simulated(netfilter, words):
    family = 6 if words[0].startswith("ip6") else 4
    tables = netfilter.iptables(family, LEGACY if "-legacy" in words[0] else NFT)
    try:
        if words[0].endswith("-save"):
            return 0, tables.save(words[2] if "-t" in words else None, counters="-c" in words)
        return 0, tables.execute(words[1:])
    except IptablesError as error:
        return error.status, error.text + "\n"


@pytest.mark.root("iptables", "ip6tables", "iptables-save", version=("iptables -V", "iptables v1.8.11 (nf_tables)"))
@pytest.mark.parametrize("group", GROUPS, ids=list(GROUPS))
def test_iptables_says_the_same(real, group):
    netfilter = NetworkNamespace("n", Clock()).netfilter
    for line in GROUPS[group]:
        words = shlex.split(line)
        run = real(words)
        said = "".join(f"{text}\n" for text in (run.stdout + run.stderr).splitlines() if not text.startswith("# "))
        assert (line, *simulated(netfilter, words)) == (line, run.returncode, said)
