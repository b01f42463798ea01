"""The default address pools, and the choice of a subnet from them.

Up to 26.1 the subnets are used in turn, in a fixed order; since 27.0 the lowest free subnet is used (moby
`libnetwork/ipamutils`, `libnetwork/ipam/allocator.go` v26.1.5, `ipams/defaultipam/address_space.go` v28.5.2 and
docker-v29.7.2).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import accumulate

from attrs import define, field, frozen

from cnmsim.errors import InvalidParameter
from cnmsim.kernel.address import Prefix, from_int
from cnmsim.libnetwork.profile import Profile


@frozen
class PoolBase:
    """An address block that is divided into subnets of prefix length `size`."""

    base: Prefix
    size: int

    @classmethod
    def parse(cls, base: str, size: int) -> PoolBase:
        """Parse one entry of `default-address-pools`. Raises `InvalidParameter` if `base` is not a prefix.

        Whether the base can be divided into subnets of the size is checked by `configured_pools`.
        """
        try:
            prefix = Prefix.parse(base, strict=False)
        except ValueError:
            raise InvalidParameter(f'invalid base pool "{base}": invalid CIDR address: {base}') from None
        if "/" not in base:
            raise InvalidParameter(f'invalid base pool "{base}": invalid CIDR address: {base}')
        return cls(prefix, size)

    @property
    def count(self) -> int:
        """The number of subnets in the block."""
        return 1 << (self.size - self.base.length)

    def subnet(self, index: int) -> Prefix:
        """Return the subnet with this index, counted from 0."""
        step = 1 << (len(self.base.network) * 8 - self.size)
        return Prefix(from_int(self.base.first_int + index * step, self.base.family), self.size)


def _bases(*entries: tuple[str, int]) -> tuple[PoolBase, ...]:
    return tuple(PoolBase(Prefix.parse(text), size) for text, size in entries)


#: Default pools of local networks: 31 subnets. 172.16.0.0/16 is not among them.
LOCAL_POOLS = _bases(
    ("172.17.0.0/16", 16),
    ("172.18.0.0/16", 16),
    ("172.19.0.0/16", 16),
    ("172.20.0.0/14", 16),
    ("172.24.0.0/14", 16),
    ("172.28.0.0/14", 16),
    ("192.168.0.0/16", 20),
)
#: Default pools of networks of global scope: 65536 subnets.
GLOBAL_POOLS = _bases(("10.0.0.0/8", 24))


def ula_pool(engine_id: str) -> PoolBase:
    """Return the default IPv6 pool of an engine: a unique local /48, divided into /64 subnets (RFC 4193 §3.2).

    The global id in its prefix is derived from `engine_id`.
    """
    global_id = sha256(engine_id.encode()).digest()[3:8]
    return PoolBase(Prefix(b"\xfd" + global_id + bytes(10), 48), 64)


def configured_pools(
    profile: Profile, pools: Iterable[PoolBase], engine_id: str | None = None
) -> tuple[PoolBase, ...]:
    """Return the address pools from which default subnets are taken: `pools` or, if that is empty, the default ones.

    `engine_id` is `None` for the pools of networks of global scope. For the others, releases with a default IPv6 pool
    add the one derived from `engine_id` if no IPv6 pool is in `pools`. Raises `InvalidParameter` if a pool cannot be
    divided into subnets of its size.
    """
    chosen = tuple(pools) or (GLOBAL_POOLS if engine_id is None else LOCAL_POOLS)
    for index, pool in enumerate(chosen):
        if pool.size >= pool.base.length and 0 < pool.size <= len(pool.base.network) * 8:
            continue
        if not profile.pools_are_sorted:
            raise InvalidParameter(f"invalid pools size: {pool.size}")
        raise InvalidParameter(
            f"network at index {index} ({pool.base}) has a smaller prefix (/{pool.base.length})"
            f" than the target size of that pool (/{pool.size})"
        )
    if engine_id is not None and profile.has_ula_pool and not any(pool.base.family == 6 for pool in chosen):
        chosen += (ula_pool(engine_id),)
    return _without_overlaps(chosen) if profile.pools_are_sorted else chosen


def _without_overlaps(pools: Sequence[PoolBase]) -> tuple[PoolBase, ...]:
    kept: list[PoolBase] = []
    for pool in sorted(
        pools, key=lambda pool_base: (pool_base.base.family, pool_base.base.first_int, pool_base.base.length)
    ):
        if not kept or not kept[-1].base.overlaps(pool.base):
            kept.append(pool)
    return tuple(kept)


@define
class RotatingPools:
    """Allocation of default subnets in turn (26.1). The position is kept as long as the daemon runs.

    The object is also a sequence of all subnets of `pools`.
    """

    pools: tuple[PoolBase, ...]
    _cursor: int = field(default=0, init=False)
    _ends: list[int] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._ends = list(accumulate(pool.count for pool in self.pools))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> Prefix:
        at = bisect_right(self._ends, index)
        return self.pools[at].subnet(index - (self._ends[at - 1] if at else 0))

    def choose(self, family: int, allocated: Sequence[Prefix]) -> Prefix | None:
        """Return the next free subnet of address family 4 or 6, and advance the position past it.

        The search continues at the first subnet after the last one. Return `None` if no subnet is free; the position
        is then unchanged. `allocated` are the prefixes that a free subnet must not overlap.
        """
        length = len(self)
        for offset in range(length):
            subnet = self[(self._cursor + offset) % length]
            if subnet.family == family and not any(subnet.overlaps(other) for other in allocated):
                moved = self._cursor + offset + 1
                self._cursor = 0 if moved >= length else moved
                return subnet
        return None


def lowest_gap(pools: Iterable[PoolBase], used: Iterable[Prefix]) -> Prefix | None:
    """Return the lowest subnet of the pools that overlaps nothing in `used` (28.5 and later).

    Return `None` if there is none. Of nested prefixes in `used` only the last one counts, as in the engine: with
    10.0.0.0/16 and 10.0.0.0/24 both in use, 10.0.1.0/24 is returned although the /16 contains it.
    """
    in_order = sorted(used, key=lambda prefix: (prefix.first_int, prefix.length))
    for pool in pools:
        overlapping = [prefix for prefix in in_order if prefix.overlaps(pool.base)]
        if any(prefix.length <= pool.base.length for prefix in overlapping):
            continue
        step = 1 << (len(pool.base.network) * 8 - pool.size)
        candidate = pool.base.first_int
        for prefix in overlapping:
            if candidate + step <= prefix.first_int:
                break
            candidate = (prefix.last_int + step) // step * step
        if candidate <= pool.base.last_int:
            return Prefix(from_int(candidate, pool.base.family), pool.size)
    return None


def resized(pools: Iterable[PoolBase], family: int, size: int) -> tuple[PoolBase, ...]:
    """Return the pools of address family 4 or 6, divided into subnets of prefix length `size`.

    Pools with a longer prefix than `size` are omitted. Used in 29 when a network requests the subnet `0.0.0.0/24`
    (here `size` is 24) or `::/64`.
    """
    return tuple(
        PoolBase(pool.base, size) for pool in pools if pool.base.family == family and pool.base.length <= size
    )


def host_exclusions(nameservers: Iterable[bytes], link_routes: Iterable[Prefix], family: int) -> list[Prefix]:
    """Return the prefixes on the host that automatically chosen subnets must not overlap.

    These are the host's nameservers and, for IPv4, the prefixes of its link-scope routes (`link_routes`). A default
    route is ignored.
    """
    excluded = {Prefix(address, len(address) * 8) for address in nameservers if (len(address) == 16) == (family == 6)}
    if family == 4:
        excluded.update(route for route in link_routes if route.family == 4 and route.length)
    return sorted(excluded, key=lambda prefix: (prefix.first_int, prefix.length))


def swarm_pools(pools: Iterable[str], size: int) -> tuple[PoolBase, ...]:
    """Parse the address pools of `swarm init`, e.g. `10.0.0.0/8`. Return the default pools if `pools` is empty.

    `size` is the prefix length of the subnets, 0 for the default. Raises `InvalidParameter` if `size` is greater than
    29, or if a pool is not a prefix or cannot be divided into such subnets.
    """
    texts = tuple(pools)
    if size > 29:
        raise InvalidParameter(f"subnet size is out of range: {size}")
    if not texts:
        return tuple(PoolBase(pool.base, size or pool.size) for pool in GLOBAL_POOLS)
    chosen = tuple(PoolBase.parse(text, size or 24) for text in texts)
    for text, pool in zip(texts, chosen, strict=True):
        if pool.size < pool.base.length:
            raise InvalidParameter(f'invalid CIDR: "{text}". Subnet size is too small for pool: {pool.size}')
    return chosen
