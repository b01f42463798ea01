"""A network driver of another package: found by its entry point, and packets really cross what it builds."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from cnmsim import Lab
from cnmsim.errors import NotFound
from cnmsim.kernel.bridge import Bridge
from cnmsim.kernel.device import Veth
from cnmsim.libnetwork.driver import (
    Capability,
    EndpointInterface,
    JoinInfo,
    NetworkRequest,
    SandboxContext,
)
from cnmsim.libnetwork.drivers.registry import DriverHost
from cnmsim.observe.diagnosis.verdict import Verdict


class SwitchDriver:
    """A switch a network, in a namespace where no packet filter is, and a cable an endpoint."""

    name = "switch"
    capability = Capability("local", "local")

    def __init__(self, host: DriverHost) -> None:
        self.machine = host.machine
        self.switches: dict[str, Bridge] = {}
        self.cables: dict[str, tuple[Veth, Veth]] = {}

    def create_network(self, request: NetworkRequest) -> None:
        switch = Bridge(f"sw-{request.id[:8]}", bytes([2, 0, 0, 0, 0, len(self.switches)]), self.machine.clock)
        self.machine.new_namespace(switch.name).add_device(switch)
        switch.set_up()
        self.switches[request.id] = switch

    def delete_network(self, network_id: str) -> None:
        namespace = self.switches.pop(network_id).namespace
        assert namespace is not None
        namespace.destroy()

    def create_endpoint(
        self, network_id: str, endpoint_id: str, interface: EndpointInterface, options: object
    ) -> None:
        del network_id, options
        if interface.mac is None:
            address = interface.ipv4[0] if interface.ipv4 else bytes(4)
            interface.mac = b"\x02\x42" + address
        port_mac = b"\x06" + interface.mac[1:]
        self.cables[endpoint_id] = Veth.pair(
            self.machine.clock, f"p{endpoint_id[:7]}", f"c{endpoint_id[:7]}", port_mac, interface.mac
        )

    def delete_endpoint(self, network_id: str, endpoint_id: str) -> None:
        del network_id
        port, _ = self.cables.pop(endpoint_id)
        if port.namespace is not None:
            port.namespace.remove_device(port)

    def operational_info(self, network_id: str, endpoint_id: str) -> dict[str, Any]:
        del network_id
        return {"mac": self.cables[endpoint_id][1].mac}

    def join(self, network_id: str, endpoint_id: str, sandbox: SandboxContext, info: JoinInfo) -> None:
        del sandbox
        port, end = self.cables[endpoint_id]
        switch = self.switches[network_id]
        assert switch.namespace is not None
        for device, namespace in ((port, switch.namespace), (end, self.machine.root)):
            if device.namespace is None:
                namespace.add_device(device)
        switch.add_port(port)
        port.set_up()
        info.source_name, info.destination_prefix = end.name, "sw"
        info.disable_gateway_service = True

    def leave(self, network_id: str, endpoint_id: str) -> None:
        self.switches[network_id].remove_port(self.cables[endpoint_id][0])


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    found = EntryPoint("switch", f"{__name__}:SwitchDriver", "cnmsim.drivers")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **wanted: EntryPoints([found]).select(**wanted))
    lab = Lab()
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    return lab


def test_packets_and_names_cross_the_network_of_another_packages_driver(lab: Lab) -> None:
    engine = lab.host("node1").docker
    network = engine.networks.create("fabric", driver="switch", ipam={"Config": [{"Subnet": "10.50.0.0/24"}]})
    web = engine.containers.run("nginx", name="web", network="fabric", detach=True)
    app = engine.containers.run("alpine", "sleep 1d", name="app", network="fabric", detach=True)
    lab.settle()
    assert "inet 10.50.0.3/24" in app.exec("ip -4 addr show sw0")
    walk = lab.trace("app", "web:80")
    assert walk.finding is not None
    assert walk.finding.cause_text == "web answers at 10.50.0.2:80; both are on network fabric"
    assert lab.trace("node1", "10.50.0.2:80").verdict is Verdict.UNREACHABLE
    for container in (web, app):
        container.remove(force=True)
    network.remove()
    assert list(lab.host("node1").namespace.devices) == ["lo", "eth0", "docker0"]


def test_a_driver_that_no_package_brings_is_refused(lab: Lab) -> None:
    engine = lab.host("node1").docker
    with pytest.raises(NotFound, match='plugin "loom" not found'):
        engine.networks.create("fabric", driver="loom")
