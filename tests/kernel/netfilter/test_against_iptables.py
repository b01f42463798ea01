"""The same command lines given to a real iptables 1.8.11 in a network namespace: same text, same exit status."""

import os
import shlex
import shutil
import subprocess

import pytest
from iptables_cases import GROUPS

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.netfilter import IptablesError
from cnmsim.kernel.netfilter.hooks import LEGACY, NFT

NAMESPACE = "cnmsim-iptables"


def _why_not():
    if os.geteuid() != 0:
        return "needs root"
    if not all(map(shutil.which, ("ip", "iptables", "ip6tables", "iptables-save"))):
        return "needs ip and iptables"
    version = subprocess.run(["iptables", "-V"], capture_output=True, text=True, check=False).stdout.strip()
    if version != "iptables v1.8.11 (nf_tables)":
        return f"needs iptables v1.8.11 (nf_tables), not {version}"
    made = subprocess.run(["ip", "netns", "add", NAMESPACE], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"cannot make a network namespace: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", NAMESPACE], check=True)
    return ""


WHY_NOT = _why_not()


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


@pytest.mark.root
@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "runs")
@pytest.mark.parametrize("group", GROUPS, ids=list(GROUPS))
def test_iptables_says_the_same(real, group):
    netfilter = NetworkNamespace("n", Clock()).netfilter
    for line in GROUPS[group]:
        words = shlex.split(line)
        run = real(words)
        said = "".join(f"{text}\n" for text in (run.stdout + run.stderr).splitlines() if not text.startswith("# "))
        assert (line, *simulated(netfilter, words)) == (line, run.returncode, said)
