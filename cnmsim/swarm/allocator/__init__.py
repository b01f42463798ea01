"""Allocation of subnets, VXLAN ids, addresses and published ports (moby/swarmkit `manager/allocator`)."""

from cnmsim.swarm.allocator.allocator import Allocator
from cnmsim.swarm.allocator.networks import AllocationError, NetworkAllocator, is_ingress_needed
from cnmsim.swarm.allocator.ports import PortAllocator

__all__ = ["AllocationError", "Allocator", "NetworkAllocator", "PortAllocator", "is_ingress_needed"]
