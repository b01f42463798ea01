"""Tests of the switch driver: the conformance tests of all drivers, and tests of its own options."""

import pytest

from cnmsim import Lab
from cnmsim.errors import EngineError
from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.testing.drivers import DriverConformance


class TestSwitchDriver(DriverConformance):
    driver = "switch"
    interface_prefix = "sw"
    refused_options = {"switch.ports": "none"}  # noqa: RUF012

    def test_a_full_switch_takes_nobody(self, lab: Lab) -> None:
        self.options = {"switch.ports": "2"}  # this test's alone
        self.network(lab)
        first = self.run(lab, "first", "net-a")
        self.run(lab, "second", "net-a")
        with pytest.raises(EngineError, match="all 2 ports of the switch are taken"):
            self.run(lab, "third", "net-a")
        first.remove(force=True)
        assert self.run(lab, "fourth", "net-a").status == "running"

    def test_the_host_is_not_on_the_switch(self, lab: Lab) -> None:
        self.network(lab)
        web = self.run(lab, "web", "net-a", "nginx")
        address = web.attrs["NetworkSettings"]["Networks"]["net-a"]["IPAddress"]
        assert lab.trace("node1", f"{address}:80").verdict is not Verdict.ANSWERED
