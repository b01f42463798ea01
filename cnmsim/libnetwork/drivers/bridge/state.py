"""The state that the bridge driver keeps for each network and endpoint."""

from __future__ import annotations

from attrs import define, field

from cnmsim.errors import NotFound
from cnmsim.kernel.address import Address, Mac
from cnmsim.kernel.bridge import Bridge
from cnmsim.kernel.device import Veth
from cnmsim.libnetwork.driver import IpamInfo, NetworkRequest, SandboxContext
from cnmsim.libnetwork.drivers.bridge import rules
from cnmsim.libnetwork.drivers.bridge.firewall import InstalledRules
from cnmsim.libnetwork.drivers.bridge.labels import BridgeOptions
from cnmsim.libnetwork.drivers.bridge.mapper import Mapping
from cnmsim.libnetwork.drivers.bridge.portmap import MappingKinds
from cnmsim.libnetwork.options import EndpointOptions, TransportPort

DEFAULT_GATEWAY4 = "DefaultGatewayIPv4"
DEFAULT_GATEWAY6 = "DefaultGatewayIPv6"


@define(eq=False)
class EndpointState:
    """The state of an endpoint: its veth pair, its rules and its published ports.

    `outside` is the host's end of the veth pair, `inside` the container's end; both are `None` if there is no pair.
    """

    id: str
    mac: Mac
    ipv4: Address | None
    ipv6: Address | None
    options: EndpointOptions
    exposed_ports: list[TransportPort] = field(factory=list)
    outside: Veth | None = None
    inside: Veth | None = None
    mapping_kinds: MappingKinds = field(factory=MappingKinds)
    mappings: list[Mapping] = field(factory=list)
    #: The rules that restrict access to the endpoint's addresses, by address family.
    endpoint_rules: dict[int, InstalledRules] = field(factory=dict)
    link_rules: list[InstalledRules] = field(factory=list)

    def expose_ports(self, sandbox: SandboxContext) -> None:
        """Set the endpoint's exposed ports from its own options or, if those have none, from its sandbox."""
        self.exposed_ports = list(self.options.exposed_ports or sandbox.exposed_ports)


@define(eq=False)
class NetworkState:
    """The state of a network: its options, its device and its rules.

    `made_bridge` is True if the driver created the bridge device, which is then deleted with the network.
    """

    request: NetworkRequest
    options: BridgeOptions
    ipv4: IpamInfo | None
    ipv6: IpamInfo | None
    facts: rules.NetworkFacts
    bridge: Bridge
    made_bridge: bool
    rule_sets: list[InstalledRules]
    endpoints: dict[str, EndpointState] = field(factory=dict)

    def endpoint(self, endpoint_id: str) -> EndpointState:
        """Return the endpoint with this id. Raises `NotFound` if the network has none."""
        try:
            return self.endpoints[endpoint_id]
        except KeyError:
            raise NotFound(f"endpoint not found: {endpoint_id}") from None

    def gateway(self, family: int) -> Address | None:
        """Return the containers' default gateway in address family 4 or 6; `None` if the network has none.

        It is the bridge's address, unless the auxiliary address `DefaultGatewayIPv4` or `DefaultGatewayIPv6` is set.
        """
        info = self.ipv6 if family == 6 else self.ipv4
        if info is None:
            return None
        key = DEFAULT_GATEWAY6 if family == 6 else DEFAULT_GATEWAY4
        return info.aux_addresses.get(key, info.gateway)
