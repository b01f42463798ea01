"""The same command lines given to a real iptables 1.8.11 in a network namespace: same text, same exit status.

Each group runs twice: with iptables' recorded output, and with iptables itself where root has it. `IPTABLES_RECORD=1`
as root records again.
"""

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest
from support.iptables_cases import GROUPS

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.netfilter import IptablesError
from cnmsim.kernel.netfilter.hooks import LEGACY, NFT

NAMESPACE = f"cnmsim-iptables{os.getpid()}"
WITH_IPTABLES = pytest.mark.root(
    "iptables", "ip6tables", "iptables-save", version=("iptables -V", "iptables v1.8.11 (nf_tables)")
)
#: For each group the exit status and the output of each command line.
RECORDING = Path(__file__).parent / "recorded" / "iptables-1.8.11.json"


@pytest.fixture(params=["recorded", pytest.param("iptables", marks=WITH_IPTABLES)])
def real(request, group, tmp_path):
    """Return a function that runs the next command line and returns its exit status and output."""
    recording = json.loads(RECORDING.read_text())
    if request.param == "recorded":
        answers = iter(recording[group])
        yield lambda _words: tuple(next(answers))
        assert next(answers, None) is None, "a recorded command line is no longer tested"
        return
    outputs = []
    # iptables-legacy takes a lock of the whole machine, which the iptables of another test may hold.
    environment = {**os.environ, "XTABLES_LOCKFILE": str(tmp_path / "xtables.lock")}

    def run(words):
        command = ["ip", "netns", "exec", NAMESPACE, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        lines = (done.stdout + done.stderr).splitlines()
        outputs.append((done.returncode, "".join(f"{line}\n" for line in lines if not line.startswith("# "))))
        return outputs[-1]

    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    try:
        yield run
    finally:
        subprocess.run(["ip", "netns", "del", NAMESPACE], check=True)
    if "IPTABLES_RECORD" in os.environ:
        RECORDING.write_text(json.dumps({**recording, group: outputs}, indent=0) + "\n")


def simulated(netfilter, words):
    family = 6 if words[0].startswith("ip6") else 4
    tables = netfilter.iptables(family, LEGACY if "-legacy" in words[0] else NFT)
    try:
        if words[0].endswith("-save"):
            return 0, tables.save(words[2] if "-t" in words else None, counters="-c" in words)
        return 0, tables.execute(words[1:])
    except IptablesError as error:
        return error.status, error.text + "\n"


@pytest.mark.parametrize("group", GROUPS, ids=list(GROUPS))
def test_iptables_says_the_same(real, group):
    netfilter = NetworkNamespace("n", Clock()).netfilter
    for line in GROUPS[group]:
        words = shlex.split(line)
        assert (line, *simulated(netfilter, words)) == (line, *real(words))
