"""The conformance of the built-in drivers, and of a plugin, by the class that every driver's author may use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cnmsim.lab import Lab
from cnmsim.testing.drivers import DriverConformance, SpecialDriverConformance
from cnmsim.testing.plugin import PluginServer


class TestBridge(DriverConformance):
    driver = "bridge"
    refused_options = {"com.docker.network.bridge.enable_icc": "perhaps"}  # noqa: RUF012


class TestMacvlan(DriverConformance):
    driver = "macvlan"
    options = {"parent": "eth0"}  # noqa: RUF012
    refused_options = {"macvlan_mode": "sideways"}  # noqa: RUF012

    def test_one_network_does_not_end_with_another(self, lab: Lab) -> None:
        if lab.engine == "26.1.5":
            pytest.skip(reason="before 27 macvlan networks share no parent")
        super().test_one_network_does_not_end_with_another(lab)


class TestIpvlan(DriverConformance):
    driver = "ipvlan"
    options = {"parent": "eth0"}  # noqa: RUF012
    refused_options = {"ipvlan_mode": "l4"}  # noqa: RUF012
    takes_several = False
    takes_mac = False


class TestNull(SpecialDriverConformance):
    driver = "null"
    network_name = "none"


class TestHost(SpecialDriverConformance):
    driver = "host"
    network_name = "host"


class TestRemote(DriverConformance):
    driver = "test"

    @pytest.fixture
    def lab(self, release: str, tmp_path: Path) -> Iterator[Lab]:
        made = Lab(engine=release, plugin_dirs=[tmp_path])
        host = made.add_host("node1", "10.0.0.15/24", docker=True)
        made.add_host("beside", "10.0.0.50/24", web=True)
        with PluginServer(tmp_path, host, made):
            yield made
