"""The default IPAM driver: address spaces, the pools allocated from them, and the addresses allocated from pools.

All ip-ranges of a subnet share one set of addresses. Source: moby `libnetwork/ipam` (v26.1.5) and
`libnetwork/ipams/defaultipam` (v28.5.2, docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import define, field, frozen

from cnmsim.digits import is_number
from cnmsim.errors import InvalidParameter, NotFound, SystemFault
from cnmsim.kernel.address import Address, Prefix, from_int, to_int
from cnmsim.libnetwork.ipam import errors
from cnmsim.libnetwork.ipam.addrset import AddressSet
from cnmsim.libnetwork.ipam.predefined import (
    PoolBase,
    RotatingPools,
    configured_pools,
    lowest_gap,
    resized,
)
from cnmsim.libnetwork.profile import Profile

LOCAL_SPACE = "LocalDefault"
GLOBAL_SPACE = "GlobalDefault"
_UINT64_MAX = (1 << 64) - 1


@frozen
class Pool:
    """An allocated pool: a whole subnet, or an ip-range of one. `id` identifies the pool in later calls.

    `data` is additional data from an IPAM plugin.
    """

    id: str
    prefix: Prefix
    ip_range: Prefix | None = None
    data: Mapping[str, str] = field(factory=dict, hash=False)


@frozen
class PoolRequest:
    """A request for the subnet `pool`, or for its ip-range `sub_pool` (moby `ipamapi.PoolRequest`).

    If `pool` is "", the driver chooses an IPv4 subnet, with `v6` an IPv6 subnet, that overlaps nothing in `exclude`;
    a requested subnet may overlap it. `space` is one of the names that the driver's `default_spaces` returns.
    """

    space: str
    pool: str = ""
    sub_pool: str = ""
    v6: bool = field(default=False, kw_only=True)
    exclude: Sequence[Prefix] = field(default=(), kw_only=True)
    options: Mapping[str, str] = field(factory=dict, kw_only=True, hash=False)


@frozen
class PoolStatus:
    """Two numbers of addresses: those in use in a pool's subnet, and those free for automatic allocation in the pool.

    Each is at most 2**64 - 1.
    """

    ips_in_use: int
    dynamic_ips_available: int


@define
class _Subnet:
    """An allocated subnet with its addresses and ip-ranges.

    If `auto_release` is True, the subnet is released together with its last ip-range. `cursor` is the ordinal at
    which the serial search for a free address continues.
    """

    prefix: Prefix
    allocated: AddressSet
    ranges: set[Prefix] = field(factory=set)
    auto_release: bool = False
    cursor: int = 0
    #: How often an address was released that was not allocated. 26.1 counts each as one more free address.
    phantom_free: int = 0

    @classmethod
    def make(cls, prefix: Prefix, profile: Profile) -> _Subnet:
        host_bits = len(prefix.network) * 8 - prefix.length
        size = 1 << host_bits
        if prefix.family == 6:
            size = min(size, profile.ipv6_bitmap_ordinals)
        allocated = AddressSet(size)
        if prefix.family == 6 or host_bits > 1:
            allocated.add(0)
        if prefix.family == 4 and host_bits > 1:
            allocated.add(size - 1)
        return cls(prefix, allocated)

    def bounds(self, ip_range: Prefix | None) -> tuple[int, int]:
        """Return the first and the last ordinal of an ip-range. `None` stands for the whole subnet."""
        within = ip_range or self.prefix
        base = self.prefix.first_int
        return within.first_int - base, min(within.last_int - base, self.allocated.size - 1)


@define
class _AddressSpace:
    name: str
    pools: tuple[PoolBase, ...]
    rotating: RotatingPools | None
    subnets: dict[Prefix, _Subnet] = field(factory=dict)


class Ipam:
    """The default IPAM driver of one engine, or of a swarm's manager.

    `default_pools` are the pools for networks of local scope, `global_pools` those for networks of global scope.
    `None` means the engine's own defaults. The default IPv6 pool is derived from `engine_id`.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        default_pools: Sequence[PoolBase] | None = None,
        global_pools: Sequence[PoolBase] | None = None,
        engine_id: str = "",
    ) -> None:
        self.profile = profile
        local_bases = configured_pools(profile, default_pools or (), engine_id)
        global_bases = configured_pools(profile, global_pools or ())
        self._spaces: dict[tuple[str, int], _AddressSpace] = {}
        for name, pools in ((LOCAL_SPACE, local_bases), (GLOBAL_SPACE, global_bases)):
            for family in (4, 6):
                if family == 4 or profile.address_spaces_by_family:
                    space = _AddressSpace(name, pools, RotatingPools(pools) if profile.pools_rotate else None)
                self._spaces[name, family] = space

    @staticmethod
    def default_spaces() -> tuple[str, str]:
        """Return the names of two address spaces: that of local networks, and that of global networks."""
        return LOCAL_SPACE, GLOBAL_SPACE

    def default_pools(self, family: int) -> tuple[PoolBase, ...]:
        """Return the default pools of local networks for address family 4 or 6."""
        return tuple(pool for pool in self._spaces[LOCAL_SPACE, family].pools if pool.base.family == family)

    def request_pool(self, request: PoolRequest) -> Pool:
        """Allocate the requested subnet or ip-range, or a subnet of the default pools of the requested IP version.

        A requested IPv6 subnet needs `v6`, too: since 28 the allocator otherwise records it as an IPv4 subnet, and no
        address can be allocated from it. `options` have no effect. Raises `PoolOverlap` if a requested subnet
        overlaps an allocated one, the error of `pools_exhausted` if no subnet is free, or `SystemFault` for invalid
        text.
        """
        pool, sub_pool, family = request.pool, request.sub_pool, 6 if request.v6 else 4
        address_space = self._space(request.space, family)
        if not pool and sub_pool:
            raise errors.bad_pool_request(request.space, pool, sub_pool, "invalid address subpool")
        size = self._hinted_size(pool, sub_pool)
        if size is not None:
            return self._request_default(address_space, family, size, tuple(request.exclude))
        return self._request_subnet(address_space, pool, sub_pool)

    def _hinted_size(self, pool: str, sub_pool: str) -> int | None:
        """Return the prefix length in a request for any subnet of the default pools, e.g. 24 for `0.0.0.0/24`.

        Return 0 if `pool` is "": the subnet then has the length configured for its pool. Return `None` if `pool`
        requests a particular subnet.
        """
        if not pool:
            return 0
        if not self.profile.pool_size_hint or sub_pool:
            return None
        address, slash, length = pool.partition("/")
        is_hint = address in {"0.0.0.0", "::"} and slash and is_number(length)  # noqa: S104
        return int(length) if is_hint and int(length) <= (128 if ":" in address else 32) else None

    def _request_default(
        self, address_space: _AddressSpace, family: int, size: int, exclude: tuple[Prefix, ...]
    ) -> Pool:
        prefix = (
            self._choose_rotating(address_space, family, exclude)
            if address_space.rotating
            else self._choose_gap(address_space, family, size, exclude)
        )
        address_space.subnets[prefix] = _Subnet.make(prefix, self.profile)
        return Pool(f"{address_space.name}/{prefix}", prefix)

    def _choose_rotating(self, address_space: _AddressSpace, family: int, exclude: tuple[Prefix, ...]) -> Prefix:
        """Return the next subnet of the default pools that overlaps neither an allocated subnet nor `exclude` (26.1).

        The search position stored in `address_space` advances past the returned subnet, and past subnets skipped
        because of `exclude`. Raises the error of `pools_exhausted` if there is none.
        """
        assert address_space.rotating is not None
        held = list(address_space.subnets)
        while True:
            prefix = address_space.rotating.choose(family, held)
            if prefix is None:
                raise errors.pools_exhausted(self.profile, family)
            if not any(prefix.overlaps(excluded) for excluded in exclude):
                return prefix
            held.append(prefix)

    def _choose_gap(
        self, address_space: _AddressSpace, family: int, size: int, exclude: tuple[Prefix, ...]
    ) -> Prefix:
        pools = tuple(pool for pool in address_space.pools if pool.base.family == family)
        if size:
            pools = resized(pools, family, size)
        if not pools and self.profile.pool_size_hint:
            raise InvalidParameter("invalid address pool")
        used = [prefix for prefix in (*address_space.subnets, *exclude) if prefix.family == family]
        prefix = lowest_gap(pools, used)
        if prefix is None or prefix in address_space.subnets:
            raise errors.pools_exhausted(self.profile, family)
        return prefix

    def _request_subnet(self, address_space: _AddressSpace, pool: str, sub_pool: str) -> Pool:
        prefix = self._parse(address_space.name, pool, sub_pool, pool, "invalid address pool")
        if not sub_pool:
            if any(prefix.overlaps(other) for other in address_space.subnets):
                raise errors.pool_overlap(self.profile, prefix)
            address_space.subnets[prefix] = _Subnet.make(prefix, self.profile)
            return Pool(f"{address_space.name}/{prefix}", prefix)
        ip_range = self._parse(address_space.name, pool, sub_pool, sub_pool, "invalid address subpool")
        if ip_range.family != prefix.family:
            raise InvalidParameter("pool and subpool are of incompatible address families")
        if ip_range.length < prefix.length:
            ip_range = prefix
        if not prefix.overlaps(ip_range):
            raise errors.bad_pool_request(address_space.name, pool, sub_pool, "invalid address subpool")
        subnet = address_space.subnets.get(prefix)
        if subnet is None:
            subnet = address_space.subnets[prefix] = _Subnet.make(prefix, self.profile)
            subnet.auto_release = True
        elif ip_range in subnet.ranges:
            raise errors.pool_overlap(self.profile, prefix)
        subnet.ranges.add(ip_range)
        return Pool(f"{address_space.name}/{prefix}/{ip_range}", prefix, ip_range)

    @staticmethod
    def _parse(space: str, pool: str, sub_pool: str, text: str, cause: str) -> Prefix:
        try:
            if "/" in text:
                return Prefix.parse(text, strict=False)
        except ValueError:
            pass
        raise errors.bad_pool_request(space, pool, sub_pool, cause)

    def release_pool(self, pool_id: str) -> None:
        """Release a pool. A subnet stays allocated as long as one of its ip-ranges is allocated.

        Raises `InvalidParameter` if the pool is not allocated.
        """
        address_space, prefix, ip_range = self._parse_id(pool_id)
        subnet = address_space.subnets.get(prefix)
        if subnet is None or (ip_range is not None and ip_range not in subnet.ranges):
            raise errors.unknown_pool()
        if ip_range is None:
            subnet.auto_release = True
        else:
            subnet.ranges.discard(ip_range)
        if subnet.auto_release and not subnet.ranges:
            del address_space.subnets[prefix]

    def request_address(
        self,
        pool_id: str,
        address: Address | None = None,
        *,
        serial: bool = False,
        options: Mapping[str, str] | None = None,
    ) -> tuple[Address, int]:
        """Allocate an address of a pool. Return the address with the prefix length of its subnet.

        A requested `address` may be anywhere in the subnet. Without a request, the lowest free address of the pool's
        ip-range or subnet is allocated or, with `serial`, the next free one after the address allocated last in this
        way. Raises `AddressOutOfRange`, `AddressInUse` or `NoAvailableAddresses`.
        """
        del options
        subnet, ip_range = self._find(pool_id)
        if address is not None and address not in subnet.prefix:
            raise errors.address_out_of_range(address)
        allocated = subnet.allocated
        if self.profile.full_pool_hides_requested and len(allocated) >= allocated.size + subnet.phantom_free:
            raise errors.no_available_addresses()
        if address is not None:
            ordinal = to_int(address) - subnet.prefix.first_int
            try:
                if not allocated.add(ordinal):
                    raise errors.address_in_use(address)
            except ValueError as error:
                raise SystemFault(str(error)) from None
            return address, subnet.prefix.length
        ordinal = self._next_free(subnet, ip_range, serial)
        allocated.add(ordinal)
        subnet.cursor = ordinal + 1
        return from_int(subnet.prefix.first_int + ordinal, subnet.prefix.family), subnet.prefix.length

    def _next_free(self, subnet: _Subnet, ip_range: Prefix | None, serial: bool) -> int:
        low, high = subnet.bounds(ip_range)
        ordinal = None
        if serial and low < subnet.cursor <= high:
            ordinal = subnet.allocated.first_free(subnet.cursor, high)
        if ordinal is None:
            ordinal = subnet.allocated.first_free(low, high)
        if ordinal is None:
            raise errors.no_available_addresses()
        return ordinal

    def release_address(self, pool_id: str, address: Address) -> None:
        """Release an address. Raises `AddressOutOfRange` if it is outside the subnet.

        If the address is not allocated, 26.1 counts one more free address; later releases do nothing.
        """
        subnet, _ = self._find(pool_id)
        if address not in subnet.prefix:
            raise errors.address_out_of_range(address)
        if not subnet.allocated.discard(to_int(address) - subnet.prefix.first_int):
            subnet.phantom_free += 1

    def status(self, pool_id: str) -> PoolStatus:
        """Return the numbers of used and free addresses, as `network inspect` of 29 shows them for a pool."""
        subnet, ip_range = self._find(pool_id)
        low, high = subnet.bounds(ip_range)
        free = high - low + 1 - subnet.allocated.count_between(low, high)
        return PoolStatus(min(len(subnet.allocated), _UINT64_MAX), min(free, _UINT64_MAX))

    def _space(self, name: str, family: int) -> _AddressSpace:
        try:
            return self._spaces[name, family]
        except KeyError:
            raise InvalidParameter(f"cannot find address space {name}") from None

    def _parse_id(self, pool_id: str) -> tuple[_AddressSpace, Prefix, Prefix | None]:
        parts = pool_id.split("/")
        if len(parts) not in {3, 5}:
            raise InvalidParameter(f"invalid pool id: {pool_id}")
        try:
            prefix = Prefix.parse("/".join(parts[1:3]))
            ip_range = Prefix.parse("/".join(parts[3:])) if len(parts) == 5 else None
        except ValueError:
            raise InvalidParameter(f"invalid pool id: {pool_id}") from None
        return self._space(parts[0], prefix.family), prefix, ip_range

    def _find(self, pool_id: str) -> tuple[_Subnet, Prefix | None]:
        address_space, prefix, ip_range = self._parse_id(pool_id)
        subnet = address_space.subnets.get(prefix)
        if subnet is None or (ip_range is not None and ip_range not in subnet.ranges):
            raise NotFound(f"cannot find address pool for poolID:{prefix}/{ip_range or 'invalid Prefix'}")
        return subnet, ip_range
