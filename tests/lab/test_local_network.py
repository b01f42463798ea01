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


def test_host_addresses_in_ports_and_machines_in_extra_hosts_and_dns_are_on_the_lan() -> None:
    project = _project()
    project["services"]["web"] |= {
        "ports": ["192.168.1.10:8080:80", "10.8.0.1:81:80"],
        "extra_hosts": ["nas:192.168.1.20", "me:172.17.0.1", "gw:host-gateway"],
        "dns": ["192.168.178.3"],
    }
    lab = Lab.from_compose(project)
    assert lab.trace("client", "192.168.1.10:8080")
    assert lab.trace("client", "10.8.0.1:81")
    for source in ("web", "client", "hole"):
        found = lab.trace(source, "192.168.1.20:445")
        assert found.finding is not None
        assert list(found.finding.assumption_texts) == [
            "a machine with the address 192.168.1.20 is on the LAN and answers (the file names it)"
        ]
    assert lab.trace("web", "nas:5353/udp").verdict is Verdict.DELIVERED
    assert lab.trace("web", "github.com:443")  # its name server is on the LAN
    assert "me" not in lab.hosts


def test_an_address_on_the_lan_that_the_file_does_not_name_is_to_be_stated() -> None:
    found = Lab.from_compose(_project()).trace("web", "192.168.1.77:80")
    assert found.verdict is Verdict.UNREACHABLE
    assert "extra_hosts" in found.fix_text()[1]
    assert found.summary().splitlines()[-1] == "  host  SNAT to 192.168.1.253; dropped: neighbour did not answer"
