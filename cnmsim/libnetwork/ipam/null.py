"""The null IPAM driver: one pool, without addresses (moby `ipams/null`)."""

from __future__ import annotations

from collections.abc import Mapping

from cnmsim.errors import InvalidParameter
from cnmsim.kernel.address import Address, Prefix
from cnmsim.libnetwork.ipam.allocator import Pool, PoolRequest

NULL_POOL = Pool("null/0.0.0.0/0", Prefix.parse("0.0.0.0/0"))


class NullIpam:
    """An IPAM driver that allocates one pool without addresses."""

    @staticmethod
    def default_spaces() -> tuple[str, str]:
        """Return the name of the driver's address space twice: for local networks, and for global networks."""
        return "null", "null"

    @staticmethod
    def request_pool(request: PoolRequest) -> Pool:
        """Return the driver's only pool.

        Raises `InvalidParameter` if a subnet, an ip-range, another address space or IPv6 is requested.
        """
        if request.space != "null":
            raise InvalidParameter(f"unknown address space: {request.space}")
        if request.pool:
            raise InvalidParameter("null ipam driver does not handle specific address pool requests")
        if request.sub_pool:
            raise InvalidParameter("null ipam driver does not handle specific address subpool requests")
        if request.v6:
            raise InvalidParameter("null ipam driver does not handle IPv6 address pool pool requests")
        return NULL_POOL

    @staticmethod
    def release_pool(pool_id: str) -> None:
        """Do nothing for the driver's only pool. Raises `InvalidParameter` for any other."""
        _check(pool_id)

    @staticmethod
    def request_address(
        pool_id: str, address: Address | None = None, *, options: Mapping[str, str] | None = None
    ) -> None:
        """Return `None`: the pool has no addresses."""
        del address, options
        _check(pool_id)

    @staticmethod
    def release_address(pool_id: str, address: Address) -> None:
        """Do nothing."""
        del address
        _check(pool_id)


def _check(pool_id: str) -> None:
    if pool_id != NULL_POOL.id:
        raise InvalidParameter(f"unknown pool id: {pool_id}")
