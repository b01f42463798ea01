"""The macvlan driver: containers have their own MAC addresses on a host interface.

Source: moby `daemon/libnetwork/drivers/macvlan` (docker-v29.7.2), `libnetwork/drivers/macvlan` of v26.1.5 and
v28.5.2.
"""

from __future__ import annotations

from attrs import define, field, frozen

from cnmsim.errors import SystemFault
from cnmsim.kernel.device import Device
from cnmsim.kernel.macvlan import Macvlan, MacvlanMode
from cnmsim.libnetwork.driver import EndpointInterface, JoinInfo, NetworkRequest
from cnmsim.libnetwork.drivers.bridge.device import container_mac, random_mac
from cnmsim.libnetwork.drivers.childdriver import ChildDriver, ChildEndpoint, ChildNetwork
from cnmsim.libnetwork.drivers.parentlink import dummy_name

PARENT, MODE = "parent", "macvlan_mode"


@frozen
class MacvlanOptions:
    """The parsed driver options of a macvlan network. Unknown options are ignored."""

    parent: str
    mode: MacvlanMode


@define(eq=False)
class MacvlanDriver(ChildDriver[MacvlanOptions]):
    """The macvlan driver of one machine."""

    name: str = field(default="macvlan", init=False)
    dummy_prefix: str = field(default="dm", init=False)

    def skip_gateway_allocation(self, request: NetworkRequest) -> tuple[bool, bool]:
        """Return a pair of flags (IPv4, IPv6). True: allocate a gateway address only if the user requested one.

        Both are True for internal networks; from 29 on they are always True.
        """
        _, internal = self._settings(request)
        skip = internal or self.profile.macvlan_skips_gateway
        return skip, skip

    def _read(self, options: dict[str, str]) -> MacvlanOptions:
        mode = options.get(MODE, "")
        if mode not in {"", *(member.value for member in MacvlanMode)}:
            raise SystemFault(
                f"requested macvlan mode '{mode}' is not valid, 'bridge' mode is the macvlan driver default"
            )
        return MacvlanOptions(options.get(PARENT, ""), MacvlanMode(mode or "bridge"))

    def _check_parent(self, network_id: str, parent: str, options: MacvlanOptions) -> None:
        del network_id
        for other in self._networks.values():
            if other.parent != parent:
                continue
            if not self.profile.macvlan_shares_parent:
                name = dummy_name(self.dummy_prefix, other.request.id)
                raise SystemFault(f"network {name} is already using parent interface {parent}")
            using = f"macvlan network {other.request.id} is already using parent interface {parent}"
            if options.mode is MacvlanMode.PASSTHRU:
                raise SystemFault(f"cannot use mode passthru, {using}")
            if other.options.mode is MacvlanMode.PASSTHRU:
                raise SystemFault(f"{using} in mode passthru")

    def _choose_mac(self, interface: EndpointInterface) -> None:
        if interface.mac is None:
            address = interface.ipv4[0] if interface.ipv4 is not None else None
            interface.mac = container_mac(self.profile, address, self.machine.random)

    def _make_child(self, name: str, parent: Device, options: MacvlanOptions) -> Device:
        return Macvlan(name, random_mac(self.machine.random), parent, options.mode)

    def _set_gateways(self, network: ChildNetwork[MacvlanOptions], endpoint: ChildEndpoint, info: JoinInfo) -> None:
        self._use_gateways(network, endpoint, info)
        if self.profile.macvlan_disables_gateway_service:
            info.disable_gateway_service = True
