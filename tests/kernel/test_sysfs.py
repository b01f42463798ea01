"""/sys/class/net: every attribute has the current value of the device."""

from __future__ import annotations

import pytest

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.device import Veth
from cnmsim.kernel.machine import Machine


@pytest.fixture
def machine() -> Machine:
    machine = Machine("m", Clock())
    one, two = Veth.pair(machine.clock, "v0", "v1", b"\2\0\0\0\0\1", b"\2\0\0\0\0\2")
    for end in (one, two):
        machine.root.add_device(end)
    one.set_up()
    return machine


def test_attributes_are_read_as_they_are_now(machine: Machine) -> None:
    def told(attribute: str) -> str:
        return machine.files.read(f"/sys/class/net/v0/{attribute}").decode()

    assert [told(name) for name in ("address", "mtu", "ifindex", "iflink", "carrier", "operstate")] == [
        "02:00:00:00:00:01\n", "1500\n", "2\n", "3\n", "0\n", "lowerlayerdown\n",
    ]  # fmt: skip
    machine.root.devices["v1"].set_up()
    machine.root.devices["v0"].set_mtu(1400)
    assert [told(name) for name in ("mtu", "carrier", "operstate")] == ["1400\n", "1\n", "up\n"]
    machine.root.devices["v0"].transmit(bytes(60))
    assert told("statistics/tx_bytes") == "60\n"


def test_a_device_that_is_down_tells_no_carrier(machine: Machine) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        machine.files.read("/sys/class/net/v1/carrier")


@pytest.mark.parametrize("path", ["nosuch/mtu", "v0/nosuch", "v0"])
def test_there_is_nothing_else(machine: Machine, path: str) -> None:
    assert not machine.files.exists(f"/sys/class/net/{path}")
