"""The refusals of address management, each with the class that moby's `ipamapi` gives it."""

from __future__ import annotations

from cnmsim.errors import Forbidden, InvalidParameter, NotFound, SystemFault, Unavailable
from cnmsim.libnetwork.profile import Profile


class PoolOverlap(Forbidden):
    """The subnet asked for overlaps one already given out (403)."""


class AddressInUse(Forbidden):
    """The address asked for is taken (403)."""


class NoAvailableAddresses(Unavailable):
    """The pool, or the ip-range of it, is used up (503)."""


class AddressOutOfRange(InvalidParameter):
    """The address asked for is not in the pool (400)."""


class PoolsExhausted(InvalidParameter):
    """No default pool is left (400)."""


class PoolsExhaustedNotFound(NotFound):
    """No default pool is left, as 26.1 classes it (404)."""


def pool_overlap(profile: Profile) -> PoolOverlap:
    """Make the refusal of an overlapping subnet."""
    return PoolOverlap(profile.pool_overlap_text)


def address_in_use() -> AddressInUse:
    """Make the refusal of a taken address."""
    return AddressInUse("Address already in use")


def no_available_addresses() -> NoAvailableAddresses:
    """Make the refusal of a used-up pool."""
    return NoAvailableAddresses("no available addresses on this pool")


def address_out_of_range() -> AddressOutOfRange:
    """Make the refusal of an address outside its pool."""
    return AddressOutOfRange("requested address is out of range")


def pools_exhausted(profile: Profile, family: int) -> PoolsExhausted | PoolsExhaustedNotFound:
    """Make the refusal of a network for which no default pool is left."""
    text = profile.pools_exhausted_text.format(family=family)
    return PoolsExhaustedNotFound(text) if profile.pools_exhausted_is_not_found else PoolsExhausted(text)


def unknown_pool() -> InvalidParameter:
    """Make the refusal to release what is not given out."""
    return InvalidParameter("address space does not contain specified address pool")


def bad_pool_request(space: str, pool: str, sub_pool: str, cause: str) -> SystemFault:
    """Make the refusal of a pool request that cannot be read."""
    return SystemFault(
        f'failed to parse pool request for address space "{space}" pool "{pool}" subpool "{sub_pool}": {cause}'
    )
