"""The overlay driver: containers on several nodes of a swarm share one Ethernet segment, made of VXLAN tunnels.

Source: moby `daemon/libnetwork/drivers/overlay/{overlay,ov_network,ov_endpoint,joinleave}.go` (docker-v29.7.2),
`libnetwork/drivers/overlay` (v26.1.5, v28.5.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field

from cnmsim.digits import is_number
from cnmsim.errors import InvalidParameter, SystemFault
from cnmsim.gostrconv import NumError, atoi
from cnmsim.kernel.address import Address, format_ip
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.vxlan import VXLAN_PORT, Vxlan
from cnmsim.kernel.xfrm import is_available
from cnmsim.libnetwork.driver import (
    GLOBAL_SCOPE,
    Capability,
    EndpointInterface,
    JoinInfo,
    NetworkRequest,
    SandboxContext,
    StaticRoute,
    TableEntry,
)
from cnmsim.libnetwork.drivers.bridge.labels import DRIVER_MTU, ENDPOINT_IFNAME
from cnmsim.libnetwork.drivers.overlay.encryption import Encryption, Key
from cnmsim.libnetwork.drivers.overlay.encryption_rules import IptablesEncryptionRules, NftablesEncryptionRules
from cnmsim.libnetwork.drivers.overlay.network import OverlayEndpoint, OverlayNetwork, Subnet, overlay_namespaces
from cnmsim.libnetwork.drivers.overlay.peer_record import PEER_TABLE, Peer
from cnmsim.libnetwork.drivers.overlay.peers import PeerDatabase, PeersByAddress, PeersByPair
from cnmsim.libnetwork.options import EndpointOptions
from cnmsim.libnetwork.profile import Profile

VXLAN_ID_LIST = "com.docker.network.driver.overlay.vxlanid_list"
ENCRYPTED = "encrypted"
_GC_THRESHOLDS = {"gc_thresh1": 8192, "gc_thresh2": 49152, "gc_thresh3": 65536}


@define(eq=False)
class _Tunnels:
    """The functions of one overlay network that its peer database calls (see `peers.Tunnels`)."""

    driver: OverlayDriver
    network: OverlayNetwork

    def tunnel_to(self, address: Address, length: int) -> Vxlan | None:
        """Return the VXLAN device of the subnet that contains `address`, creating it if missing.

        `length` is the prefix length of the subnet. Return `None` if the network has no namespace.
        """
        if self.network.namespace is None:
            return None
        subnet = self.network.subnet_of(address, length)
        if subnet is None:
            raise SystemFault(
                f'couldn\'t find the subnet "{format_ip(address)}/{length}" in network "{self.network.id}"'
            )
        if subnet.vxlan is None:
            self.driver.open(self.network, subnet)
        return subnet.vxlan

    def existing_tunnel(self, address: Address, length: int) -> Vxlan | None:
        """Return the VXLAN device of the subnet that contains `address`, or `None` if it does not exist."""
        subnet = self.network.subnet_of(address, length)
        return None if subnet is None else subnet.vxlan

    def secure(self, vtep: Address) -> None:
        """If the network is encrypted, set up IPsec with another node, whose tunnel endpoint is `vtep`."""
        if self.network.is_encrypted:
            self.driver.encryption.secure(vtep)

    def release(self, vtep: Address) -> None:
        """Release one peer's use of the IPsec states with the node whose tunnel endpoint is `vtep`."""
        if self.network.is_encrypted:
            self.driver.encryption.release(vtep)


