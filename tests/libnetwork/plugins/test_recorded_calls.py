"""For the same commands, a plugin gets the same calls as from a real engine.

`recorded/26.1.5.json` is the log of `examples/plugins/wire.py` under a real Docker Engine 26.1.5. Ids are compared by
their order of appearance; the order of ports, which is that of a Go map, is not compared.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.patience import PATIENCE_S

from cnmsim import Lab

HERE = Path(__file__).parent
WIRE = HERE.parents[2] / "examples" / "plugins" / "wire.py"
RECORDED: list[dict[str, Any]] = json.loads((HERE / "recorded" / "26.1.5.json").read_text())

pytestmark = pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker command")


def normalised(calls: list[dict[str, Any]]) -> list[str]:
    names: dict[str, str] = {}

    def name(found: re.Match[str]) -> str:
        return names.setdefault(found[0], f"<{len(names)}>")

    lines = []
    for call in calls:
        body = call["body"]
        options = (body or {}).get("Options") or {}
        for key in ("com.docker.network.endpoint.exposedports", "com.docker.network.portmap"):
            if key in options:
                options[key].sort(key=lambda port: (port["Proto"], port["Port"]))
        text = f"{call['call']} {json.dumps(body)}"
        text = re.sub(r"\b[0-9a-f]{64}\b", name, text)
        lines.append(re.sub(r"netns/[0-9a-f]{12}", "netns/<key>", text))
    return lines


def test_every_call_and_body_is_the_one_a_real_engine_makes(tmp_path: Path) -> None:
    folder, log = tmp_path / "plugins", tmp_path / "log"
    folder.mkdir()
    lab = Lab(engine="26.1.5", plugin_dirs=[folder])
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    with lab.serve() as sockets:
        own = [sys.executable, "-m", "cnmsim", "sh", "--dir", str(sockets.directory), "--own", "node1", "--"]
        command = [*own, sys.executable, str(WIRE), str(folder / "wire.sock"), "--log", str(log)]
        plugin = subprocess.Popen(command)
        try:
            deadline = time.monotonic() + 20
            while not (folder / "wire.sock").exists():
                assert time.monotonic() < deadline, "the plugin does not start"
                time.sleep(0.02)
            environment = {**os.environ, "DOCKER_HOST": f"unix://{sockets['node1']}"}
            for step in RECORDED:
                before = log.read_text().splitlines() if log.exists() else []
                subprocess.run(
                    step["command"],
                    shell=True,
                    env=environment,
                    check=False,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    timeout=PATIENCE_S,
                )
                after = log.read_text().splitlines() if log.exists() else []
                calls = [json.loads(line) for line in after[len(before) :]]
                assert normalised(calls) == normalised(step["calls"]), step["command"]
                assert [call["headers"] for call in calls if call["body"] is None] == [
                    call["headers"] for call in step["calls"] if call["body"] is None
                ]
        finally:
            plugin.terminate()
            plugin.wait(10)
