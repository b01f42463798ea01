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
from known_differences import RACING_LINE, RUNTIME_TEXTS, reason
from oracle import SimLab, play, read_scenario

HERE = Path(__file__).parent
VERSIONS = ("26.1.5", "28.5.2", "29.7.2")


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
    pytest.param(file.stem, version, id=f"{file.stem}-{version}")
    for version in VERSIONS
    for file in sorted((HERE / "recorded" / version).glob("*.json"))
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
        for text in RUNTIME_TEXTS:
            lines = [re.sub(text, r"\1\2", line) for line in lines]
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
    if obstacle := why_not(scenario):
        pytest.skip(reason=obstacle)
    want = json.loads((HERE / "recorded" / version / f"{scenario}.json").read_text())
    lab, steps = read_scenario(HERE / "scenarios" / f"{scenario}.scenario")
    with SimLab(lab, version) as sim, closing(sim.log):
        got = play(sim, steps)
    assert [step["command"] for step in got] == [step["command"] for step in want]
    differing = [
        f"{a['host']}$ {a['command']}\n  docker [{a['rc']}]:\n{a['out']}\n  cnmsim [{b['rc']}]:\n{b['out']}"
        for a, b, said, says in zip(want, got, comparable(want), comparable(got), strict=True)
        if a["kind"] != "~" and said != says and not reason(version, scenario, a["command"])
    ]
    assert not differing, "\n---\n".join(differing)
