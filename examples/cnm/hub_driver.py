"""A network driver of one's own: each network is a hub in a namespace of its own, each endpoint a cable to it.

`cnmsim.cnm.Driver` is the protocol. `controller.register_driver("hub", HubDriver)` calls the class with a
`DriverHost` and makes it usable; a package registers it with an entry point instead (docs/drivers.md).
"""

from typing import Any

from cnmsim import Controller
from cnmsim.cnm import (
    Capability,
    DriverHost,
    EndpointInterface,
    EndpointOptions,
    JoinInfo,
    NetworkRequest,
    SandboxContext,
)
from cnmsim.errors import NotFound
from cnmsim.kernel.bridge import Bridge
from cnmsim.kernel.device import Veth


class HubDriver:
    name = "hub"
    capability = Capability()

    def __init__(self, host: DriverHost) -> None:
        self.machine = host.machine
        self.hubs: dict[str, Bridge] = {}
        self.cables: dict[str, tuple[Veth, Veth]] = {}

    def create_network(self, request: NetworkRequest) -> None:
        hub = self.hubs[request.id] = Bridge("hub0", self._mac(), self.machine.clock)
        self.machine.new_namespace(f"hub-{request.name}").add_device(hub)
        hub.set_up()

    def delete_network(self, network_id: str) -> None:
        self._get(self.hubs, network_id).namespace.destroy()
        del self.hubs[network_id]

    def create_endpoint(
        self, network_id: str, endpoint_id: str, interface: EndpointInterface, options: EndpointOptions
    ) -> None:
        del options
        hub, interface.mac = self._get(self.hubs, network_id), interface.mac or self._mac()
        pair = Veth.pair(self.machine.clock, f"h{endpoint_id[:7]}", f"c{endpoint_id[:7]}", self._mac(), interface.mac)
        hub.namespace.add_device(pair[0])
        self.machine.root.add_device(pair[1])
        self.cables[endpoint_id] = pair

    def delete_endpoint(self, network_id: str, endpoint_id: str) -> None:
        del network_id
        near, _far = self._get(self.cables, endpoint_id)
        near.namespace.remove_device(near)  # the other end disappears with it
        del self.cables[endpoint_id]

    def operational_info(self, network_id: str, endpoint_id: str) -> dict[str, object]:
        del network_id
        return {"mac": self._get(self.cables, endpoint_id)[1].mac}

    def join(self, network_id: str, endpoint_id: str, sandbox: SandboxContext, info: JoinInfo) -> None:
        del sandbox
        near, far = self._get(self.cables, endpoint_id)
        self._get(self.hubs, network_id).add_port(near)
        near.set_up()
        info.source_name, info.disable_gateway_service = far.name, True  # libnetwork moves it and names it eth0

    def leave(self, network_id: str, endpoint_id: str) -> None:
        self._get(self.hubs, network_id).remove_port(self._get(self.cables, endpoint_id)[0])

    def _get(self, known: dict[str, Any], key: str) -> Any:
        if key not in known:
            raise NotFound(f"hub driver: no {key}")
        return known[key]

    def _mac(self) -> bytes:
        return b"\x06" + self.machine.random.randbytes(5)  # seeded: two labs with one seed are identical


if __name__ == "__main__":
    controller = Controller()
    controller.register_driver("hub", HubDriver)
    net = controller.new_network("net", "hub", subnet="10.50.0.0/24")
    for name in ("a", "b"):
        net.create_endpoint(name, aliases=[name]).join(controller.new_sandbox(name))
    a = controller.sandbox_by_container("a")
    print(net, a)
    print(a.exec("ping -c 1 b"))
