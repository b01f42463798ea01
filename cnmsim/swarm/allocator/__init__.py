"""Allocation: subnets, VXLAN ids, virtual addresses, task and node addresses, published ports (swarmkit `allocator`)."""

from cnmsim.swarm.allocator.allocator import Allocator
from cnmsim.swarm.allocator.networks import AllocationError, NetworkAllocator, is_ingress_needed
from cnmsim.swarm.allocator.ports import PortAllocator

__all__ = ["AllocationError", "Allocator", "NetworkAllocator", "PortAllocator", "is_ingress_needed"]
