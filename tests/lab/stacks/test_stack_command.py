"""`docker stack deploy` by the real command, and `docker.stacks.deploy` in Python: the swarm gets the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cnmsim import Lab
from cnmsim.lab.host import Host

HERE = Path(__file__).parent


def swarm(release: str) -> tuple[Lab, Host]:
    lab = Lab(engine=release)
    host = lab.add_host("node1", "172.31.1.5/24", docker=True)
    host.docker.swarm.init(advertise_addr="172.31.1.5", availability="pause")
    return lab, host


def made_in(host: Host) -> dict[str, Any]:
    """Return the specs of all objects, with names in place of ids."""
    docker = host.docker
    mine = {"label": "com.docker.stack.namespace=shop"}
    networks = {each.name: each.attrs for each in docker.networks.list(filters=mine)}
    found: dict[str, Any] = {
        f"network {name}": {key: attrs[key] for key in ("Driver", "Internal", "Attachable", "Labels", "Scope")}
        | {"encrypted": "encrypted" in attrs["Options"], "ipam": _stated(attrs["IPAM"]["Config"])}
        for name, attrs in networks.items()
    }
    names = {attrs["Id"]: name for name, attrs in networks.items()}
    for kind in (docker.secrets, docker.configs, docker.services):
        for each in kind.list(filters=mine):
            found[f"{type(each).__name__} {each.name}"] = each.attrs["Spec"]
            names[each.id] = each.name
    text = json.dumps(found)
    for identity, name in names.items():
        text = text.replace(identity, f"<{name}>")
    plain: dict[str, Any] = json.loads(text)
    return plain


def _stated(pools: list[dict[str, str]]) -> list[dict[str, str]]:
    return [pool for pool in pools if not pool["Subnet"].startswith("10.0.")]


@pytest.mark.skipif(shutil.which("docker") is None, reason="needs Debian's docker-cli")
@pytest.mark.parametrize("names", [("full.yml",), ("base.yml", "over.yml")], ids=["one file", "two files"])
@pytest.mark.parametrize("release", ["26.1.5", "28.5.2", "29.7.2"])
def test_the_command_and_python_make_the_same(release: str, names: tuple[str, ...], tmp_path: Path) -> None:
    files = [HERE / name for name in names]
    _, ours = swarm(release)
    stack = ours.docker.stacks.deploy("shop", files)
    lab, theirs = swarm(release)
    with lab.serve():
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DOCKER_HOST": f"unix://{theirs.socket}"}
        done = subprocess.run(
            ["docker", "stack", "deploy", *(word for file in files for word in ("-c", str(file))), "shop"],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert all(notice in done.stderr for notice in stack.notices if not notice.startswith("Ignoring deprecated"))
    want, got = made_in(theirs), made_in(ours)
    assert len(want) == 10
    assert got == want
