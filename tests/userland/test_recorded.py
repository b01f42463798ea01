"""Scripts print what they print in the real busybox ash and bash, as recorded beside in recorded/*.json."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support.program_host import World

HERE = Path(__file__).parent / "recorded"
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
PASSWD = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n"
GROUP = b"root:x:0:\nnobody:x:65534:\n"
#: Numbers of scripts, by file, that print something else here. Each difference is in an error text or a rare option.
KNOWN: dict[str, set[int]] = json.loads((HERE / "known_differences.json").read_text())
CASES = [
    pytest.param(name, case, number in KNOWN[name], id=f"{name}-{number}")
    for name in sorted(KNOWN)
    for number, case in enumerate(json.loads((HERE / f"{name}.json").read_text()))
]


def without_usage(text: str) -> str:
    """Replace each usage text by the name of its program."""
    lines: list[str] = []
    is_usage = False
    for line in text.splitlines():
        if line.startswith("Usage: "):
            lines.append(line.split(" ")[1])
            is_usage = True
        else:
            is_message = re.match(r"(?!or: )[a-z0-9_\[.]+: |BusyBox", line) is not None
            is_usage = is_usage and not is_message
            if line and not is_usage:
                lines.append(line)
    return "\n".join(lines)


@pytest.mark.parametrize(("name", "case", "differs"), CASES)
def test_script_prints_what_the_real_program_prints(name, case, differs):
    world = World()
    world.one.files.put("/etc/passwd", PASSWD)
    world.one.files.put("/etc/group", GROUP)
    world.one.files.makedirs("/root")
    shell = "bash" if name == "bash" else "sh"
    result = world.argv([shell, "-c", case["script"]], env=dict(ENVIRONMENT))
    simulated = (result.status, result.out, without_usage(result.err))
    recorded = (case["status"], case["out"], without_usage(case["err"]))
    if differs:
        assert simulated != recorded, "no longer a difference: remove it from known_differences.json"
    else:
        assert simulated == recorded
