"""The orchestrator of jobs (moby/swarmkit `manager/orchestrator/jobs`)."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from cnmsim.swarm.constraint import Constraint, node_matches
from cnmsim.swarm.objects import Availability, GlobalJob, Node, NodeState, ReplicatedJob, Service, Task, TaskState
from cnmsim.swarm.orchestrator.restart import RestartSupervisor
from cnmsim.swarm.orchestrator.task_init import check_tasks
from cnmsim.swarm.orchestrator.tasks import (
    NewId,
    is_invalid_node,
    is_job,
    new_task,
    remove_service_tasks,
    set_desired_state,
)
from cnmsim.swarm.store import Event, EventKind, Store
from cnmsim.swarm.store.loop import StoreLoop


class JobsOrchestrator(StoreLoop):
    """Runs the tasks of jobs until they have completed."""

    def __init__(self, store: Store, new_id: NewId) -> None:
        super().__init__(store)
        self._new_id = new_id
        self._restarts = RestartSupervisor(store, new_id)

    def start(self) -> None:
        """Reconcile all jobs, then follow changes of the store."""
        check_tasks(self._store, self._restarts, is_job, self._fix_task)
        for service in self._store.services:
            self._reconcile(service)
        self._watch = self._store.watch(self._on_changes, Service, Task, Node)

    def stop(self) -> None:
        """Stop following the store and cancel delayed starts."""
        super().stop()
        self._restarts.cancel_all()

    def _on_changes(self, events: Sequence[Event]) -> None:
        reconcile: dict[str, None] = {}
        for event in events:
            self._restarts.on_event(event)
            match event.object:
                case Service() if is_job(event.object):
                    if event.kind is EventKind.DELETE:
                        remove_service_tasks(self._store, event.object)
                        self._restarts.forget_service(event.object.id)
                    else:
                        reconcile[event.object.id] = None
                case Task() if event.kind is EventKind.UPDATE:
                    task: Task = event.object
                    if task.state > TaskState.RUNNING and task.desired_state <= TaskState.COMPLETE:
                        reconcile[task.service_id] = None
        for service_id in reconcile:
            service = self._store.services.get(service_id)
            if service is not None:
                self._reconcile(service)

    def _fix_task(self, task: Task) -> None:
        service = self._store.services.get(task.service_id)
        if service is None or not isinstance(service.spec.mode, GlobalJob):
            return
        if task.desired_state <= TaskState.COMPLETE and is_invalid_node(self._store.nodes.get(task.node_id)):
            self._store.update(lambda tx: set_desired_state(tx, [task], TaskState.SHUTDOWN))

    def _reconcile(self, service: Service) -> None:
        if isinstance(service.spec.mode, ReplicatedJob):
            self._reconcile_replicated(service, service.spec.mode)
        elif isinstance(service.spec.mode, GlobalJob):
            self._reconcile_global(service)

    def _new_task(self, service: Service, slot: int, node_id: str, iteration: int) -> Task:
        task = new_task(self._store, self._new_id, service, slot, node_id)
        return evolve(task, job_iteration=iteration, desired_state=TaskState.COMPLETE)

    def _change(self, service: Service, add: Sequence[Task], restart: Sequence[Task], remove: Sequence[Task]) -> None:
        def change(tx: Store) -> None:
            for task in add:
                tx.create(task)
            for task in restart:
                self._restarts.restart(service, task)
            set_desired_state(tx, remove, TaskState.REMOVE)

        if add or restart or remove:
            self._store.update(change)

    def _reconcile_replicated(self, service: Service, mode: ReplicatedJob) -> None:
        iteration = service.job_status.job_iteration if service.job_status else 0
        running = complete = 0
        restart: list[Task] = []
        remove: list[Task] = []
        used_slots: set[int] = set()
        for task in self._store.tasks.by_service(service.id):
            if task.job_iteration != iteration:
                if task.state <= TaskState.RUNNING and task.desired_state is not TaskState.REMOVE:
                    remove.append(task)
            elif task.state is TaskState.COMPLETE:
                complete += 1
                used_slots.add(task.slot)
            elif task.desired_state <= TaskState.COMPLETE:
                running += 1
                used_slots.add(task.slot)
                if task.state > TaskState.COMPLETE:
                    restart.append(task)
        count = min(mode.max_concurrent - running, mode.total_completions - complete - running)
        free = (slot for slot in range(mode.total_completions) if slot not in used_slots)
        add = [self._new_task(service, next(free, 0), "", iteration) for _ in range(count)]
        self._change(service, add, restart, remove)

    def _reconcile_global(self, service: Service) -> None:
        iteration = service.job_status.job_iteration if service.job_status else 0
        placement = service.spec.task.placement
        constraints = Constraint.parse_all(placement.constraints if placement else ())
        restart: list[Task] = []
        remove: list[Task] = []
        by_node: dict[str, Task] = {}
        for task in self._store.tasks.by_service(service.id):
            if task.job_iteration != iteration:
                if task.desired_state is not TaskState.REMOVE:
                    remove.append(task)
            elif task.desired_state <= TaskState.COMPLETE:
                if task.state > TaskState.COMPLETE:
                    restart.append(task)
                by_node[task.node_id] = task
        matching = [node for node in self._store.nodes if node_matches(constraints, node)]
        add = [
            self._new_task(service, 0, node.id, iteration)
            for node in matching
            if node.id not in by_node
            and node.spec.availability is Availability.ACTIVE
            and node.status.state is NodeState.READY
        ]
        self._change(service, add, restart, remove)
        stranded = [by_node[node.id] for node in matching if node.id in by_node and is_invalid_node(node)]
        stranded = [task for task in stranded if task.state <= TaskState.RUNNING]
        if stranded:
            self._store.update(lambda tx: set_desired_state(tx, stranded, TaskState.SHUTDOWN))
