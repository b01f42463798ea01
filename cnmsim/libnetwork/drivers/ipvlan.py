"""The ipvlan driver: containers have their own IP addresses but share the MAC address of a host interface.

Source: moby `daemon/libnetwork/drivers/ipvlan` (docker-v29.7.2), `libnetwork/drivers/ipvlan` of v26.1.5 and v28.5.2.
"""

from __future__ import annotations

from attrs import define, field, frozen

from cnmsim.errors import SystemFault
from cnmsim.kernel.device import Device
from cnmsim.kernel.ipvlan import Ipvlan, IpvlanFlag, IpvlanMode
from cnmsim.libnetwork.driver import EndpointInterface, JoinInfo, NetworkRequest, StaticRoute
from cnmsim.libnetwork.drivers.childdriver import ChildDriver, ChildEndpoint, ChildNetwork
from cnmsim.libnetwork.drivers.parentlink import dummy_name
from cnmsim.libnetwork.osl import IPV4_DEFAULT, IPV6_DEFAULT

PARENT, MODE, FLAG = "parent", "ipvlan_mode", "ipvlan_flag"


@frozen
class IpvlanOptions:
    """The parsed driver options of an ipvlan network. Unknown options are ignored."""

    parent: str
    mode: IpvlanMode
    flag: IpvlanFlag

    @property
    def is_routed(self) -> bool:
        """Whether the host routes packets for the containers, as in the modes l3 and l3s."""
        return self.mode is not IpvlanMode.L2


@define(eq=False)
class IpvlanDriver(ChildDriver[IpvlanOptions]):
    """The ipvlan driver of one machine."""

    name: str = field(default="ipvlan", init=False)
    dummy_prefix: str = field(default="di", init=False)

    def skip_gateway_allocation(self, request: NetworkRequest) -> tuple[bool, bool]:
        """Return a pair of flags (IPv4, IPv6). True: allocate a gateway address only if the user requested one.

        Both are True in mode l3 or l3s and for internal networks; from 29 on they are always True.
        """
        options, internal = self._settings(request)
        skip = options.is_routed or internal or self.profile.macvlan_skips_gateway
        return skip, skip

    def _read(self, options: dict[str, str]) -> IpvlanOptions:
        mode, flag = options.get(MODE, ""), options.get(FLAG, "")
        if mode not in {"", *(member.value for member in IpvlanMode)}:
            raise SystemFault(f"requested ipvlan mode '{mode}' is not valid, 'l2' mode is the ipvlan driver default")
        if flag not in {"", *(member.value for member in IpvlanFlag)}:
            raise SystemFault(f"requested ipvlan flag '{flag}' is not valid, 'bridge' is the ipvlan driver default")
        return IpvlanOptions(options.get(PARENT, ""), IpvlanMode(mode or "l2"), IpvlanFlag(flag or "bridge"))

    def _check_parent(self, network_id: str, parent: str, options: IpvlanOptions) -> None:
        del network_id, options
        for other in self._networks.values():
            if other.parent == parent:
                name = dummy_name(self.dummy_prefix, other.request.id)
                raise SystemFault(f"network {name} is already using parent interface {parent}")

    def _choose_mac(self, interface: EndpointInterface) -> None:
        if interface.mac is not None:
            raise SystemFault("ipvlan interfaces do not support custom mac address assignment")

    def _make_child(self, name: str, parent: Device, options: IpvlanOptions) -> Device:
        return Ipvlan(name, parent, options.mode, options.flag)

    def _set_gateways(self, network: ChildNetwork[IpvlanOptions], endpoint: ChildEndpoint, info: JoinInfo) -> None:
        if network.options.is_routed:
            info.disable_gateway_service = True
            if endpoint.ipv4 is not None:
                info.static_routes.append(StaticRoute(IPV4_DEFAULT))
            if endpoint.ipv6 is not None:
                info.static_routes.append(StaticRoute(IPV6_DEFAULT))
            return
        self._use_gateways(network, endpoint, info)
        if self.profile.macvlan_disables_gateway_service:
            info.disable_gateway_service = True