@define(eq=False)
class OverlayDriver:
    """The overlay driver of one machine.

    `log` is called with each log line of the daemon. With `uses_nftables` firewall rules are nftables rules instead
    of iptables rules. `address` and `port` are the source address and the UDP port of this host's tunnels; `address`
    is `None` until this host joins a swarm.
    """

    machine: Machine
    profile: Profile
    log: Callable[[str], None] = field(default=lambda _: None, repr=False)
    uses_nftables: bool = False
    name: str = field(default="overlay", init=False)
    capability: Capability = field(default=Capability(GLOBAL_SCOPE, GLOBAL_SCOPE), init=False)
    tables: tuple[str, ...] = field(default=(PEER_TABLE,), init=False)
    networks: dict[str, OverlayNetwork] = field(factory=dict, init=False, repr=False)
    address: Address | None = field(default=None, init=False)
    port: int = field(default=VXLAN_PORT, init=False)
    encryption: Encryption = field(init=False, repr=False)
    _stale_namespaces: dict[int, str] | None = field(default=None, init=False, repr=False)
    _peers: dict[str, PeerDatabase] = field(factory=dict, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        root = self.machine.root
        rules = NftablesEncryptionRules(root) if self.uses_nftables else IptablesEncryptionRules(root)
        self.encryption = Encryption(root, self.log, self.profile.overlay_peers_by_address, rules)

    # --- data path

    def data_path_set(self, address: Address, bind: Address, port: int) -> None:
        """Set the source address (`address`) and the UDP port of this host's tunnels.

        `bind` is this host's own address in the swarm, which IPsec uses.
        """
        self.address, self.port = address, port
        self.encryption.vtep, self.encryption.bind, self.encryption.port = address, bind, port

    def keys_set(self, keys: Sequence[tuple[bytes, int]]) -> None:
        """Replace all keys. The first key is the primary one, with which packets are encrypted."""
        self.encryption.set_keys([Key(*pair) for pair in keys])

    def keys_updated(
        self, new: tuple[bytes, int] | None, primary: tuple[bytes, int] | None, pruned: tuple[bytes, int] | None
    ) -> None:
        """Rotate the keys: add the key `new`, make `primary` the primary key, and remove the key `pruned`.

        An argument that is `None` skips its step. Raises `InvalidParameter` if the arguments do not match the present
        keys.
        """
        self.encryption.update_keys(*(None if pair is None else Key(*pair) for pair in (new, primary, pruned)))

    # --- networks

    def create_network(self, request: NetworkRequest) -> None:
        """Register a network. Its devices are created when an endpoint joins.

        Raises `InvalidParameter` if there is no IPv4 pool, `SystemFault` for other invalid requests, e.g. if there
        are fewer VNIs than pools.
        """
        if not request.id:
            raise SystemFault("invalid network id")
        if not request.ipv4 or str(request.ipv4[0].pool) == "0.0.0.0/0":
            raise InvalidParameter("ipv4 pool is empty")
        vnis = self._vnis(request)
        mtu = _mtu(request.options.get(DRIVER_MTU))
        if len(vnis) < len(request.ipv4):
            raise SystemFault(f"insufficient vnis({len(vnis)}) passed to overlay")
        if request.id in self.networks:
            raise SystemFault(f"attempt to create overlay network {request.id} that already exists")
        self._raise_thresholds()
        subnets = [Subnet(vni, info.pool, info.gateway) for vni, info in zip(vnis, request.ipv4, strict=False)]
        network = OverlayNetwork(
            self.machine, self.machine.random, request.id, request.name, subnets, mtu, ENCRYPTED in request.options
        )
        self.networks[request.id] = network
        if not network.is_encrypted:
            # If an earlier encrypted network had the same VNI and its firewall rules are still there, they would drop
            # this network's packets.
            for vni in vnis:
                self.encryption.remove_rules(vni)
        tunnels = _Tunnels(self, network)
        kind: type[PeerDatabase] = PeersByAddress if self.profile.overlay_peers_by_address else PeersByPair
        self._peers[request.id] = kind.of_network(self.machine.clock, request.id, tunnels, self.log)

    def _vnis(self, request: NetworkRequest) -> list[int]:
        text = request.options.get(VXLAN_ID_LIST)
        if text is None:
            raise SystemFault("no VNI provided")
        vnis: list[int] = []
        for word in text.split(","):
            if not is_number(word):
                raise SystemFault(f'invalid vxlan id value "{word}" passed')
            vnis.append(int(word))
        return vnis

    def _raise_thresholds(self) -> None:
        """Raise the size limits of the host's neighbour table if they are too low for large networks."""
        root = self.machine.root
        for name, least in _GC_THRESHOLDS.items():
            key = f"net.ipv4.neigh.default.{name}"
            if int(root.sysctl_get(key)) < least:
                root.sysctl_set(key, str(least))

    def delete_network(self, network_id: str) -> None:
        """Delete a network. Raises `SystemFault` if it does not exist."""
        network = self._network(network_id)
        for endpoint in network.endpoints.values():
            network.unplug(endpoint)
        network.close()
        if network.is_encrypted:
            for subnet in network.subnets:
                self.encryption.remove_rules(subnet.vni)
        del self.networks[network_id]
        self._peers.pop(network_id).clear()

    def _network(self, network_id: str) -> OverlayNetwork:
        network = self.networks.get(network_id)
        if network is None:
            raise SystemFault(f'network "{network_id}" not found')
        return network

    def open(self, network: OverlayNetwork, subnet: Subnet) -> None:
        """Create the devices of `subnet` that are missing, and the network's namespace if it is missing.

        In a new namespace, write the neighbour and FDB entries of the network's peers to the kernel.
        """
        if subnet.vxlan is None:
            self._remove_stale_vxlan(subnet.vni)
            self._program_encryption_rules(network, subnet.vni)
        family = 6 if self.address is not None and len(self.address) == 16 else 4
        if network.open(subnet, family=family, port=self.port):
            self._peers[network.id].reset_kernel_state()
            self._peers[network.id].program_all()

    def _program_encryption_rules(self, network: OverlayNetwork, vni: int) -> None:
        """Install or delete the rules that drop cleartext packets of an encrypted network.

        They are installed if the network is encrypted, otherwise deleted. Raises `SystemFault` if a rule cannot be
        installed.
        """
        if not network.is_encrypted:
            self.encryption.remove_rules(vni)
            return
        self.encryption.program_rules(vni)

    def _remove_stale_vxlan(self, vni: int) -> None:
        """Destroy the namespace from an earlier run of the daemon that contains a VXLAN device with this VNI, if any.

        The namespaces are searched only once during a run.
        """
        if self._stale_namespaces is None:
            self._stale_namespaces = {
                device.vni: path
                for path, namespace in overlay_namespaces(self.machine)
                for device in namespace.devices.values()
                if isinstance(device, Vxlan)
            }
        namespace = self.machine.namespaces.pop(self._stale_namespaces.pop(vni, ""), None)
        if namespace is not None:
            namespace.destroy()

    # --- endpoints

    def create_endpoint(
        self, network_id: str, endpoint_id: str, interface: EndpointInterface, options: EndpointOptions
    ) -> None:
        """Register an endpoint. If no MAC address was requested, derive it from the IPv4 address.

        Raises `SystemFault` if the endpoint has no IPv4 address in a subnet of the network.
        """
        network = self._network(network_id)
        if interface.ipv4 is None:
            raise SystemFault("create endpoint was not passed interface IP address")
        address, length = interface.ipv4
        if network.subnet_of(address, length) is None:
            raise SystemFault(f'no matching subnet for IP "{format_ip(address)}/{length}" in network "{network_id}"')
        if interface.mac is None:
            interface.mac = b"\x02\x42" + address[-4:]
        interface_name = options.driver_opts.get(ENDPOINT_IFNAME, "") if self.profile.has_endpoint_ifname else ""
        network.endpoints[endpoint_id] = OverlayEndpoint(endpoint_id, address, length, interface.mac, interface_name)

    def delete_endpoint(self, network_id: str, endpoint_id: str) -> None:
        """Delete an endpoint and its veth pair."""
        network = self._network(network_id)
        endpoint = self._endpoint(network, endpoint_id)
        del network.endpoints[endpoint_id]
        network.unplug(endpoint)

    def _endpoint(self, network: OverlayNetwork, endpoint_id: str) -> OverlayEndpoint:
        endpoint = network.endpoints.get(endpoint_id)
        if endpoint is None:
            raise SystemFault(f'endpoint id "{endpoint_id}" not found')
        return endpoint

    def operational_info(self, network_id: str, endpoint_id: str) -> dict[str, Any]:
        """Return an empty dict, as in moby."""
        self._endpoint(self._network(network_id), endpoint_id)
        return {}

    def join(self, network_id: str, endpoint_id: str, sandbox: SandboxContext, info: JoinInfo) -> None:
        """Connect the endpoint to its subnet's bridge by a veth pair.

        A table entry, added to `info`, publishes the endpoint's address and this node's tunnel endpoint to the other
        nodes. Raises `SystemFault` if a device cannot be created, or if the tunnel endpoint's address or the keys of
        an encrypted network are not known yet.
        """
        del sandbox  # the caller moves the interface there
        network = self._network(network_id)
        endpoint = network.endpoints.get(endpoint_id)
        if endpoint is None:
            raise SystemFault(f"could not find endpoint with id {endpoint_id}")
        if network.is_encrypted and not self.encryption.keys:
            raise SystemFault("cannot join secure network: encryption keys not present")
        if network.is_encrypted and not is_available():
            raise SystemFault(
                "cannot join secure network: required modules to install IPSEC rules are missing on host"
            )
        subnet = network.subnet_of(endpoint.address, endpoint.length)
        if subnet is None:
            raise SystemFault(f"could not find subnet for endpoint {endpoint_id}")
        if self.address is None:
            raise SystemFault("overlay: the local data-plane address is not currently known")
        try:
            self.open(network, subnet)
        except SystemFault as error:
            raise SystemFault(f"network sandbox join failed: {error.message}") from error
        network.join_count += 1
        network.plug(endpoint, subnet)
        info.source_name = endpoint.interface_name
        info.destination_name = endpoint.requested_name
        assert subnet.gateway is not None
        for other in network.subnets:
            if other is not subnet:
                info.static_routes.append(StaticRoute(other.pool, subnet.gateway))
        self._peers[network_id].add(Peer(endpoint_id, endpoint.address, endpoint.length, endpoint.mac, None))
        if network.is_encrypted and not self.profile.overlay_peers_by_address:
            # A key rotation may have deleted the IPsec states towards the peers. The next join restores them.
            for vtep in self._peers[network_id].vteps():
                self.encryption.secure(vtep)
        shown = Peer(endpoint_id, endpoint.address, endpoint.length, endpoint.mac, self.address)
        info.table_entries.append(TableEntry(PEER_TABLE, endpoint_id, shown))

    def leave(self, network_id: str, endpoint_id: str) -> None:
        """Detach the endpoint. When the last endpoint on this node leaves, the network's namespace is deleted."""
        network = self._network(network_id)
        endpoint = self._endpoint(network, endpoint_id)
        self._peers[network_id].delete(Peer(endpoint_id, endpoint.address, endpoint.length, endpoint.mac, None))
        network.join_count -= 1
        if network.join_count <= 0:
            network.join_count = 0
            network.close()
            self._peers[network_id].reset_kernel_state()

    # --- peers on other nodes

    def table_changed(self, network_id: str, table: str, key: str, previous: Any, value: Any) -> None:  # noqa: ARG002
        """Handle a change of a table entry, which describes a peer: `previous` is the old value, `value` the new one.

        Write the peer's neighbour and FDB entries to the kernel, or remove them. Entries about this node's own
        endpoints are ignored.
        """
        if table != PEER_TABLE:
            self.log(f"Unexpected table notification for table {table} received")
            return
        peers = self._peers.get(network_id)
        old, new = self._peer(previous), self._peer(value)
        if peers is None or (old is not None and old == new):
            return
        if old is not None:
            peers.delete(old)
        if new is not None:
            peers.add(new)

    def _peer(self, value: Any) -> Peer | None:
        return value if isinstance(value, Peer) and value.vtep != self.address else None

    def decode_table_entry(self, table: str, key: str, value: Any) -> tuple[str, dict[str, str]]:
        """Return the id of a table entry's endpoint, and a dict with the address of the endpoint's host."""
        if table != PEER_TABLE or not isinstance(value, Peer) or value.vtep is None:
            self.log(f"DecodeTableEntry: unexpected table name {table}")
            return "", {}
        return key, {"Host IP": format_ip(value.vtep)}


def _mtu(text: str | None) -> int:
    if text is None:
        return 0
    try:
        mtu = atoi(text)
    except NumError as error:
        raise SystemFault(f"failed to parse {text}: {error}") from None
    if mtu < 0:
        raise SystemFault(f"invalid MTU value: {mtu}")
    return mtu
