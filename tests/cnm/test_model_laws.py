"""The model's laws, for networks, endpoints and sandboxes in any order of calls."""

from __future__ import annotations

import runpy
from pathlib import Path

from hypothesis import HealthCheck, given, settings

from cnmsim.cnm import Controller, Endpoint, Network, Sandbox
from cnmsim.testing import CnmMachine
from cnmsim.testing.cnm import endpoints, networks, sandboxes

HubDriver = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "cnm" / "hub_driver.py"))["HubDriver"]
FEW = settings(max_examples=8, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck))


class OwnDriverMachine(CnmMachine):
    """The same laws for a driver of one's own, beside bridge."""

    drivers = ("bridge", "hub")

    def prepare(self, controller: Controller) -> None:
        controller.register_driver("hub", HubDriver)


TestTheModel = CnmMachine.TestCase
TestTheModel.settings = FEW
TestOwnDriver = OwnDriverMachine.TestCase
TestOwnDriver.settings = settings(FEW, max_examples=4)


@settings(FEW, max_examples=5)
@given(network=networks())
def test_every_network_assigns_addresses_of_its_subnets(network: Network) -> None:
    endpoint = network.create_endpoint("x")
    assert endpoint.address is not None and endpoint.address.network in network.subnets
    assert endpoint.address6 is None or endpoint.address6.network in network.subnets


@settings(FEW, max_examples=5)
@given(endpoint=endpoints(joined=True))
def test_every_joined_endpoint_reaches_its_gateway(endpoint: Endpoint) -> None:
    assert endpoint.sandbox is not None
    gateway = endpoint.network.gateways[0]
    assert endpoint.sandbox.exec(f"ping -c 1 -W 1 {gateway}").succeeded


@settings(FEW, max_examples=5)
@given(sandbox=sandboxes(min_networks=1))
def test_every_sandbox_has_an_interface_for_each_network(sandbox: Sandbox) -> None:
    assert {item.network for item in sandbox.interfaces} - {""} >= {e.network.name for e in sandbox.endpoints}
