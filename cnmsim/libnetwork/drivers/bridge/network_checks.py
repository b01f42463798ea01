"""Checks of a new bridge network: its options, its address pools, and conflicts with the driver's other networks.

Source: moby `daemon/libnetwork/drivers/bridge/bridge_linux.go` (docker-v29.7.2) and `libnetwork/drivers/bridge/` of
v26.1.5 and v28.5.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cnmsim.errors import Forbidden, InvalidParameter, SystemFault
from cnmsim.kernel.address import Address
from cnmsim.kernel.bridge import Bridge
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.libnetwork.config import ipv6_subnet_fault
from cnmsim.libnetwork.driver import IpamInfo, NetworkRequest
from cnmsim.libnetwork.drivers.bridge.labels import BridgeOptions, GatewayMode, parse_options
from cnmsim.libnetwork.drivers.bridge.state import DEFAULT_GATEWAY4, DEFAULT_GATEWAY6, NetworkState
from cnmsim.libnetwork.profile import Profile


def checked_options(request: NetworkRequest, profile: Profile, host: NetworkNamespace) -> BridgeOptions:
    """Parse the options of the network that `request` creates, and check them by the rules of the release `profile`.

    The order of the checks is that of moby's `parseNetworkOptions`. `host` is the host's namespace. Raises an
    `EngineError` with the driver's message if an option is invalid or the bridge's name belongs to another device.
    """
    options = parse_options(request.options, network_id=request.id, profile=profile)
    existing = host.devices.get(options.bridge_name)
    if existing is not None and not isinstance(existing, Bridge):
        raise SystemFault(f"existing interface {options.bridge_name} is not a bridge")
    if not request.internal and GatewayMode.ISOLATED in {options.mode4, options.mode6}:
        raise InvalidParameter("gateway mode 'isolated' can only be used for an internal network")
    return options


def checked_pools(request: NetworkRequest, profile: Profile) -> tuple[IpamInfo | None, IpamInfo | None]:
    """Return the IPv4 and the IPv6 pool of a network, each `None` if the family is disabled.

    Raises `InvalidParameter` for an invalid pool or gateway, `Forbidden` for several pools of a family.
    """
    wants4 = request.enable_ipv4 or not profile.can_disable_ipv4
    if not wants4 and not request.enable_ipv6:
        raise InvalidParameter("IPv4 or IPv6 must be enabled")
    if len(request.ipv4) > 1 or len(request.ipv6) > 1:
        raise Forbidden("bridge driver doesn't support multiple subnets")
    pools: list[IpamInfo | None] = []
    for family, is_enabled, infos, key in (
        (4, wants4, request.ipv4, DEFAULT_GATEWAY4),
        (6, request.enable_ipv6, request.ipv6, DEFAULT_GATEWAY6),
    ):
        if is_enabled and profile.can_disable_ipv4:
            require_pool(family, infos)
        info = infos[0] if infos and infos[0].pool.length else None
        if is_enabled and info is not None and family == 6:
            _check_ipv6_subnet(info, profile)
        if is_enabled and info is not None and key in info.aux_addresses:
            _check_gateway(request, info, info.aux_addresses[key])
        pools.append(info if is_enabled else None)
    return pools[0], pools[1]


def require_pool(family: int, infos: Sequence[IpamInfo]) -> None:
    """Raise `InvalidParameter` if there is no pool of address family 4 or 6 in `infos`."""
    if not (infos and infos[0].pool.length):
        raise InvalidParameter(f"ipv{family} pool is empty")


def _check_ipv6_subnet(info: IpamInfo, profile: Profile) -> None:
    shown = info.gateway_interface if info.gateway is not None else str(info.pool)
    if fault := ipv6_subnet_fault(profile, info.pool, shown):
        raise InvalidParameter(fault)


def _check_gateway(request: NetworkRequest, info: IpamInfo, gateway: Address) -> None:
    if request.internal:
        raise InvalidParameter("no gateway can be set on an internal bridge network")
    if gateway not in info.pool:
        raise InvalidParameter("default gateway ip must be part of the network")


def check_conflicts(
    request: NetworkRequest,
    options: BridgeOptions,
    ipv4: IpamInfo | None,
    ipv6: IpamInfo | None,
    others: Iterable[NetworkState],
) -> None:
    """Raise `Forbidden` if a new network conflicts with one of `others`: by the name of its bridge, or by its pools.

    `options`, `ipv4` and `ipv6` are the new network's options and pools.
    """
    for other in others:
        reason = ""
        if other.options.bridge_name == options.bridge_name:
            reason = "networks have same bridge name"
        elif _overlap(ipv4, other.ipv4):
            reason = "networks have overlapping IPv4"
        elif _overlap(ipv6, other.ipv6):
            reason = "networks have overlapping IPv6"
        if reason:
            raise Forbidden(
                f"cannot create network {request.id} ({options.bridge_name}): conflicts with network "
                f"{other.request.id} ({other.options.bridge_name}): {reason}"
            )


def _overlap(one: IpamInfo | None, other: IpamInfo | None) -> bool:
    return one is not None and other is not None and one.pool.overlaps(other.pool)
