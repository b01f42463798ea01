"""The address pools of one network: requested from IPAM at its creation, released at its deletion.

Source: moby `daemon/libnetwork/network.go` (ipamAllocate, ipamRelease), docker-v29.7.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

from attrs import define, evolve, field

from cnmsim.digits import is_number
from cnmsim.errors import EngineError, Forbidden, InvalidParameter, SystemFault
from cnmsim.kernel.address import Address, Prefix, format_ip, parse_ip
from cnmsim.kernel.machine import Machine
from cnmsim.libnetwork.driver import GLOBAL_SCOPE, Driver, IpamInfo, gateway_allocation
from cnmsim.libnetwork.ipam.allocator import Pool, PoolRequest
from cnmsim.libnetwork.ipam.errors import PoolOverlap, PoolsExhausted, PoolsExhaustedNotFound
from cnmsim.libnetwork.ipam.predefined import host_exclusions
from cnmsim.libnetwork.options import IpamConfig

if TYPE_CHECKING:
    from cnmsim.libnetwork.network import Network

_GATEWAY = "com.docker.network.gateway"
#: The options with which a gateway's address is requested (moby `ipamapi.RequestAddressType`).
_FOR_GATEWAY = {"RequestAddressType": _GATEWAY}


class Allocator(Protocol):
    """The interface of an IPAM driver: it allocates pools, and addresses in them."""

    def default_spaces(self) -> tuple[str, str]:
        """Return the names of two address spaces: that of local networks, and that of global networks."""

    def request_pool(self, request: PoolRequest) -> Pool:
        """Allocate the requested subnet or ip-range, or a subnet that the driver chooses."""

    def release_pool(self, pool_id: str) -> None:
        """Release a pool."""

    def request_address(
        self, pool_id: str, address: Address | None = None, *, options: Mapping[str, str] | None = None
    ) -> tuple[Address, int] | None:
        """Allocate `address`, or any free address if it is `None`. Return it with the prefix length of its subnet.

        Return `None` if the driver never assigns addresses (`null`). If the pool has no free address, raise an
        `EngineError`.
        """

    def release_address(self, pool_id: str, address: Address) -> None:
        """Release an address."""


@define
class NetworkIpam:
    """The IPAM allocations of one network, all in the address space `space`.

    `options` are sent with each pool request. Errors of failed releases are appended to `log`. `network` is the
    network's name for error messages. `pools4` and `pools6` are the allocated pools.
    """

    allocator: Allocator
    space: str
    options: Mapping[str, str] = field(factory=dict)
    log: list[str] = field(factory=list, repr=False)
    network: str = ""
    pools4: list[IpamInfo] = field(factory=list)
    pools6: list[IpamInfo] = field(factory=list)

    def allocate(
        self,
        configs: Sequence[IpamConfig],
        *,
        enable_ipv4: bool,
        enable_ipv6: bool,
        skip_gateway: tuple[bool, bool],
        excluded: dict[int, list[Prefix]],
    ) -> None:
        """Allocate every pool, gateway and auxiliary address that `configs` requests.

        Pools are allocated only for the enabled address families (`enable_ipv4`, `enable_ipv6`). `skip_gateway` is a
        pair of flags (IPv4, IPv6); True means that a gateway is allocated only if one was requested. `excluded`
        contains, by family (4, 6), the prefixes that an automatically chosen subnet must not overlap. If an
        allocation fails, its `EngineError` is raised and the other allocations are released.
        """
        with ExitStack() as undo:
            undo.callback(self.release)
            for family, enabled, skip, pools in (
                (4, enable_ipv4, skip_gateway[0], self.pools4),
                (6, enable_ipv6, skip_gateway[1], self.pools6),
            ):
                if not enabled:
                    continue
                of_family = [config for config in configs if _family(config) == family]
                for config in of_family or [IpamConfig()]:
                    self._allocate_pool(config, family, skip, excluded[family], pools)
            undo.pop_all()

    def _allocate_pool(
        self, config: IpamConfig, family: int, skip_gateway: bool, excluded: list[Prefix], pools: list[IpamInfo]
    ) -> None:
        pool = self.allocator.request_pool(
            PoolRequest(
                self.space, config.subnet, config.ip_range, v6=family == 6, exclude=excluded, options=self.options
            )
        )
        # Recorded before its addresses are requested, so that `release` releases the pool if that fails.
        pools.append(IpamInfo(pool.id, pool.prefix, None, pool.ip_range, space=self.space))
        gateway = None if config.gateway else _gateway_of(pool)
        if config.gateway or (gateway is None and not skip_gateway):
            gateway = self._allocate_gateway(pool, config.gateway)
        pools[-1] = evolve(pools[-1], gateway=gateway)
        auxiliary: dict[str, Address] = {}
        for key, text in config.aux_addresses.items():
            auxiliary[key] = self._allocate_auxiliary(pool, key, text)
            pools[-1] = evolve(pools[-1], aux_addresses=dict(auxiliary))

    def _allocate_gateway(self, pool: Pool, text: str) -> Address | None:
        requested = None
        if text:
            try:
                requested = parse_ip(text)
            except ValueError:
                raise InvalidParameter(f"invalid gateway address {text} in Ipam configuration") from None
        try:
            assigned = self.allocator.request_address(pool.id, requested, options=_FOR_GATEWAY)
        except EngineError as error:
            raise SystemFault(f"failed to allocate gateway ({text}): {error.message}") from None
        return assigned[0] if assigned is not None else None

    def _allocate_auxiliary(self, pool: Pool, key: str, text: str) -> Address:
        try:
            address = parse_ip(text)
        except ValueError:
            raise InvalidParameter(
                f"non parsable secondary ip address ({key}:{text}) passed for network {self.network}"
            ) from None
        if address not in pool.prefix:
            raise Forbidden(f"auxiliary address: ({key}:{text}) must belong to the master pool: {pool.prefix}")
        try:
            self.allocator.request_address(pool.id, address)
        except EngineError as error:
            raise SystemFault(
                f"failed to allocate secondary ip address ({key}:{format_ip(address)}): {error.message}"
            ) from None
        return address

    @property
    def is_replayed(self) -> bool:
        """Whether a daemon requests the pools of this network from IPAM again when it starts.

        False only for an IPAM plugin that does not require a replay.
        """
        return bool(getattr(self.allocator, "requires_replay", True))

    def as_configured(self, configs: Sequence[IpamConfig]) -> list[IpamConfig]:
        """Return `configs` with allocated gateways in place of missing ones.

        If no subnet of a family was requested, an entry for the family's first allocated pool takes the place of the
        request.
        """
        filled: list[IpamConfig] = []
        for family, pools in ((4, self.pools4), (6, self.pools6)):
            of_family = [config for config in configs if _family(config) == family]
            if len(of_family) <= 1 and not any(config.subnet for config in of_family):
                of_family = [IpamConfig(str(info.pool)) for info in pools[:1]]
            for config, info in zip(of_family, pools, strict=False):
                gateway = format_ip(info.gateway) if info.gateway is not None else ""
                filled.append(evolve(config, gateway=config.gateway or gateway))
        return filled

    def release(self) -> None:
        """Release all pools and addresses of the network."""
        for pools in (self.pools4, self.pools6):
            for info in pools:
                for address in (info.gateway, *info.aux_addresses.values()):
                    if address is not None:
                        self._try(self.allocator.release_address, info.pool_id, address)
                self._try(self.allocator.release_pool, info.pool_id)
            pools.clear()

    def _try(self, release: Callable[..., None], *arguments: object) -> None:
        """Call `release`, a function of the IPAM driver, with `arguments`. Errors are only logged."""
        try:
            release(*arguments)
        except EngineError as error:
            self.log.append(f"Failed to release {arguments[0]}: {error.message}")


def allocated(network: Network, driver: Driver) -> NetworkIpam:
    """Allocate the pools of a new network from its IPAM driver, and return the allocations.

    `driver` is the network driver, which may decide that no gateway is needed. Raises an `EngineError` with moby's
    message; then nothing is allocated.
    """
    controller, options = network.controller, network.options
    allocator = controller.ipam_driver(options.ipam_driver or "default")
    skip = (False, False)
    chooser = gateway_allocation(driver)
    if controller.profile.drivers_skip_gateway and chooser is not None:
        skip = chooser.skip_gateway_allocation(network.request())
    is_local = network.scope != GLOBAL_SCOPE
    space = allocator.default_spaces()[not is_local]
    ipam = NetworkIpam(allocator, space, options.ipam_options, controller.log, network.name)
    try:
        ipam.allocate(
            options.ipam_config,
            enable_ipv4=options.enable_ipv4 or not controller.profile.can_disable_ipv4,
            enable_ipv6=options.enable_ipv6,
            skip_gateway=skip,
            excluded=excluded_prefixes(controller.machine) if is_local else {4: [], 6: []},
        )
    except (PoolOverlap, PoolsExhausted, PoolsExhaustedNotFound) as error:
        # The engine's message does not name the conflicting network. A note (PEP 678) adds it without changing
        # the message.
        error.add_note(f"in use: {'; '.join(_pools_in_the_way(controller.networks, options.ipam_config))}")
        raise
    return ipam


def _pools_in_the_way(networks: Iterable[Network], configs: Sequence[IpamConfig]) -> list[str]:
    """Return a text for each allocated pool that overlaps a requested subnet, e.g. `172.18.0.0/16 by network a`.

    If no subnet was requested, return texts for all pools.
    """
    subnets = [subnet for config in configs if (subnet := _readable(config.subnet)) is not None]
    return [
        f"{info.pool} by network {network.name}"
        for network in networks
        for info in network.ipam_info
        if not subnets or any(info.pool.overlaps(subnet) for subnet in subnets)
    ]


def _readable(subnet: str) -> Prefix | None:
    try:
        return Prefix.parse(subnet, strict=False) if subnet else None
    except ValueError:
        return None


def _gateway_of(pool: Pool) -> Address | None:
    """Return the gateway of `pool` that an IPAM plugin chose; `None` if it chose none.

    Raises `InvalidParameter` if the plugin's text is not an address with a prefix length.
    """
    text = pool.data.get(_GATEWAY)
    if text is None:
        return None
    address, slash, length = text.partition("/")
    try:
        if slash and is_number(length):
            return parse_ip(address)
    except ValueError:
        pass
    raise InvalidParameter(
        f"failed to parse gateway address ({text}) returned by ipam driver: invalid CIDR address: {text}"
    )


def _family(config: IpamConfig) -> int:
    return 6 if ":" in (config.subnet or config.gateway or config.ip_range) else 4


def excluded_prefixes(machine: Machine) -> dict[int, list[Prefix]]:
    """Return, by family (4, 6), the prefixes that an automatically chosen subnet must not overlap on this host."""
    host = machine.root
    on_link = [route.prefix for route in host.routes4.routes if route.scope == "link"]
    servers = nameservers(machine)
    return {family: host_exclusions(servers, on_link, family) for family in (4, 6)}


def nameservers(machine: Machine) -> list[Address]:
    """Return the name servers in the host's resolv.conf."""
    if not machine.files.exists("/etc/resolv.conf"):
        return []
    servers = []
    for line in machine.files.read("/etc/resolv.conf").decode().splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            try:
                servers.append(parse_ip(words[1].partition("%")[0]))
            except ValueError:
                continue
    return servers
