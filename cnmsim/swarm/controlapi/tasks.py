"""Operations on tasks, and on network attachments of unmanaged containers.

Source: moby/swarmkit `manager/controlapi/task.go`, `manager/resourceapi`.
"""

from __future__ import annotations

from collections.abc import Iterable

from cnmsim.swarm.controlapi.common import (
    Filters,
    Operations,
    find_one,
    grpc_errors,
    has_labels,
    has_prefix,
    require_stored,
)
from cnmsim.swarm.errors import RpcNotFound, RpcPermissionDenied
from cnmsim.swarm.objects import AttachmentSpec, NetworkAttachmentConfig, Task, TaskSpec, TaskState, TaskStatus
from cnmsim.swarm.orchestrator.tasks import is_dirty


class TaskOperations(Operations):
    """List and remove tasks; attach containers to networks."""

    @grpc_errors
    def get_task(self, task_id: str) -> Task:
        """Return a task by id. Raises `RpcNotFound` if there is none with this id."""
        return require_stored("task", task_id, self.store.tasks)

    def find_task(self, reference: str) -> Task:
        """Return a task by id, name or id prefix.

        Raises `NotFound` if no task matches, `InvalidParameter` if several do.
        """
        return find_one("task", reference, self.store.tasks.get(reference), self.list_tasks)

    def list_tasks(self, filters: Filters | None = None) -> list[Task]:
        """Return the tasks that pass the filters, in order of creation; `None` means no filters."""
        chosen = filters or Filters()
        return [task for task in self._candidates(chosen) if self._passes(chosen, task)]

    def _candidates(self, filters: Filters) -> Iterable[Task]:
        if filters.service_ids:
            return [
                task
                for service_id in dict.fromkeys(filters.service_ids)
                for task in self.store.tasks.by_service(service_id)
            ]
        if filters.node_ids:
            return [task for node_id in dict.fromkeys(filters.node_ids) for task in self.store.tasks.by_node(node_id)]
        return self.store.tasks

    def _passes(self, filters: Filters, task: Task) -> bool:
        return (
            (not filters.names or task.name in filters.names)
            and has_prefix(task.name, filters.name_prefixes)
            and has_prefix(task.id, filters.id_prefixes)
            and has_labels(task.service_annotations.labels, filters.labels)
            and (not filters.service_ids or task.service_id in filters.service_ids)
            and (not filters.node_ids or task.node_id in filters.node_ids)
            and (not filters.desired_states or task.desired_state in filters.desired_states)
            and (not filters.runtimes or task.spec.runtime in filters.runtimes)
            and (not filters.up_to_date or self._is_up_to_date(task))
        )

    def _is_up_to_date(self, task: Task) -> bool:
        service = self.store.services.get(task.service_id)
        return service is not None and not is_dirty(service, task, self.store.nodes.get(task.node_id))

    # ---- network attachments, requested by agents

    @grpc_errors
    def attach_network(self, node_id: str, target: str, container_id: str, addresses: Iterable[str] = ()) -> str:
        """Create a task that attaches a container without a service to a network. Return the task's id.

        The container runs on the node `node_id`; `target` is the network's id or name, `addresses` are the addresses
        that the container requests. Raises `RpcNotFound` if the network does not exist, `RpcPermissionDenied` if it
        is not attachable.
        """
        network = self.store.networks.get(target) or self.store.networks.by_name(target)
        if network is None:
            raise RpcNotFound(f"network {target} not found")
        if not network.spec.attachable:
            raise RpcPermissionDenied(f"network {target} not manually attachable")
        task = Task(
            id=self.new_id(),
            node_id=node_id,
            spec=TaskSpec(
                attachment=AttachmentSpec(container_id),
                networks=(NetworkAttachmentConfig(network.id, addresses=tuple(addresses)),),
            ),
            status=TaskStatus(TaskState.NEW, self.store.now_ns, "created"),
            desired_state=TaskState.RUNNING,
        )
        self.store.update(lambda tx: tx.create(task))
        return task.id

    @grpc_errors
    def detach_network(self, node_id: str, attachment_id: str) -> None:
        """Remove the attachment task `attachment_id`, as requested by the agent of the node `node_id`.

        Raises `RpcNotFound` if the task does not exist, `RpcPermissionDenied` if the task belongs to another node.
        """
        task = require_stored("attachment", attachment_id, self.store.tasks)
        if task.node_id != node_id:
            raise RpcPermissionDenied(f"attachment {attachment_id} doesn't belong to this node")
        self.store.update(lambda tx: tx.delete(Task, attachment_id))
