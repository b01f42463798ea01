"""Captures between the nodes of a swarm, as tshark reads them: tunnels with names, and ESP with the lab's keys."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from cnmsim import Lab

TSHARK = shutil.which("tshark")


@pytest.fixture(scope="module")
def lab() -> Lab:
    lab = Lab()
    lab.add_router("router", "10.1.0.1/24", "10.2.0.1/24")
    one = lab.add_host("node1", "10.1.0.11/24", gateway="10.1.0.1", docker=True).docker
    two = lab.add_host("node2", "10.2.0.12/24", gateway="10.2.0.1", docker=True).docker
    assert one is not None
    assert two is not None
    one.swarm.init(advertise_addr="10.1.0.11")
    two.swarm.join(one.swarm.tokens.worker, "10.1.0.11:2377")
    for name, options in (("plain", {}), ("sealed", {"encrypted": ""})):
        one.networks.create(name, driver="overlay", attachable=True, options=options)
        one.containers.run("busybox", "sleep 1d", name=f"{name}1", network=name, detach=True)
        two.containers.run("busybox", "sleep 1d", name=f"{name}2", network=name, detach=True)
    lab.settle()
    return lab


def dissect(path: Path, *options: str) -> str:
    if TSHARK is None:
        pytest.skip(reason="needs tshark")
    return subprocess.run([TSHARK, "-r", str(path), *options], capture_output=True, text=True, check=True).stdout


def test_tunnels_have_their_vni_and_both_pairs_of_names(lab: Lab, tmp_path: Path) -> None:
    with lab.capture("router:eth0") as capture:
        assert lab.trace("plain1", "plain2")
    path = capture.save(tmp_path / "wire.pcapng")
    assert not dissect(path, "-Y", "_ws.malformed")
    fields = [f"-e{name}" for name in ("vxlan.vni", "ip.src_host", "ip.dst_host", "icmp.type")]
    rows = dissect(path, "-NnN", "-Y", "vxlan && icmp", "-T", "fields", *fields).splitlines()
    assert len(rows) == 2
    vni, sources, targets, kind = rows[0].split("\t")
    assert int(vni) >= 4096
    assert sources == "node1,plain1"
    assert targets == "node2,plain2"
    assert kind == "8"


def test_esp_is_opened_with_the_labs_keys(lab: Lab, tmp_path: Path) -> None:
    with lab.capture("router:eth0") as capture:
        assert lab.trace("sealed1", "sealed2")
    path = capture.save(tmp_path / "wire.pcapng")
    assert not dissect(path, "-Y", "vxlan && icmp"), "nothing of it is to be seen without"
    keys = lab.esp_keys().splitlines()
    assert keys
    options = [word for key in keys for word in ("-o", f"uat:esp_sa:{key}")]
    opened = dissect(path, "-o", "esp.enable_encryption_decode:TRUE", *options, "-Y", "esp && vxlan && icmp")
    assert len(opened.splitlines()) == 2
    assert not dissect(path, "-Y", "_ws.malformed")
