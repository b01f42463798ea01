"""Checks on existing tasks when an orchestrator starts with a new leader (moby/swarmkit `taskinit/init.go`)."""

from __future__ import annotations

from collections.abc import Callable

from cnmsim.swarm.objects import Service, Task, TaskState
from cnmsim.swarm.objects.defaults import restart_delay_ns
from cnmsim.swarm.orchestrator.restart import RestartSupervisor
from cnmsim.swarm.orchestrator.tasks import has_slot_per_node, task_timestamp
from cnmsim.swarm.store import Store


def check_tasks(
    store: Store, restarts: RestartSupervisor, owns: Callable[[Service], bool], fix_task: Callable[[Task], None]
) -> None:
    """Check all tasks of one orchestrator's services, and delete the tasks of removed services.

    `owns` returns True for a service of this orchestrator. `fix_task` is called with each task of these services.
    `restarts` resumes the delayed starts, and counts the restarts of each slot anew from the existing tasks.
    """
    instances: dict[tuple[str, int | str], list[Task]] = {}
    without_service: list[Task] = []
    to_start: list[str] = []
    for task in store.tasks:
        if not task.service_id:
            continue
        service = store.services.get(task.service_id)
        if service is None:
            without_service.append(task)
            continue
        if not owns(service):
            continue
        instances.setdefault((task.service_id, task.node_id if has_slot_per_node(service) else task.slot), []).append(
            task
        )
        fix_task(task)
        if task.desired_state is not TaskState.READY or task.state > TaskState.COMPLETE:
            continue
        delay_ns = restart_delay_ns(task.spec)
        left_ns = min(delay_ns, task_timestamp(task) + delay_ns - store.now_ns)
        if delay_ns and left_ns > 0:
            restarts.delay_start(None, task.id, left_ns, wait_stop=True)
        else:
            to_start.append(task.id)
    if without_service:
        store.update(lambda tx: tx.delete_all(Task, [task.id for task in without_service]))
    if to_start:
        store.update(lambda _: restarts.start_all(to_start))
    for tasks in instances.values():
        version = max(task.spec_version or 0 for task in tasks)
        current = [task for task in tasks if task.spec_version is not None and task.spec_version == version]
        current.sort(key=lambda task: task.meta.created_ns)
        for task in current[1:]:
            restarts.record_restart(task)
