"""The errors of IPAM. Each is of the class that it has in moby's `ipamapi`, which determines the HTTP status."""

from __future__ import annotations

from cnmsim.errors import Forbidden, InvalidParameter, NotFound, SystemFault, Unavailable
from cnmsim.kernel.address import Address, Prefix, format_ip
from cnmsim.libnetwork.profile import Profile


class PoolOverlap(Forbidden):
    """The requested subnet overlaps an allocated one (403)."""


class AddressInUse(Forbidden):
    """The requested address is allocated (403)."""


class NoAvailableAddresses(Unavailable):
    """No address of the pool, or of its ip-range, is free (503)."""


class AddressOutOfRange(InvalidParameter):
    """The requested address is not in the pool (400)."""


class PoolsExhausted(InvalidParameter):
    """No subnet of the default pools is free (400)."""


class PoolsExhaustedNotFound(NotFound):
    """No subnet of the default pools is free, as 26.1 reports it (404)."""


def pool_overlap(profile: Profile, subnet: Prefix) -> PoolOverlap:
    """Return the error for an overlapping subnet, with the message of the release `profile`."""
    return PoolOverlap(profile.pool_overlap_text).about(str(subnet))


def address_in_use(address: Address) -> AddressInUse:
    """Return the error for an allocated address."""
    return AddressInUse("Address already in use").about(format_ip(address))


def no_available_addresses() -> NoAvailableAddresses:
    """Return the error for an exhausted pool."""
    return NoAvailableAddresses("no available addresses on this pool")


def address_out_of_range(address: Address) -> AddressOutOfRange:
    """Return the error for an address outside its pool."""
    return AddressOutOfRange("requested address is out of range").about(format_ip(address))


def pools_exhausted(profile: Profile, family: int) -> PoolsExhausted | PoolsExhaustedNotFound:
    """Return the error for exhausted default pools of address family 4 or 6, as the release `profile` reports it."""
    text = profile.pools_exhausted_text.format(family=family)
    return PoolsExhaustedNotFound(text) if profile.pools_exhausted_is_not_found else PoolsExhausted(text)


def unknown_pool() -> InvalidParameter:
    """Return the error for an attempt to release a pool that is not allocated."""
    return InvalidParameter("address space does not contain specified address pool")


def bad_pool_request(space: str, pool: str, sub_pool: str, cause: str) -> SystemFault:
    """Return the error for a pool request that cannot be parsed, for the reason `cause`."""
    return SystemFault(
        f'failed to parse pool request for address space "{space}" pool "{pool}" subpool "{sub_pool}": {cause}'
    )
