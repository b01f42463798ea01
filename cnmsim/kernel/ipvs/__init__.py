"""IPVS, the load balancer of the Linux kernel (net/netfilter/ipvs): virtual services, destinations, connections."""

from __future__ import annotations

from cnmsim.kernel.ipvs.connection import IpvsConnection
from cnmsim.kernel.ipvs.hooks import Hooks
from cnmsim.kernel.ipvs.ipvs import Ipvs
from cnmsim.kernel.ipvs.service import Counters, Destination, Method, Service
from cnmsim.kernel.ipvs.state import IpvsState

__all__ = ["Counters", "Destination", "Hooks", "Ipvs", "IpvsConnection", "IpvsState", "Method", "Service"]
