"""The swarms of a lab, for explanations: services, tasks, networks and nodes, and which nodes exchange gossip.

Everything is read from the leader's store and the nodes' gossip state when it is needed; nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from cnmsim.kernel.address import Address, parse_ip

if TYPE_CHECKING:
    from cnmsim.libnetwork.agent import Agent
    from cnmsim.swarm.objects import Service, Task
    from cnmsim.swarm.objects.service import PortConfig
    from cnmsim.swarm.store import Store

#: The time after which IPVS removes an idle TCP connection, in seconds (net/netfilter/ipvs/ip_vs_proto_tcp.c,
#: IP_VS_TCP_S_ESTABLISHED).
IDLE_S = 900


@frozen(eq=False)
class SwarmView:
    """One swarm. `store` is the store that its managers replicate; `agents` maps host names to members' agents.

    An agent is the part of libnetwork that takes part in gossip. `members` are the names of the swarm's hosts,
    `data_path_port` is the UDP port of its tunnels. `halted` maps members that were started but do not take part to
    the reason, e.g. a locked manager or an expired certificate. `without_mesh` are members with `firewall-backend:
    nftables`: the routing mesh needs the iptables chains of the bridge driver.
    """

    store: Store
    agents: dict[str, Agent]
    members: tuple[str, ...]
    data_path_port: int
    halted: dict[str, str] = field(factory=dict)
    without_mesh: frozenset[str] = frozenset()

    # ---- services

    def service(self, name: str) -> Service | None:
        """Return the service with a name; `None` if there is none.

        The name may also be `tasks.NAME`, or an alias of the service on a network.
        """
        bare = name.removeprefix("tasks.")
        found = self.store.services.by_name(bare)
        if found is not None:
            return found
        return next(
            (each for each in self.store.services if any(bare in config.aliases for config in each.networks)), None
        )

    def service_at(self, port: int, protocol: str) -> Service | None:
        """Return the service that publishes a port; `None` if there is none."""
        return next(
            (
                service
                for service in self.store.services
                for each in ports_of(service)
                if (each.published_port, each.protocol) == (port, protocol)
            ),
            None,
        )

    def service_of_address(self, address: Address) -> Service | None:
        """Return the service that has the virtual IP `address`, `None` if there is none."""
        for service in self.store.services:
            for vip in service.endpoint.virtual_ips if service.endpoint is not None else ():
                if vip.addr and parse_ip(vip.addr.partition("/")[0]) == address:
                    return service
        return None

    def running(self, service: Service) -> list[Task]:
        """Return the running tasks of a service, without those on nodes that are down."""
        from cnmsim.swarm.objects import TaskState

        return [
            task
            for task in self.store.tasks.by_service(service.id)
            if task.state is TaskState.RUNNING
            and task.desired_state is TaskState.RUNNING
            and not self.has_lost_node(task)
        ]

    def has_lost_node(self, task: Task) -> bool:
        """Return True if the node of a task is down or was removed."""
        from cnmsim.swarm.objects import NodeState

        node = self.store.nodes.get(task.node_id)
        return node is None or node.status.state is NodeState.DOWN

    def host_of(self, task: Task) -> str:
        """Return the host name of the node to which a task is assigned; the text `no node` if it is not assigned."""
        node = self.store.nodes.get(task.node_id)
        return node.hostname if node is not None else "no node"

    def hosts_of(self, service: Service) -> list[str]:
        """Return the names of the hosts that run a task of a service."""
        return list(dict.fromkeys(self.host_of(task) for task in self.running(service)))

    def networks_of(self, service: Service) -> list[str]:
        """Return the names of the networks to which a service's tasks are attached, without the ingress network."""
        found = (self.store.networks.get(config.target) for config in service.networks)
        return [network.name for network in found if network is not None]

    def is_attachable(self, network: str) -> bool:
        """Whether containers that are not tasks may join the network with this name."""
        found = self.store.networks.by_name(network)
        return found is not None and found.spec.attachable

    def backends(self, host: str, service: Service) -> int:
        """Return the number of real servers (tasks) for a service in the load balancers of a host.

        If the service is on several networks, this is the largest number on any of them.
        """
        agent = self.agents.get(host)
        known = agent.controller.discovery.services.items() if agent is not None else ()
        counts = [
            sum(not backend.is_disabled for backend in binding.backends.values())
            for (service_id, _ports), each in known
            if service_id == service.id
            for binding in each.networks.values()
        ]
        return max(counts, default=0)

    # ---- nodes

    @property
    def manager(self) -> str:
        """The host name of a manager, "" if there is none."""
        from cnmsim.swarm.objects import NodeRole

        return next((node.hostname for node in self.store.nodes if node.role is NodeRole.MANAGER), "")

    def role_of(self, host: str) -> str:
        """Return the role of a host in the swarm, `manager` or `worker`; "" if it is not a member."""
        node = next((node for node in self.store.nodes if node.hostname == host), None)
        return node.role.name.lower() if node is not None else ""

    def is_down(self, host: str) -> bool:
        """Whether the managers regard the node `host` as down."""
        from cnmsim.swarm.objects import NodeState

        return any(node.hostname == host and node.status.state is NodeState.DOWN for node in self.store.nodes)

    def hears(self, host: str, other: str) -> bool:
        """Return True if `host` receives the gossip of `other`.

        Return False if it does not, or if one of the two is not a member of the swarm.
        """
        mine, theirs = self.agents.get(host), self.agents.get(other)
        return mine is not None and theirs is not None and theirs.db.name in mine.db.nodes.active


def short_name(service: Service) -> str:
    """Return the name of a service without the name of its stack, as in the stack's file."""
    stack = (service.spec.annotations.labels or {}).get("com.docker.stack.namespace", "")
    return service.name.removeprefix(f"{stack}_")


def ports_of(service: Service) -> tuple[PortConfig, ...]:
    """Return the ports that a service publishes, with the port numbers that the swarm allocated."""
    return service.endpoint.ports if service.endpoint is not None else ()


def swarms_of(engines: Iterable[Any]) -> tuple[SwarmView, ...]:
    """Return the swarms of which these engines are members.

    A swarm is read from the store of its leader; without a leader, from the store of any manager.
    """
    members = [engine for engine in engines if engine.controller.cluster is not None]
    managing = [
        each.cluster.node.manager_node
        for each in members
        if each.cluster.node is not None and each.cluster.node.manager_node
    ]
    managing.sort(key=lambda manager: (not manager.raft.is_running, not manager.raft.is_leading))
    stores = list(dict.fromkeys(manager.store for manager in managing))
    found = []
    for store in stores:
        own = [each for each in members if each.cluster.node is not None and each.cluster.node.id in store.nodes]
        agents = {each.machine.name: each.controller.agent for each in own if each.controller.agent is not None}
        port = next((each.cluster.node.data_path_port for each in own if each.cluster.node.data_path_port), 4789)
        halted = {each.machine.name: each.cluster.obstacle for each in own if each.cluster.obstacle}
        without_mesh = frozenset(
            each.machine.name
            for each in own
            if each.config.iptables and each.config.uses_nftables(each.profile.has_firewall_backend)
        )
        hosts = tuple(each.machine.name for each in own)
        found.append(SwarmView(store, agents, hosts, port, halted, without_mesh))
    return tuple(found)


def needs_unlock(obstacle: str) -> bool:
    """Return True if `obstacle`, the error for which a member is halted, says that the member must be unlocked."""
    return "unlock" in obstacle
