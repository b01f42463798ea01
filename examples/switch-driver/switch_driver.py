"""A network driver in a separate package: each network is an Ethernet switch, each endpoint a cable to it.

The switch is in a namespace of its own without a packet filter, so the host cannot reach it, and the containers reach
only each other. With `-o switch.ports=4` it has four ports, and a fifth endpoint is refused.

    docker network create -d switch --subnet 10.50.0.0/24 -o switch.ports=4 fabric
"""

from __future__ import annotations

from typing import Any

from attrs import define, field

from cnmsim.errors import Forbidden, InvalidParameter, NotFound
from cnmsim.kernel.bridge import Bridge
from cnmsim.kernel.device import Veth
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.libnetwork.driver import Capability, EndpointInterface, JoinInfo, NetworkRequest, SandboxContext
from cnmsim.libnetwork.drivers.registry import DriverHost
from cnmsim.libnetwork.options import EndpointOptions

PORTS = "switch.ports"


@define
class Switch:
    """A network: the switch, its namespace, and its cables by endpoint."""

    bridge: Bridge
    place: NetworkNamespace
    ports: int
    cables: dict[str, tuple[Veth, Veth]] = field(factory=dict)


class SwitchDriver:
    """The driver of one host. cnmsim calls this class with a `DriverHost` when a network with this driver is first
    created.
    """

    name = "switch"
    capability = Capability("local", "local")

    def __init__(self, host: DriverHost) -> None:
        self.machine = host.machine
        self.switches: dict[str, Switch] = {}

    # Each method succeeds, or raises an EngineError and changes nothing.

    def create_network(self, request: NetworkRequest) -> None:
        """Create a switch. All options are validated before anything is created."""
        text = request.options.get(PORTS, "32")
        if not text.isdigit() or not int(text):
            raise InvalidParameter(f"invalid {PORTS} {text}: a switch has at least one port")
        place = self.machine.new_namespace(f"switch-{request.id[:8]}")
        bridge = Bridge("sw0", self._draw_mac(), self.machine.clock)
        place.add_device(bridge)
        bridge.set_up()
        self.switches[request.id] = Switch(bridge, place, int(text))

    def delete_network(self, network_id: str) -> None:
        """Delete the switch."""
        switch = self._switch(network_id)
        del self.switches[network_id]
        switch.place.destroy()

    def create_endpoint(
        self, network_id: str, endpoint_id: str, interface: EndpointInterface, options: EndpointOptions
    ) -> None:
        """Register a cable. Set a MAC address if none was requested."""
        del options
        switch = self._switch(network_id)
        if len(switch.cables) >= switch.ports:
            raise Forbidden(f"all {switch.ports} ports of the switch are taken")
        if interface.mac is None:
            interface.mac = self._draw_mac()
        port, end = f"p{endpoint_id[:7]}", f"c{endpoint_id[:7]}"
        switch.cables[endpoint_id] = Veth.pair(self.machine.clock, port, end, self._draw_mac(), interface.mac)

    def delete_endpoint(self, network_id: str, endpoint_id: str) -> None:
        """Delete both ends of the cable, in whatever namespace they are."""
        ends = self._cable(network_id, endpoint_id)
        del self._switch(network_id).cables[endpoint_id]
        for end in ends:
            if end.namespace is not None:
                end.namespace.remove_device(end)

    def operational_info(self, network_id: str, endpoint_id: str) -> dict[str, Any]:
        """Return the MAC address of an endpoint."""
        return {"mac": self._cable(network_id, endpoint_id)[1].mac}

    def join(self, network_id: str, endpoint_id: str, sandbox: SandboxContext, info: JoinInfo) -> None:
        """Plug the near end into the switch, and put the far end into the host's namespace. libnetwork moves it into
        the sandbox.
        """
        del sandbox
        near, far = self._cable(network_id, endpoint_id)
        switch = self._switch(network_id)
        for end, place in ((near, switch.place), (far, self.machine.root)):
            if end.namespace is None:
                place.add_device(end)
        switch.bridge.add_port(near)
        near.set_up()
        info.source_name, info.destination_prefix = far.name, "sw"
        info.disable_gateway_service = True

    def leave(self, network_id: str, endpoint_id: str) -> None:
        """Unplug the near end. libnetwork moves the far end back into the host's namespace."""
        near, _ = self._cable(network_id, endpoint_id)
        self._switch(network_id).bridge.remove_port(near)

    # Lookups

    def _switch(self, network_id: str) -> Switch:
        if network_id not in self.switches:
            raise NotFound(f"switch driver: no network {network_id}")
        return self.switches[network_id]

    def _cable(self, network_id: str, endpoint_id: str) -> tuple[Veth, Veth]:
        cables = self._switch(network_id).cables
        if endpoint_id not in cables:
            raise NotFound(f"switch driver: no endpoint {endpoint_id}")
        return cables[endpoint_id]

    def _draw_mac(self) -> bytes:
        # Drawn from the machine's stream, so that two labs with one seed are identical.
        return b"\x06" + self.machine.random.randbytes(5)
