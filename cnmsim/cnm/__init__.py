"""The container network model: the public classes of libnetwork, in one package.

An engine uses the same classes of `cnmsim.libnetwork`; this package adds only the names.

>>> from cnmsim.cnm import Controller
>>> controller = Controller()
>>> blue = controller.new_network("blue", subnet="172.18.0.0/16")
>>> a, b = controller.new_sandbox("a"), controller.new_sandbox("b")
>>> blue.create_endpoint("a", aliases=["a"]).join(a)
>>> blue.create_endpoint("b", aliases=["b"]).join(b)
>>> a.exec("ping -c 1 b").succeeded
True
"""

import cnmsim.lab  # noqa: F401 - registers the hosts and programs of `Controller()`
from cnmsim.kernel.command import ExecResult
from cnmsim.libnetwork.cluster import GossipCluster, join
from cnmsim.libnetwork.controller import Controller
from cnmsim.libnetwork.driver import (
    Capability,
    DataPath,
    Driver,
    EndpointInterface,
    ExternalConnectivity,
    GatewayAllocation,
    IpamInfo,
    IpamlessDriver,
    JoinInfo,
    NetworkRequest,
    NodeDiscovery,
    SandboxContext,
    StaticRoute,
    TableEntry,
    TableWatcher,
)
from cnmsim.libnetwork.drivers.registry import DriverHost
from cnmsim.libnetwork.endpoint import Endpoint
from cnmsim.libnetwork.endpoint_info import EndpointInfo
from cnmsim.libnetwork.events import CnmEvent, EventLog
from cnmsim.libnetwork.loadbalancer import Backend, LoadBalancerSandbox
from cnmsim.libnetwork.network import Network
from cnmsim.libnetwork.options import (
    EndpointOptions,
    IpamConfig,
    NetworkOptions,
    PortBinding,
    PortConfig,
    SandboxOptions,
    ServiceBinding,
    TransportPort,
)
from cnmsim.libnetwork.resolver import DnsAnswer, Resolver
from cnmsim.libnetwork.sandbox import Sandbox
from cnmsim.libnetwork.sandboxplace import SandboxInterface, SandboxRoute

__all__ = [
    "Backend",
    "Capability",
    "CnmEvent",
    "Controller",
    "DataPath",
    "DnsAnswer",
    "Driver",
    "DriverHost",
    "Endpoint",
    "EndpointInfo",
    "EndpointInterface",
    "EndpointOptions",
    "EventLog",
    "ExecResult",
    "ExternalConnectivity",
    "GatewayAllocation",
    "GossipCluster",
    "IpamConfig",
    "IpamInfo",
    "IpamlessDriver",
    "JoinInfo",
    "LoadBalancerSandbox",
    "Network",
    "NetworkOptions",
    "NetworkRequest",
    "NodeDiscovery",
    "PortBinding",
    "PortConfig",
    "Resolver",
    "Sandbox",
    "SandboxContext",
    "SandboxInterface",
    "SandboxOptions",
    "SandboxRoute",
    "ServiceBinding",
    "StaticRoute",
    "TableEntry",
    "TableWatcher",
    "TransportPort",
    "join",
]
