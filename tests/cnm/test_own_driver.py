"""A driver of one's own, registered with a controller: the example in examples/cnm passes the conformance tests."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from cnmsim import Controller
from cnmsim.errors import Conflict, InvalidParameter
from cnmsim.testing.drivers import DriverConformance

EXAMPLES = Path(__file__).parents[2] / "examples" / "cnm"
HubDriver = runpy.run_path(str(EXAMPLES / "hub_driver.py"))["HubDriver"]


class TestHubDriver(DriverConformance):
    driver = "hub"
    factory = HubDriver

    @pytest.fixture(params=["29.7.2"])  # the other releases' are in examples/switch-driver
    def release(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)


def test_what_is_no_driver_is_not_registered() -> None:
    controller = Controller()

    class Half:
        name = "half"

        def __init__(self, host: object) -> None:
            del host

    with pytest.raises(InvalidParameter, match="Half is no network driver: it has no capability, create_network"):
        controller.register_driver("half", Half)  # type: ignore[arg-type]
    with pytest.raises(Conflict, match="a driver bridge is registered"):
        controller.register_driver("bridge", HubDriver)
    assert "half" not in controller.drivers.names()
