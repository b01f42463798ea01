"""The leader's allocator: assigns addresses, VXLAN ids and ports to new objects, and releases those of deleted ones.

The objects are networks, services, tasks and nodes. A new task stays in state NEW until the allocator has given it
addresses and set its state to PENDING; only then does the scheduler consider it. A failed allocation is retried when
something is deallocated, or with the first change of the store after five minutes. Source: moby/swarmkit
`manager/allocator/network.go`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import evolve

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.libnetwork.profile import Profile
from cnmsim.swarm.allocator.bitmap import BitUnavailable
from cnmsim.swarm.allocator.networks import AllocationError, NetworkAllocator, driver_of, is_ingress_needed
from cnmsim.swarm.allocator.ports import PortAllocator
from cnmsim.swarm.objects import (
    Endpoint,
    EndpointSpec,
    Network,
    NetworkAttachment,
    Node,
    PublishMode,
    Service,
    Task,
    TaskState,
    TaskStatus,
    VirtualIp,
)
from cnmsim.swarm.store import Event, EventKind, Store
from cnmsim.swarm.store.loop import StoreLoop

_RETRY_NS = 300 * NS_PER_S
ALLOCATED_MESSAGE = "pending task scheduling"


class Allocator(StoreLoop):
    """The allocator of the leader.

    `failures` maps the id of each object whose allocation failed to the error text.
    """

    def __init__(self, store: Store, profile: Profile) -> None:
        cluster = store.cluster
        super().__init__(store)
        #: Allocates subnets, VXLAN ids and addresses.
        self.networks = NetworkAllocator(profile, cluster.default_address_pool or (), cluster.subnet_size)
        #: Allocates published ports.
        self.ports = PortAllocator()
        self._ingress: Network | None = None
        #: Ids of nodes that need an address on a new ingress network. A node gets it at the next change of the node
        #: or of one of its tasks.
        self._nodes_without_ingress: set[str] = set()
        self._unallocated_networks: dict[str, None] = {}
        self._unallocated_services: dict[str, None] = {}
        self._unallocated_tasks: dict[str, None] = {}
        self._last_retry_ns = store.now_ns
        self._something_was_deallocated = False
        self.failures: dict[str, str] = {}

    def start(self) -> None:
        """Restore the allocations that the store contains, allocate what is missing, and subscribe to changes."""
        self._restore()
        self._watch = self._store.watch(self._on_changes, Network, Service, Task, Node)

    # ---- restoring

    def _restore(self) -> None:
        """Restore existing allocations before making new ones, so that nothing is allocated twice.

        The ingress network comes first.
        """
        store = self._store
        ingress = next((network for network in store.networks if network.is_ingress), None)
        if ingress is not None:
            self._ingress = self._allocate_network(ingress) or ingress
        for restoring in (True, False):
            for network in store.networks:
                has_state = network.driver_state is not None and network.ipam is not None
                if not self.networks.is_allocated(network.id) and (has_state or not restoring):
                    self._allocate_network(network)
            self._update_nodes((node.id for node in store.nodes), restoring=restoring)
            for service in store.services:
                if restoring:
                    self._restore_service(service)
                elif not self._is_service_allocated(service):
                    self._allocate_service(service)
            if restoring:
                self._restore_tasks()
        self._allocate_tasks([task.id for task in store.tasks if task.state < TaskState.PENDING])

    def _restore_service(self, service: Service) -> None:
        """Mark a service's recorded ports and virtual IPs as allocated, even if its spec no longer requests them."""
        if service.endpoint is None:
            return
        try:
            self.ports.restore(service.endpoint.ports)
        except BitUnavailable as error:
            self.failures[service.id] = str(error)
            return
        try:
            self.networks.restore_vips(service.id, service.endpoint.virtual_ips)
        except AllocationError as error:
            self.ports.free(service)
            self.failures[service.id] = str(error)

    def _restore_tasks(self) -> None:
        for task in self._store.tasks:
            if task.state <= TaskState.RUNNING and any(attachment.addresses for attachment in task.networks):
                try:
                    self.networks.allocate_task(task, task.networks)
                except AllocationError as error:
                    self.failures[task.id] = str(error)

    # ---- following changes

    def _on_changes(self, events: Sequence[Event]) -> None:
        nodes: dict[str, None] = {}
        tasks: dict[str, None] = {}
        for event in events:
            match event.object:
                case Network():
                    self._on_network(event)
                case Service():
                    self._on_service(event)
                case Node():
                    self._on_node(event, nodes)
                case Task():
                    self._on_task(event, nodes, tasks)
        self._update_nodes(nodes)
        self._allocate_tasks(tasks)
        now = self._store.now_ns
        if self._something_was_deallocated or now - self._last_retry_ns > _RETRY_NS:
            self._last_retry_ns, self._something_was_deallocated = now, False
            self._retry()

    def _on_network(self, event: Event) -> None:
        network: Network = event.object
        if event.kind is EventKind.CREATE:
            if self.networks.is_allocated(network.id):
                return
            if network.is_ingress and self._ingress is not None:
                self.failures[network.id] = f"another ingress network is already present: {self._ingress.id}"
                return
            allocated = self._allocate_network(network)
            if allocated is not None and network.is_ingress:
                self._ingress = allocated
                self._nodes_without_ingress = {node.id for node in self._store.nodes}
        elif event.kind is EventKind.DELETE:
            if self._ingress is not None and self._ingress.id == network.id:
                self._ingress = None
                self._nodes_without_ingress.clear()
            self._detach_nodes(network.id)
            self._unallocated_networks.pop(network.id, None)
            self.failures.pop(network.id, None)
            if self.networks.is_allocated(network.id):
                self.networks.deallocate(network)
                self._something_was_deallocated = True

    def _on_service(self, event: Event) -> None:
        if event.kind is EventKind.DELETE:
            self._free_service(event.object)
            self._something_was_deallocated = True
            self._unallocated_services.pop(event.object.id, None)
            self.failures.pop(event.object.id, None)
            return
        service = self._store.services.get(event.object.id)
        if service is None:
            return
        if not self._is_service_allocated(service):
            self._allocate_service(service)
        elif event.kind is EventKind.UPDATE and self.ports.host_ports_changed(service):
            self._commit_service(_with_host_ports(service))

    def _on_node(self, event: Event, nodes: dict[str, None]) -> None:
        node: Node = event.object
        if event.kind is EventKind.DELETE:
            for attachment in node.attachments:
                self.networks.detach_node(node.id, attachment)
            self._something_was_deallocated = True
            nodes.pop(node.id, None)
        elif event.kind is EventKind.CREATE or node.id in self._nodes_without_ingress:
            nodes[node.id] = None

    def _on_task(self, event: Event, nodes: dict[str, None], tasks: dict[str, None]) -> None:
        task: Task = event.object
        old: Task | None = event.old
        if task.node_id in self._nodes_without_ingress:
            nodes[task.node_id] = None
        if event.kind is EventKind.DELETE or task.state > TaskState.RUNNING:
            if self.networks.is_task_allocated(task):
                self.networks.deallocate_task(task)
                self._something_was_deallocated = True
            if (
                task.node_id
                and task.networks
                and (old is None or event.kind is EventKind.DELETE or old.state <= TaskState.RUNNING)
            ):
                nodes[task.node_id] = None
            tasks.pop(task.id, None)
            self._unallocated_tasks.pop(task.id, None)
            self.failures.pop(task.id, None)
            return
        if task.node_id and (old is None or old.node_id != task.node_id or old.networks is not task.networks):
            nodes[task.node_id] = None
        if task.state < TaskState.PENDING:
            tasks[task.id] = None

    def _retry(self) -> None:
        for object_id in list(self._unallocated_networks):
            network = self._store.networks.get(object_id)
            if network is not None and not self.networks.is_allocated(object_id):
                self._allocate_network(network)
        for object_id in list(self._unallocated_services):
            service = self._store.services.get(object_id)
            if service is not None and not self._is_service_allocated(service):
                self._allocate_service(service)
        if self._unallocated_tasks:
            self._allocate_tasks(list(self._unallocated_tasks))

    # ---- networks

    def _allocate_network(self, network: Network) -> Network | None:
        if self.networks.is_allocated(network.id):
            return network
        try:
            allocated = self.networks.allocate(network)
        except AllocationError as error:
            self._unallocated_networks[network.id] = None
            self.failures[network.id] = str(error)
            return None
        self._unallocated_networks.pop(network.id, None)
        self.failures.pop(network.id, None)
        if allocated.driver_state == network.driver_state and allocated.ipam == network.ipam:
            return network
        return self._store.update(lambda tx: tx.replace(allocated))

    # ---- nodes

    def _node_networks(self, node_id: str) -> dict[str, Network]:
        """Return the networks on which a node's load balancer needs an address, by network id."""
        networks = {
            attachment.network.id: attachment.network
            for task in self._store.tasks.by_node(node_id)
            if task.state <= TaskState.RUNNING
            for attachment in task.networks
            if driver_of(attachment.network) == "overlay"
        }
        if self._ingress is not None:
            networks[self._ingress.id] = self._ingress
        return networks

    def _update_nodes(self, node_ids: Iterable[str], *, restoring: bool = False) -> None:
        changed: list[Node] = []
        for node_id in node_ids:
            self._nodes_without_ingress.discard(node_id)
            node = self._store.nodes.get(node_id)
            if node is not None:
                attachments = self._node_attachments(node, restoring=restoring)
                if attachments is not None:
                    changed.append(evolve(node, attachments=attachments))
        if changed:
            self._store.update(lambda tx: [tx.replace(updated) for updated in changed])

    def _node_attachments(self, node: Node, *, restoring: bool) -> tuple[NetworkAttachment, ...] | None:
        """Allocate a node's addresses on the networks that need one, and release its addresses on other networks.

        With `restoring`, only addresses that the node object already has are allocated, and none is released. Return
        the node's new attachments, or `None` if nothing changed.
        """
        networks = self._node_networks(node.id)
        attachments = {attachment.network.id: attachment for attachment in node.attachments}
        changed = False
        for network_id, network in networks.items():
            attachment = attachments.get(network_id)
            if attachment is not None and self.networks.is_node_attached(node.id, attachment):
                continue
            if restoring and (attachment is None or not attachment.addresses):
                continue
            try:
                attachments[network_id] = self.networks.attach_node(
                    node.id, attachment or NetworkAttachment(self._store.networks.get(network_id) or network)
                )
            except AllocationError as error:
                self.failures[node.id] = str(error)
                continue
            self.failures.pop(node.id, None)
            changed = changed or attachment is not attachments[network_id]
        if not restoring:
            for network_id in [network_id for network_id in attachments if network_id not in networks]:
                self.networks.detach_node(node.id, attachments.pop(network_id))
                changed = self._something_was_deallocated = True
        return tuple(attachments.values()) if changed else None

    def _detach_nodes(self, network_id: str) -> None:
        changed: list[Node] = []
        for node in self._store.nodes:
            for attachment in node.attachments:
                if attachment.network.id == network_id:
                    self.networks.detach_node(node.id, attachment)
                    remaining = tuple(other for other in node.attachments if other is not attachment)
                    changed.append(evolve(node, attachments=remaining))
        if changed:
            self._store.update(lambda tx: [tx.replace(updated) for updated in changed])

    # ---- services

    def _is_service_allocated(self, service: Service) -> bool:
        if not self.networks.is_service_allocated(service):
            return False
        requested_ports = service.spec.endpoint is not None and service.spec.endpoint.ports
        allocated_ports = service.endpoint is not None and service.endpoint.ports
        return not (requested_ports or allocated_ports) or self.ports.is_allocated(service)

    def _allocate_service(self, service: Service) -> None:
        try:
            allocated = self._allocated(service)
        except (AllocationError, BitUnavailable) as error:
            self._unallocated_services[service.id] = None
            self.failures[service.id] = str(error)
            return
        self._unallocated_services.pop(service.id, None)
        self.failures.pop(service.id, None)
        self._commit_service(allocated)

    def _allocated(self, service: Service) -> Service:
        endpoint = service.endpoint
        vips = endpoint.virtual_ips if endpoint is not None else ()
        if service.spec.endpoint is not None:
            if is_ingress_needed(service):
                if self._ingress is None:
                    raise AllocationError("ingress network is missing")
                if all(vip.network_id != self._ingress.id for vip in vips):
                    vips = (*vips, VirtualIp(self._ingress.id))
            ports = self.ports.allocate(service)
        elif endpoint is not None:
            self._free_service(service)
            self._something_was_deallocated = True
            vips, ports = (), ()
        else:
            ports = ()
        try:
            allocated_vips = self.networks.allocate_vips(service, vips)
        except AllocationError:
            self.ports.free_ports(ports)
            raise
        return evolve(service, endpoint=Endpoint(service.spec.endpoint, ports, allocated_vips))

    def _commit_service(self, allocated: Service) -> None:
        current = self._store.services.get(allocated.id)
        assert current is not None
        if allocated.endpoint != current.endpoint:
            self._store.update(lambda tx: tx.replace(evolve(current, endpoint=allocated.endpoint)))

    def _free_service(self, service: Service) -> None:
        if service.endpoint is not None:
            self.networks.deallocate_vips(service.id, service.endpoint.virtual_ips)
            self.ports.free(service)

    # ---- tasks

    def _allocate_tasks(self, task_ids: Iterable[str]) -> None:
        allocated: list[Task] = []
        for task_id in task_ids:
            task = self._store.tasks.get(task_id)
            if task is None or task.state > TaskState.RUNNING:
                self._unallocated_tasks.pop(task_id, None)
                continue
            try:
                allocated.append(self._allocate_task(task))
            except AllocationError as error:
                self._unallocated_tasks[task_id] = None
                self.failures[task_id] = str(error)
            else:
                self._unallocated_tasks.pop(task_id, None)
                self.failures.pop(task_id, None)
        changed = [task for task in allocated if self._store.tasks.get(task.id) is not task]
        if changed:
            self._store.update(lambda tx: [tx.replace(updated) for updated in changed])

    def _allocate_task(self, task: Task) -> Task:
        service: Service | None = None
        if task.service_id:
            service = self._store.services.get(task.service_id)
            if service is None:
                raise AllocationError(f"could not find service {task.service_id} for task {task.id}")
            if not self._is_service_allocated(service):
                raise AllocationError(f"service {service.id} to which task {task.id} belongs has pending allocations")
        attachments = self.networks.allocate_task(task, self._attachments(task, service))
        endpoint = service.endpoint if service is not None and service.endpoint is not None else task.endpoint
        status = task.status
        if task.state < TaskState.PENDING:
            status = TaskStatus(TaskState.PENDING, self._store.now_ns, ALLOCATED_MESSAGE)
        elif attachments == task.networks:
            return task
        return evolve(task, networks=attachments, endpoint=endpoint, status=status)

    def _attachments(self, task: Task, service: Service | None) -> list[NetworkAttachment]:
        """Return attachments, without addresses yet, for the networks of a task.

        `service` is the task's service, `None` for a task without one. The ingress network comes first, if the
        service publishes ports on it. Raises `AllocationError` if a network is deleted or not allocated yet.
        """
        attachments = list(task.networks)
        if not attachments:
            if is_ingress_needed(service) and self._ingress is not None:
                attachments.append(NetworkAttachment(self._ingress))
            configs = task.spec.networks or (service.spec.networks if service is not None else ())
            attachments.extend(
                NetworkAttachment(network, config.addresses, config.aliases, config.driver_opts)
                for config in configs
                if (network := self._store.networks.get(config.target)) is not None
            )
        resolved: list[NetworkAttachment] = []
        for attachment in attachments:
            network_id = attachment.network.id
            network = self._store.networks.get(network_id)
            if network is None:
                raise AllocationError(f"failed to retrieve network {network_id} while allocating task {task.id}")
            if not self.networks.is_allocated(network_id):
                raise AllocationError(f"network {network_id} attached to task {task.id} not allocated yet")
            resolved.append(attachment if attachment.network is network else evolve(attachment, network=network))
        return resolved


def _with_host_ports(service: Service) -> Service:
    """Return the service with its host-mode ports copied from the spec to the endpoint; other ports are unchanged."""
    endpoint, spec = service.endpoint or Endpoint(), service.spec.endpoint or EndpointSpec()
    ports = (
        *(port for port in endpoint.ports if port.publish_mode is PublishMode.INGRESS),
        *(port for port in spec.ports if port.publish_mode is PublishMode.HOST),
    )
    return evolve(service, endpoint=evolve(endpoint, spec=spec, ports=ports))
