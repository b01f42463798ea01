"""Causes in swarm services and their tasks."""

from __future__ import annotations

from enum import Enum, auto

from attrs import frozen

from cnmsim.observe.diagnosis.causes.base import Cause


@frozen
class HostKnowsNoServices(Cause):
    """A host looked up the name of a swarm service, but only the resolver of containers resolves such names."""

    service: str


@frozen
class ServiceHasNoNetwork(Cause):
    """A container looked up the name of a service that is not attached to any network with name resolution.

    `networks` are the networks of the container that did the lookup.
    """

    service: str
    source: str
    networks: tuple[str, ...]


@frozen
class NoSharedServiceNetwork(Cause):
    """The container `source` cannot reach the service `service` because they share no network.

    `closed` is a network of the service that is not attachable: only tasks of services may join it, so `source`
    cannot. It is "" if there is no such network.
    """

    source: str
    networks: tuple[str, ...]
    service: str
    service_networks: tuple[str, ...]
    closed: str = ""


class TaskStatus(Enum):
    """Why a service has no running task."""

    SCALED_TO_ZERO = auto()
    NONE = auto()
    PENDING = auto()
    NEW = auto()
    NODE_DOWN = auto()
    STARTING = auto()
    OTHER = auto()


@frozen
class NoRunningTask(Cause):
    """The destination of the probe is a swarm service that has no running task.

    `detail` depends on `status`: the error of the task, the networks without a free address, or the node that is
    down. `state` is the state of the task. `reason` is what prevents the task from starting, e.g. a stale VXLAN
    device; it is `None` if it is not known.
    """

    service: str
    status: TaskStatus
    detail: str = ""
    state: str = ""
    reason: Cause | None = None


@frozen
class PortOfService(Cause):
    """The host refused the probe because the service that publishes the port has no running task.

    `reason` is the cause for which no task runs.
    """

    host: str
    port: int
    service: str
    reason: Cause


@frozen
class PublishedOnNodesOfTasks(Cause):
    """The host refused the probe because it runs no task of the service, which publishes the port in mode `host`.

    In that mode the port is open only on the nodes that run a task of the service, given in `nodes`.
    """

    host: str
    port: int
    service: str
    nodes: tuple[str, ...]


@frozen
class NoRoutingMesh(Cause):
    """The node refused the probe because it has no routing mesh, so it publishes no ports of swarm services.

    The mesh needs the bridge driver's iptables chains, which do not exist with `firewall-backend: nftables`.
    """

    host: str
    port: int


@frozen
class NotInSwarm(Cause):
    """The host refused the probe because it is not a member of the swarm whose service publishes the port."""

    host: str
    service: str
    port: int


@frozen
class BalancerHasNoTask(Cause):
    """A load balancer refused the connection because it has no real server for the service.

    `place` is the load balancer's namespace. `reason` is why it has none, `None` if unknown.
    """

    place: str
    service: str
    reason: Cause | None = None


@frozen
class ConnectionForgotten(Cause):
    """A load balancer reset a connection because IPVS had already removed its entry for that connection.

    IPVS removes an entry after `idle_s` idle seconds, and soon after the connection is closed.
    """

    place: str
    service: str
    idle_s: int
