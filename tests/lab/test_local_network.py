"""The LAN around a Compose project is that of its macvlan and ipvlan networks."""

from __future__ import annotations

from typing import Any

import pytest

from cnmsim import Lab
from cnmsim.errors import FileError
from cnmsim.observe.diagnosis.verdict import Verdict


def _project(driver: str = "macvlan", **pool: str) -> dict[str, Any]:
    config = {"subnet": "192.168.1.0/24", "gateway": "192.168.1.1", **pool}
    return {
        "services": {
            "hole": {"image": "nginx", "networks": {"lan": {"ipv4_address": "192.168.1.254"}}},
            "web": {"image": "nginx", "ports": ["8080:80"]},
        },
        "networks": {
            "lan": {"driver": driver, "driver_opts": {"parent": "enp3s0"}, "ipam": {"config": [config]}},
        },
    }


@pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
def test_the_card_has_its_name_and_the_lan_its_machines(driver: str) -> None:
    lab = Lab.from_compose(_project(driver))
    assert "enp3s0" in lab.host("host").exec("ip -br address").output
    assert lab.trace("client", "192.168.1.254:80")
    assert lab.trace("hole", "github.com:443")
    assert lab.trace("hole", "192.168.1.1")
    assert lab.trace("client", "host:8080")
    assert lab.trace("web", "github.com:443")
    # A parent and its children never receive each other's frames.
    assert lab.trace("host", "192.168.1.254:80").verdict is Verdict.UNREACHABLE


def test_a_wrong_subnet_is_refused_with_its_line() -> None:
    with pytest.raises(FileError, match="ipam"):
        Lab.from_compose(_project(subnet="192.168.1.0/99"))
