"""IPAM: address pools, subnets and the addresses in them."""

from cnmsim.libnetwork.ipam.allocator import GLOBAL_SPACE, LOCAL_SPACE, Ipam, Pool, PoolStatus
from cnmsim.libnetwork.ipam.errors import (
    AddressInUse,
    AddressOutOfRange,
    NoAvailableAddresses,
    PoolOverlap,
    PoolsExhausted,
    PoolsExhaustedNotFound,
)
from cnmsim.libnetwork.ipam.null import NullIpam
from cnmsim.libnetwork.ipam.predefined import PoolBase, host_exclusions, swarm_pools, ula_pool

__all__ = [
    "GLOBAL_SPACE",
    "LOCAL_SPACE",
    "AddressInUse",
    "AddressOutOfRange",
    "Ipam",
    "NoAvailableAddresses",
    "NullIpam",
    "Pool",
    "PoolBase",
    "PoolOverlap",
    "PoolStatus",
    "PoolsExhausted",
    "PoolsExhaustedNotFound",
    "host_exclusions",
    "swarm_pools",
    "ula_pool",
]
