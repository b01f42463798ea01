"""What a network and its endpoints take from IPAM: pools with gateway and auxiliary addresses, then single addresses.

Source: moby `libnetwork/network.go` (`ipamAllocateVersion`, `ipamRelease`) and `libnetwork/endpoint.go`
(`assignAddressVersion`). A call that fails gives back what it took.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cnmsim.errors import EngineError, Forbidden, InvalidParameter, SystemFault
from cnmsim.kernel.address import Address, Prefix, format_ip, parse_ip
from cnmsim.libnetwork.driver import IpamInfo
from cnmsim.libnetwork.ipam.allocator import Ipam, Pool
from cnmsim.libnetwork.ipam.errors import NoAvailableAddresses
from cnmsim.libnetwork.options import IpamConfig


def allocate_network(
    ipam: Ipam,
    space: str,
    configs: Sequence[IpamConfig],
    *,
    family: int,
    skip_gateway: bool = False,
    serial: bool = False,
    exclude: Iterable[Prefix] = (),
) -> list[IpamInfo]:
    """Take the pools of one family for a network, with the gateway and auxiliary addresses of each.

    Without `configs` that is one default pool. `skip_gateway` leaves a pool without gateway unless one was asked
    for; `exclude` is as for `Ipam.request_pool`. Raises what IPAM raises, or `SystemFault`, `Forbidden` and
    `InvalidParameter` for gateway and auxiliary addresses.
    """
    held = tuple(exclude)
    taken: list[IpamInfo] = []
    try:
        for config in configs or (IpamConfig(),):
            pool = ipam.request_pool(space, config.subnet, config.ip_range, v6=family == 6, exclude=held)
            info = IpamInfo(pool.id, pool.prefix, ip_range=pool.ip_range)
            taken.append(info)
            gateway = None
            if config.gateway or not skip_gateway:
                gateway = _take_gateway(ipam, pool, config.gateway, serial)
            info = taken[-1] = IpamInfo(pool.id, pool.prefix, gateway, pool.ip_range)
            for name, text in config.aux_addresses.items():
                info.aux_addresses[name] = _take_auxiliary(ipam, pool, name, text)
    except EngineError:
        release_network(ipam, taken)
        raise
    return taken


def _take_gateway(ipam: Ipam, pool: Pool, text: str, serial: bool) -> Address:
    wanted: Address | None = None
    if text:
        try:
            wanted = parse_ip(text)
        except ValueError:
            raise InvalidParameter(f"invalid gateway address {text} in Ipam configuration") from None
    try:
        return ipam.request_address(pool.id, wanted, serial=serial)[0]
    except EngineError as error:
        raise SystemFault(f"failed to allocate gateway ({text}): {error.message}") from error


def _take_auxiliary(ipam: Ipam, pool: Pool, name: str, text: str) -> Address:
    try:
        address = parse_ip(text)
    except ValueError:
        raise InvalidParameter(f"non parsable secondary ip address ({name}:{text}) passed for network") from None
    if address not in pool.prefix:
        raise Forbidden(f"auxiliary address: ({name}:{text}) must belong to the master pool: {pool.prefix}")
    try:
        return ipam.request_address(pool.id, address)[0]
    except EngineError as error:
        raise SystemFault(f"failed to allocate secondary ip address ({name}:{text}): {error.message}") from error


def release_network(ipam: Ipam, infos: Iterable[IpamInfo]) -> None:
    """Give back the pools of a network with their gateways and auxiliary addresses."""
    for info in infos:
        if info.gateway is not None:
            ipam.release_address(info.pool_id, info.gateway)
        for address in info.aux_addresses.values():
            ipam.release_address(info.pool_id, address)
        ipam.release_pool(info.pool_id)


def allocate_endpoint_address(
    ipam: Ipam,
    infos: Sequence[IpamInfo],
    wanted: Address | None = None,
    *,
    family: int,
    endpoint: str,
    network: str,
    network_id: str,
    serial: bool = False,
) -> tuple[str, Address, int]:
    """Take an address for an endpoint out of the first pool that has one: pool id, address and prefix length.

    A `wanted` address is sought in the pools that hold it. Raises `InvalidParameter` if none does, `SystemFault` if
    all are used up, else what IPAM raises.
    """
    if not infos:
        raise SystemFault(f"no IPv{family} information available for endpoint {endpoint}")
    for info in infos:
        if wanted is not None and wanted not in info.pool:
            continue
        try:
            return info.pool_id, *ipam.request_address(info.pool_id, wanted, serial=serial)
        except NoAvailableAddresses:
            if wanted is not None:
                raise
    if wanted is not None:
        raise InvalidParameter(
            f"invalid address {format_ip(wanted)}: It does not belong to any of this network's subnets"
        )
    raise SystemFault(f"no available IPv{family} addresses on this network's address pools: {network} ({network_id})")
