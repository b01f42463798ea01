"""The bridge driver: each network is a Linux bridge on one host, connected to the outside by routing and NAT.

Source: moby `daemon/libnetwork/drivers/bridge/bridge_linux.go` (docker-v29.7.2) and `libnetwork/drivers/bridge/` of
v26.1.5 and v28.5.2.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from attrs import define, evolve, field

from cnmsim.errors import EngineError, InvalidParameter, NotFound, SystemFault
from cnmsim.kernel.address import IPV6_LOOPBACK, Address
from cnmsim.kernel.errno_text import go_strerror
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.netfilter.connection import Connection
from cnmsim.kernel.packet import Protocol
from cnmsim.kernel.process import Process
from cnmsim.libnetwork.config import DaemonConfig
from cnmsim.libnetwork.driver import (
    Capability,
    EndpointInterface,
    IpamInfo,
    JoinInfo,
    NetworkRequest,
    SandboxContext,
)
from cnmsim.libnetwork.drivers.bridge import device as devices
from cnmsim.libnetwork.drivers.bridge import rules
from cnmsim.libnetwork.drivers.bridge.firewall import Firewall, InstalledRules, IptablesFirewall
from cnmsim.libnetwork.drivers.bridge.labels import (
    DEFAULT_BRIDGE_NAME,
    ENDPOINT_IFNAME,
    BridgeOptions,
    GatewayMode,
)
from cnmsim.libnetwork.drivers.bridge.mapper import Mapping, PortMapper
from cnmsim.libnetwork.drivers.bridge.network_checks import (
    check_conflicts,
    checked_options,
    checked_pools,
    require_pool,
)
from cnmsim.libnetwork.drivers.bridge.portmap import EndpointAddresses, MappingKinds, in_groups
from cnmsim.libnetwork.drivers.bridge.state import (
    EndpointState,
    NetworkState,
)
from cnmsim.libnetwork.options import EndpointOptions, PortBinding
from cnmsim.libnetwork.portallocator import PortAllocator
from cnmsim.libnetwork.profile import Profile


@define(eq=False)
class BridgeDriver:
    """The bridge driver of one machine.

    `daemon` returns the daemon's process. If there is no userland proxy, this process binds the host ports.
    """

    machine: Machine
    profile: Profile
    config: DaemonConfig
    allocator: PortAllocator
    daemon: Callable[[], Process]
    name: str = field(default="bridge", init=False)
    capability: Capability = field(factory=Capability, init=False)
    firewall: Firewall = field(init=False)
    _networks: dict[str, NetworkState] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.firewall = self._make_firewall()

    # --- the daemon's start

    def start(self) -> None:
        """Create the daemon's chains. In releases that enable IP forwarding at the daemon's start, enable it."""
        self.firewall.start()
        if self.profile.br_netfilter_at_start and self.config.iptables:
            for key in ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables"):
                self.machine.root.sysctl_set(f"net.bridge.{key}", "1")
        if not self.profile.has_forward_chain:
            self._open_forwarding(4)
            if self.firewall_enabled(6) and self.profile.ipv6_policy_always_drop:
                self.machine.root.netfilter.iptables(6).set_policy("filter", "FORWARD", "DROP")

    def set_up_user_chain(self) -> None:
        """Create the chain DOCKER-USER if it is missing, and move the jump to it to the top of FORWARD.

        DOCKER-USER is for the operator's own rules.
        """
        self.firewall.set_up_user_chain()

    def _make_firewall(self) -> Firewall:
        config, profile, root = self.config, self.profile, self.machine.root
        mark = config.bridge_accept_fwmark if profile.has_bridge_accept_fwmark else ""
        if config.uses_nftables(profile.has_firewall_backend):
            from cnmsim.libnetwork.drivers.bridge.nftfirewall import NftablesFirewall

            return NftablesFirewall(root, self.hairpin, mark, self.firewall_enabled)
        spared = profile.has_ip_forward_no_drop and config.ip_forward_no_drop
        return IptablesFirewall(root, profile, self.hairpin, mark, not spared, self.firewall_enabled)

    @property
    def hairpin(self) -> bool:
        """True if the daemon runs without the userland proxy.

        NAT then also handles connections from the host itself.
        """
        return not self.config.userland_proxy

    def firewall_enabled(self, family: int) -> bool:
        """Return True if the daemon installs firewall rules for address family 4 or 6."""
        if family == 4:
            return self.config.iptables
        if self.config.ip6tables is None:
            return self.profile.default_ip6tables
        return self.config.ip6tables

    def _open_forwarding(self, family: int) -> None:
        if self.config.ip_forward:
            self.firewall.open_forwarding(family)

    # --- networks

    def skip_gateway_allocation(self, request: NetworkRequest) -> tuple[bool, bool]:
        """Return a pair of flags (IPv4, IPv6). True: allocate a gateway address only if the user requested one.

        A flag is True in gateway mode `isolated`, and the IPv4 flag also on internal networks whose bridge has no
        IPv4 address. Releases without `drivers_skip_gateway` always return False.
        """
        if not self.profile.drivers_skip_gateway:
            return False, False
        options = checked_options(request, self.profile, self.machine.root)
        skip4 = options.mode4 is GatewayMode.ISOLATED or (request.internal and options.inhibit_ipv4)
        return skip4, options.mode6 is GatewayMode.ISOLATED

    def create_network(self, request: NetworkRequest) -> None:
        """Create the bridge device of a network and install the network's firewall rules.

        Raises an `EngineError` with the driver's message if the request is invalid or a step fails; then nothing is
        changed.
        """
        if not self.profile.can_disable_ipv4:
            require_pool(4, request.ipv4)
        options = checked_options(request, self.profile, self.machine.root)
        ipv4, ipv6 = checked_pools(request, self.profile)
        check_conflicts(request, options, ipv4, ipv6, self._networks.values())
        options = evolve(options, bridge_name=options.bridge_name or DEFAULT_BRIDGE_NAME)
        facts = rules.NetworkFacts(
            options=options,
            internal=request.internal,
            hairpin=self.hairpin,
            ipv4=ipv4.pool if ipv4 is not None else None,
            ipv6=ipv6.pool if ipv6 is not None else None,
            allow_direct_routing=self.config.allow_direct_routing,
            no_raw=self.config.no_iptables_raw,
        )
        with ExitStack() as undo:
            try:
                bridge, is_new = devices.set_up_bridge(
                    self.machine.root,
                    options,
                    profile=self.profile,
                    random=self.machine.random,
                    ipv4=ipv4,
                    ipv6=ipv6,
                    hairpin=self.hairpin,
                    undo=undo,
                )
            except OSError as error:
                raise SystemFault(go_strerror(error)) from None
            if ipv4 is not None and self.profile.has_forward_chain:
                self._open_forwarding(4)
            if ipv6 is not None:
                self._open_forwarding(6)
            self._filter_bridged_frames(options, has_ipv6=ipv6 is not None)
            rule_sets = self._write_network_rules(facts, undo)
            bridge.set_up()
            undo.pop_all()
        self._networks[request.id] = NetworkState(request, options, ipv4, ipv6, facts, bridge, is_new, rule_sets)

    def _filter_bridged_frames(self, options: BridgeOptions, *, has_ipv6: bool) -> None:
        """Set the sysctl `bridge-nf-call-iptables` if the network's rules must also match frames within the bridge.

        They must if inter-container communication (`icc`) is off and, in some releases, without userland proxy. If
        `has_ipv6` is True, set `bridge-nf-call-ip6tables`, too. A sysctl is set only if the daemon installs rules for
        its family.
        """
        if not options.icc or (self.hairpin and self.profile.br_netfilter_without_proxy):
            for family, key in ((4, "bridge-nf-call-iptables"), (6, "bridge-nf-call-ip6tables")):
                if self.firewall_enabled(family) and (family == 4 or has_ipv6):
                    self.machine.root.sysctl_set(f"net.bridge.{key}", "1")

    def _write_network_rules(self, facts: rules.NetworkFacts, undo: ExitStack) -> list[InstalledRules]:
        rule_sets = []
        for family in (4, 6):
            written = self.firewall.add_network(facts, family)
            if written is not None:
                undo.callback(written.withdraw)
                rule_sets.append(written)
        return rule_sets

    def _network(self, network_id: str) -> NetworkState:
        try:
            return self._networks[network_id]
        except KeyError:
            raise NotFound(f"network not found: {network_id}") from None

    def delete_network(self, network_id: str) -> None:
        """Delete a network, its endpoints and its rules.

        The bridge device is deleted, too, except docker0 and a device that existed before the network.
        """
        network = self._network(network_id)
        for endpoint in list(network.endpoints.values()):
            self._remove_endpoint(network, endpoint)
        for rule_set in network.rule_sets:
            rule_set.withdraw()
        del self._networks[network_id]
        bridge = network.bridge
        if network.made_bridge and not network.options.default_bridge and bridge.namespace is not None:
            bridge.namespace.remove_device(bridge)

    # --- endpoints

    def create_endpoint(
        self, network_id: str, endpoint_id: str, interface: EndpointInterface, options: EndpointOptions
    ) -> None:
        """Create an endpoint: choose its MAC address, create its veth pair and install its rules.

        Since 28.0 the pair's container end is created in the namespace of `options`, if that has one.
        """
        network = self._network(network_id)
        random = self.machine.random
        ipv4 = interface.ipv4[0] if interface.ipv4 is not None else None
        mac = interface.mac or devices.container_mac(self.profile, ipv4, random)
        if self.profile.default_bridge_ipv6_from_mac and interface.ipv6 is None and _fits_mac(network.ipv6):
            assert network.ipv6 is not None
            interface.ipv6 = devices.mac_derived_ipv6(network.ipv6.pool, mac), network.ipv6.pool.length
        ipv6 = interface.ipv6[0] if interface.ipv6 is not None else None
        endpoint = EndpointState(endpoint_id, mac, ipv4, ipv6, options)
        with ExitStack() as undo:
            host = self.machine.root
            namespace = options.namespace if self.profile.veth_is_made_in_namespace else None
            endpoint.outside, endpoint.inside = devices.make_veth(
                host, namespace or host, mac, mtu=network.options.mtu, random=random, undo=undo
            )
            devices.plug_into_bridge(network.bridge, endpoint.outside, hairpin=self.hairpin)
            for address in (ipv4, ipv6):
                if address is None:
                    continue
                written = self.firewall.add_endpoint(network.facts, address)
                if written is not None:
                    undo.callback(written.withdraw)
                    endpoint.endpoint_rules[6 if len(address) == 16 else 4] = written
            undo.pop_all()
        interface.mac = mac
        network.endpoints[endpoint_id] = endpoint

    def delete_endpoint(self, network_id: str, endpoint_id: str) -> None:
        """Delete the devices, rules and published ports of an endpoint."""
        network = self._network(network_id)
        self._remove_endpoint(network, network.endpoint(endpoint_id))

    def _remove_endpoint(self, network: NetworkState, endpoint: EndpointState) -> None:
        self._withdraw_ports(endpoint)
        for rule_set in (*endpoint.link_rules, *endpoint.endpoint_rules.values()):
            rule_set.withdraw()
        self._remove_veth(endpoint)
        del network.endpoints[endpoint.id]

    def release_ipv6(self, network_id: str, endpoint_id: str) -> None:
        """Remove an endpoint's IPv6 address and the rules for it."""
        endpoint = self._network(network_id).endpoint(endpoint_id)
        rule_set = endpoint.endpoint_rules.pop(6, None)
        if rule_set is not None:
            rule_set.withdraw()
        endpoint.ipv6 = None

    def _remove_veth(self, endpoint: EndpointState) -> None:
        inside = endpoint.inside
        # A device in a container is not found by its name: it stays there after a failed join, until 29.
        is_lost = inside is not None and inside.namespace is not self.machine.root
        for end in (endpoint.outside, inside):
            if end is not None and end.namespace is not None and not is_lost:
                end.namespace.remove_device(end)
        endpoint.outside = endpoint.inside = None

    def operational_info(self, network_id: str, endpoint_id: str) -> dict[str, Any]:
        """Return a dict of the endpoint's MAC address (`mac`), `exposed_ports` and published ports (`port_map`)."""
        endpoint = self._network(network_id).endpoint(endpoint_id)
        port_map: list[PortBinding] = [mapping.binding for mapping in endpoint.mappings]
        return {"mac": endpoint.mac, "exposed_ports": list(endpoint.exposed_ports), "port_map": port_map}

    def join(self, network_id: str, endpoint_id: str, sandbox: SandboxContext, info: JoinInfo) -> None:
        """Store in `info` the name of the veth pair's container end, and the gateways, and set up legacy links."""
        network = self._network(network_id)
        endpoint = network.endpoint(endpoint_id)
        if self.profile.internal_ports_in_inspect:
            endpoint.expose_ports(sandbox)
        assert endpoint.inside is not None
        info.source_name = endpoint.inside.name
        is_on_host = endpoint.inside.namespace is self.machine.root
        info.created_in_sandbox = self.profile.veth_is_made_in_namespace and not is_on_host
        info.destination_prefix = network.options.interface_prefix
        if self.profile.has_endpoint_ifname:
            info.destination_name = endpoint.options.driver_opts.get(ENDPOINT_IFNAME, "")
        if not network.request.internal:
            info.gateway4, info.gateway6 = network.gateway(4), network.gateway(6)
        self._link(network, endpoint, sandbox)

    def _link(self, network: NetworkState, endpoint: EndpointState, sandbox: SandboxContext) -> None:
        if network.options.icc or not sandbox.legacy_links or not network.options.default_bridge:
            return
        for link in sandbox.legacy_links:
            if endpoint.ipv4 is None:
                raise InvalidParameter("cannot link to a container with an empty parent IP address")
            if not link.child_address:
                raise InvalidParameter("cannot link to a container with an empty child IP address")
            if len(link.child_address) == 4:
                written = self.firewall.add_link(network.facts, endpoint.ipv4, link.child_address, link.child_ports)
                if written is not None:
                    endpoint.link_rules.append(written)

    def leave(self, network_id: str, endpoint_id: str) -> None:
        """Detach the endpoint from its sandbox by deleting its legacy link rules.

        The veth pair stays until the endpoint is deleted.
        """
        endpoint = self._network(network_id).endpoint(endpoint_id)
        for rule_set in endpoint.link_rules:
            rule_set.withdraw()
        endpoint.link_rules.clear()

    # --- published ports

    def program_external_connectivity(
        self, network_id: str, endpoint_id: str, sandbox: SandboxContext, *, gateway4: str, gateway6: str
    ) -> None:
        """Publish the sandbox's ports on this endpoint, for each address family in which the endpoint is the gateway.

        Ports published for other families are unpublished. `gateway4` and `gateway6` are the ids of the sandbox's
        IPv4 and IPv6 gateway endpoints, "" for none. In gateway mode `routed` an endpoint may publish ports without
        being a gateway (see `MappingKinds`).
        """
        network = self._network(network_id)
        endpoint = network.endpoint(endpoint_id)
        kinds = MappingKinds(
            ipv4=gateway4 == endpoint_id,
            ipv6=gateway6 == endpoint_id,
            proxy6to4=gateway4 == endpoint_id and gateway6 in {"", endpoint_id},
            routed=self.profile.routed_ports_on_other_endpoints and not network.request.internal,
        )
        if kinds.ipv4 or kinds.ipv6:
            endpoint.expose_ports(sandbox)
        if kinds == endpoint.mapping_kinds:
            return
        before = endpoint.mapping_kinds
        lost = {name for name in ("ipv4", "ipv6", "proxy6to4", "routed") if not getattr(kinds, name)}
        self._withdraw_ports(endpoint, lost)
        new = MappingKinds(
            ipv4=kinds.ipv4 and not before.ipv4,
            ipv6=kinds.ipv6 and not before.ipv6,
            proxy6to4=kinds.proxy6to4 and not before.proxy6to4,
            routed=kinds.routed and not before.routed,
        )
        endpoint.mapping_kinds = kinds
        bindings = sandbox.port_bindings or endpoint.options.port_bindings
        if bindings and not network.request.internal:
            try:
                self._publish(network, endpoint, bindings, new)
            except EngineError:
                self._withdraw_ports(endpoint)
                raise
        self._flush_conntrack(endpoint)

    def _publish(
        self, network: NetworkState, endpoint: EndpointState, bindings: list[PortBinding], mapping_kinds: MappingKinds
    ) -> None:
        ends = EndpointAddresses(
            ipv4=endpoint.ipv4,
            ipv6=endpoint.ipv6,
            has_proxy=not self.hairpin,
            host_has_ipv6=self.machine.root.is_local(IPV6_LOOPBACK),
        )
        mapper = PortMapper(
            machine=self.machine,
            daemon=self.daemon,
            allocator=self.allocator,
            profile=self.profile,
            firewall=self.firewall,
            has_proxy=not self.hairpin,
        )
        for group in in_groups(self.profile, bindings, network.options, ends, mapping_kinds):
            endpoint.mappings += mapper.map_group(network.facts, group)

    def _flush_conntrack(self, endpoint: EndpointState) -> None:
        conntrack = self.machine.root.netfilter.conntrack
        addresses = {address for address in (endpoint.ipv4, endpoint.ipv6) if address is not None}
        bindings = [mapping.binding for mapping in endpoint.mappings if mapping.binding.protocol == "udp"]
        udp: set[tuple[int, Address | None]]
        if self.profile.conntrack_flush_by_container_port:
            udp = {
                (binding.container_port, binding.host_ip if any(binding.host_ip or b"") else None)
                for binding in bindings
            }
        else:
            udp = {(binding.host_port, None) for binding in bindings}
        conntrack.flush(lambda connection: _is_affected(connection, addresses, udp))

    def revoke_external_connectivity(self, network_id: str, endpoint_id: str) -> None:
        """Unpublish all ports of an endpoint."""
        endpoint = self._network(network_id).endpoint(endpoint_id)
        self._withdraw_ports(endpoint)
        if self.profile.unpublishing_flushes_conntrack:
            self._flush_conntrack(endpoint)

    def _withdraw_ports(self, endpoint: EndpointState, lost: set[str] | None = None) -> None:
        kept: list[Mapping] = []
        gone: list[Mapping] = []
        for mapping in endpoint.mappings:
            (gone if lost is None or mapping.kind in lost else kept).append(mapping)
        endpoint.mappings = kept
        if lost is None:
            endpoint.mapping_kinds = MappingKinds()
        for mapping in reversed(gone):
            mapping.release()


def _fits_mac(info: IpamInfo | None) -> bool:
    return info is not None and info.pool.length <= 80


def _is_affected(connection: Connection, addresses: set[Address], udp: set[tuple[int, Address | None]]) -> bool:
    """Return True if conntrack must delete a tracked connection after ports were published or unpublished.

    It must if the connection's source or destination, before or after NAT, is in `addresses`, or if it is a UDP
    connection to one of `udp`: a port, with the destination address before NAT, `None` for any.
    """
    protocol, src, dst, _, dport = connection.original
    if addresses & {src, dst, connection.reply[1], connection.reply[2]}:
        return True
    return protocol == Protocol.UDP and not udp.isdisjoint({(dport, None), (dport, dst)})
