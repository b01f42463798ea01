"""An overlay network on one node: a namespace with a bridge and a VXLAN device for each subnet in use.

The namespace exists while an endpoint of this node is joined. Source: moby
`daemon/libnetwork/drivers/overlay/{ov_network,ov_utils}.go` (docker-v29.7.2).
"""

from __future__ import annotations

from contextlib import suppress
from random import Random

from attrs import define, field

from cnmsim.errors import SystemFault
from cnmsim.kernel.address import Address, Mac, Prefix, format_ip
from cnmsim.kernel.bridge import Bridge
from cnmsim.kernel.device import Device, Veth
from cnmsim.kernel.errno_text import go_strerror
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.vxlan import Vxlan, VxlanConfig
from cnmsim.libnetwork.drivers.bridge.device import random_mac, veth_name

NETNS_FOLDER = "/var/run/docker/netns"
DEFAULT_MTU = 1500
#: VXLAN overhead in bytes: inner Ethernet 14, outer IPv4 20, UDP 8, VXLAN 8.
VXLAN_OVERHEAD = 50
#: ESP overhead in bytes: SPI 4, sequence number 4, IV 8, pad length 1, next header 1, ICV 8.
ESP_OVERHEAD = 26
_KEY_LENGTH = 12
_ID_IN_NAME = 5


@define(eq=False)
class Subnet:
    """One subnet of a network. Its devices exist while the subnet is in use on this node."""

    vni: int
    pool: Prefix
    gateway: Address | None
    bridge: Bridge | None = None
    vxlan: Vxlan | None = None


@define(eq=False)
class OverlayEndpoint:
    """An endpoint of this node.

    `length` is the prefix length of its address. `inside` is the container's end of its veth pair. `requested_name`
    is the interface name that the user requested for that end, "" for the default.
    """

    id: str
    address: Address
    length: int
    mac: Mac
    requested_name: str = ""
    interface_name: str = ""
    inside: Veth | None = None


