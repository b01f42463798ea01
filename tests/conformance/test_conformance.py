"""The recordings of three real engines, replayed on cnmsim with the unmodified docker command."""

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from known_differences import KNOWN, RACING_LINE
from oracle import SimLab, play, read_scenario

HERE = Path(__file__).parent
VERSIONS = ("26.1.5", "28.5.2", "29.7.2")
SINGLE_HOST = (
    "api-errors",
    "bridge-default",
    "bridge-isolation",
    "bridge-user-defined",
    "bridge-variants",
    "bridgeless",
    "compose-networks",
    "compose-up",
    "create-variants",
    "dns-aliases",
    "egress-and-source",
    "failed-operations",
    "firewall-docker-user",
    "host-and-none",
    "host-ipv6",
    "hostnames",
    "http-answers",
    "internal-network",
    "ipam-options",
    "ipv6-bridge",
    "lifecycle-errors",
    "links-and-icc",
    "links-removed",
    "logging-drivers",
    "logging-servers",
    "networks-lifecycle",
    "ports-allocation",
    "ports-more",
    "ports-rebound",
    "processes-and-users",
    "publish-variants",
    "refused-devices",
    "resolution-files",
    "run-refusals",
    "several-networks",
    "typed-values",
)
PHYSICAL = (
    "config-networks",
    "container-as-router",
    "ipvlan-l2",
    "ipvlan-l3",
    "ipvlan-l3s",
    "ipvlan-mixed",
    "ipvlan-modes",
    "macvlan-basic",
    "macvlan-mixed",
    "macvlan-modes",
    "macvlan-swarm",
    "macvlan-vlan",
)
MULTI_HOST = (
    "attach-running",
    "book-session",
    "debug-tables",
    "discovery-queries",
    "dns-several-networks",
    "failures-links",
    "failures-ports",
    "force-new-cluster",
    "gwbridge-own",
    "ingress-plumbing",
    "inspect-kinds",
    "inspect-views",
    "leave-attached",
    "logs-options",
    "managers",
    "managers-lost",
    "mesh-changes",
    "mesh-connections",
    "mesh-hairpin",
    "mesh-rolling",
    "netns-gone",
    "nodes-availability",
    "nodes-commands",
    "overlay-attachable",
    "overlay-datapath",
    "overlay-dsr",
    "overlay-dual",
    "overlay-encrypted",
    "overlay-encrypted-peers",
    "overlay-networks",
    "overlay-options",
    "overlay-sandboxes",
    "overlay-services-dns",
    "overlay-subnets",
    "overlay-uber-net",
    "placement-moves",
    "publish-mode-host",
    "routing-mesh",
    "secrets-configs",
    "secrets-rotated",
    "service-edits",
    "service-flags",
    "service-health",
    "service-jobs",
    "service-lifecycle",
    "service-logs",
    "service-placement",
    "service-progress",
    "service-resolver",
    "service-updates",
    "service-wiring",
    "stack-deploy",
    "stack-more",
    "stack-redeploy",
    "stack-shapes",
    "swarm-api",
    "swarm-autolock",
    "swarm-basics",
    "swarm-ca",
    "swarm-containers",
    "swarm-errors",
    "swarm-events",
    "swarm-inspect",
    "swarm-multihomed",
    "swarm-options",
    "tasks-listed",
    "update-failure",
    "update-verdicts",
    "volumes-plugins",
)


def why_not(scenario: str) -> str | None:
    if shutil.which("docker") is None:
        return "needs Debian's docker-cli"
    if (
        scenario == "compose-up"
        and subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode
    ):
        return "needs Debian's docker-compose"
    return None


RECORDED = [
    pytest.param(scenario, version, id=f"{scenario}-{version}")
    for scenario in (*SINGLE_HOST, *PHYSICAL, *MULTI_HOST)
    for version in VERSIONS
    if (HERE / "recorded" / version / f"{scenario}.json").exists()
]


@pytest.fixture(autouse=True)
def _cnmsim_is_a_command(monkeypatch):
    """Let the recorder find the `cnmsim` that belongs to this Python, whether or not its environment is active."""
    monkeypatch.setenv("PATH", os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))


def comparable(steps):
    """Give what of each step is compared: its status and its lines, without those whose place is left to chance.

    Placeholders are numbered anew, by what is left: a line that did not come has taken no number.
    """
    numbers = {}

    def renumbered(found):
        return numbers.setdefault(found[0], f"<{found[1]}:{len(numbers)}>")

    compared = []
    for step in steps:
        lines = step["out"].splitlines()
        if step["rc"]:
            for command, (racing, _reason) in RACING_LINE.items():
                if re.fullmatch(command, step["command"]):
                    lines = [line for line in lines if not re.fullmatch(racing, line)]
        compared.append((step["rc"], [re.sub(r"<(id|mac|fe80|veth):\d+>", renumbered, line) for line in lines]))
    return compared


def test_only_the_id_of_a_container_that_does_not_start_may_come_late_or_not_at_all():
    def step(rc, *lines):
        return {"rc": rc, "command": "docker run -d alpine", "out": "".join(f"{line}\n" for line in lines)}

    def alike(want, got):
        return comparable(want) == comparable(got)

    assert alike([step(125, "docker: no", "<id:3>")], [step(125, "<id:3>", "docker: no")])
    assert not alike([step(0, "b", "<id:3>")], [step(0, "<id:3>", "b")])
    assert not alike([step(125, "b", "a", "<id:3>")], [step(125, "<id:3>", "a", "b")])
    assert alike([step(125, "<id:0>", "no"), step(0, "<id:1>")], [step(125, "no"), step(0, "<id:0>")])
    assert not alike(
        [step(0, "<id:0>", "<id:1>"), step(0, "<id:0>")], [step(0, "<id:0>", "<id:1>"), step(0, "<id:1>")]
    )
    assert not alike([step(0, "<id:0>")], [step(0, "<mac:0>")])


@pytest.mark.parametrize(("scenario", "version"), RECORDED)
def test_every_step_prints_what_the_engine_printed(scenario, version):
    if reason := why_not(scenario):
        pytest.skip(reason=reason)
    want = json.loads((HERE / "recorded" / version / f"{scenario}.json").read_text())
    lab, steps = read_scenario(HERE / "scenarios" / f"{scenario}.scenario")
    with SimLab(lab, version) as sim, closing(sim.log):
        got = play(sim, steps)
    assert [step["command"] for step in got] == [step["command"] for step in want]
    differing = [
        f"{a['host']}$ {a['command']}\n  docker [{a['rc']}]:\n{a['out']}\n  cnmsim [{b['rc']}]:\n{b['out']}"
        for a, b, said, says in zip(want, got, comparable(want), comparable(got), strict=True)
        if a["kind"] != "~" and said != says and (scenario, a["command"]) not in KNOWN
    ]
    assert not differing, "\n---\n".join(differing)