@define(eq=False)
class OverlayNetwork:
    """An overlay network on this node.

    `path_mtu` is the MTU of the underlay, 0 for the default; `join_count` is the number of joined endpoints.
    """

    machine: Machine
    random: Random
    id: str
    name: str
    subnets: list[Subnet]
    path_mtu: int = 0
    is_encrypted: bool = False
    endpoints: dict[str, OverlayEndpoint] = field(factory=dict, init=False)
    namespace: NetworkNamespace | None = field(default=None, init=False)
    join_count: int = field(default=0, init=False)
    _epoch: int = field(default=0, init=False)
    _counters: dict[str, int] = field(factory=dict, init=False)

    @property
    def mtu(self) -> int:
        """The MTU of the containers' interfaces: the underlay's MTU minus the tunnel's overhead."""
        mtu = (self.path_mtu or DEFAULT_MTU) - VXLAN_OVERHEAD
        if self.is_encrypted:
            mtu -= ESP_OVERHEAD
            mtu -= mtu % 4
        return mtu

    @property
    def key(self) -> str:
        """The path of the file that keeps the network's namespace open."""
        return f"{NETNS_FOLDER}/{f'{self._epoch}-{self.id}'[:_KEY_LENGTH]}"

    def subnet_of(self, address: Address, length: int) -> Subnet | None:
        """Return the subnet that contains `address` and has the prefix length `length`; `None` if there is none."""
        for subnet in self.subnets:
            if subnet.pool.length == length and address in subnet.pool:
                return subnet
        return None

    # --- the namespace

    def open(self, subnet: Subnet, *, family: int, port: int) -> bool:
        """Create the namespace and the devices of `subnet` that are missing. Return `True` if the namespace is new.

        `family` is the address family (4 or 6) of the tunnels' outer addresses, `port` their UDP port. Raises
        `SystemFault` if a device cannot be created; the namespace is then deleted again if this call created it.
        """
        is_new = self.namespace is None
        if is_new:
            self._make_namespace()
        if subnet.vxlan is None:
            try:
                self._make_devices(subnet, family, port)
            except SystemFault as error:
                if is_new:
                    self.close()
                raise SystemFault(f'subnet sandbox join failed for "{subnet.pool}": {error.message}') from error
        return is_new

    def _make_namespace(self) -> None:
        self._epoch += 1
        self._remove_stale()
        namespace = self.machine.new_namespace(f"{self.machine.name}: overlay {self.name}")
        # A new namespace inherits the settings of the initial one (net.core.devconf_inherit_init_net).
        namespace.sysctl_set("net.ipv4.ip_forward", self.machine.root.sysctl_get("net.ipv4.ip_forward"))
        namespace.loopback.set_up()
        self.machine.pin_namespace(self.key, namespace)
        self.namespace = namespace

    def _remove_stale(self) -> None:
        """Delete namespaces of this network that an earlier run of the daemon left behind."""
        for path, namespace in overlay_namespaces(self.machine):
            if path.rpartition("-")[2] in self.id:
                del self.machine.namespaces[path]
                namespace.destroy()

    def _make_devices(self, subnet: Subnet, family: int, port: int) -> None:
        root, namespace = self.machine.root, self.namespace
        assert namespace is not None
        tail = self.id[:_ID_IN_NAME]
        bridge = Bridge(f"ov-{subnet.vni:06x}-{tail}", random_mac(self.random), root.clock, has_fixed_mac=False)
        bridge.txqueuelen = 0
        self._add(bridge, "br")
        try:
            if subnet.gateway is not None:
                address = f"{format_ip(subnet.gateway)}/{subnet.pool.length}"
                namespace.add_address(bridge, address, broadcast=subnet.pool.broadcast)
            bridge.set_up()
            subnet.vxlan = self._make_vxlan(subnet, bridge, family, port)
        except (OSError, SystemFault) as error:
            namespace.remove_device(bridge)
            if isinstance(error, SystemFault):
                raise
            raise SystemFault(
                f'bridge creation in sandbox failed for subnet "{subnet.pool}": {go_strerror(error)}'
            ) from None
        subnet.bridge = bridge

    def _make_vxlan(self, subnet: Subnet, bridge: Bridge, family: int, port: int) -> Vxlan:
        root, namespace = self.machine.root, self.namespace
        assert namespace is not None
        name = f"vx-{subnet.vni:06x}-{self.id[:_ID_IN_NAME]}"
        try:
            config = VxlanConfig(subnet.vni, port=port, proxy=True, l2miss=True, l3miss=True, family=family)
            vxlan = Vxlan.create(root, name, random_mac(self.random), config)
        except OSError as error:
            raise SystemFault(f"error creating vxlan interface: {go_strerror(error)}") from None
        vxlan.txqueuelen = 0
        try:
            vxlan.set_mtu(self.mtu)
            self._move(vxlan, "vxlan")
            bridge.add_port(vxlan)
            vxlan.set_up()
        except OSError as error:
            if vxlan.namespace is not None:
                vxlan.namespace.remove_device(vxlan)
            cause = f"failed to set link up: {go_strerror(error)}"
            text = f'vxlan interface creation failed for subnet "{subnet.pool}": {cause}'
            raise SystemFault(text) from None
        return vxlan

    def _next_name(self, prefix: str) -> str:
        # Interface numbers are never reused, because the records of interfaces stay until the namespace is deleted.
        number = self._counters.get(prefix, 0)
        self._counters[prefix] = number + 1
        return f"{prefix}{number}"

    def _add(self, device: Device, prefix: str) -> None:
        namespace = self.namespace
        assert namespace is not None
        namespace.add_device(device, self._next_name(prefix))
        with suppress(FileNotFoundError):  # there is no IPv6 on a device of so small an MTU
            namespace.sysctl_set(f"net.ipv6.conf.{device.name}.disable_ipv6", "1")

    def _move(self, device: Device, prefix: str) -> None:
        """Move a device from the host's namespace into the network's namespace, and name it `prefix` and a number."""
        root, namespace = self.machine.root, self.namespace
        assert namespace is not None
        root.move_device(device, namespace, self._next_name(prefix))
        with suppress(FileNotFoundError):  # there is no IPv6 on a device of so small an MTU
            namespace.sysctl_set(f"net.ipv6.conf.{device.name}.disable_ipv6", "1")

    def close(self) -> None:
        """Destroy the namespace with all devices in it."""
        namespace, self.namespace = self.namespace, None
        if namespace is None:
            return
        for subnet in self.subnets:
            if subnet.vxlan is not None and subnet.vxlan.namespace is not None:
                subnet.vxlan.namespace.remove_device(subnet.vxlan)
            subnet.bridge = subnet.vxlan = None
        self._counters.clear()
        self.machine.unpin_namespace(self.key)
        namespace.destroy()

    # --- veth pairs

    def plug(self, endpoint: OverlayEndpoint, subnet: Subnet) -> Veth:
        """Connect an endpoint to the subnet's bridge by a veth pair.

        Return the pair's container end, which stays in the host's namespace until libnetwork moves it.
        """
        root, bridge = self.machine.root, subnet.bridge
        assert bridge is not None
        outside_name, inside_name = veth_name(self.random, root), veth_name(self.random, root)
        outside, inside = Veth.pair(root.clock, outside_name, inside_name, random_mac(self.random), endpoint.mac)
        for end in (outside, inside):
            end.txqueuelen = 0
            end.set_mtu(self.mtu)
        root.add_device(inside)
        root.add_device(outside)
        self._move(outside, "veth")
        bridge.add_port(outside)
        outside.set_up()
        endpoint.inside, endpoint.interface_name = inside, inside_name
        return inside

    def unplug(self, endpoint: OverlayEndpoint) -> None:
        """Delete an endpoint's veth pair."""
        inside, endpoint.inside = endpoint.inside, None
        if inside is not None and inside.namespace is not None:
            inside.namespace.remove_device(inside)


def overlay_namespaces(machine: Machine) -> list[tuple[str, NetworkNamespace]]:
    """Return the namespaces of overlay networks on a machine, each with the path of its file."""
    namespaces = list(machine.namespaces.items())
    return [(path, namespace) for path, namespace in namespaces if "-" in path.rpartition("/")[2]]
