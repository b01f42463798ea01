"""The scheduler's loop: follows changes of tasks and nodes, and assigns nodes 50 ms after the last change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from attrs import evolve, frozen

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.swarm.objects import Node, Task, TaskState, TaskStatus
from cnmsim.swarm.scheduler.filters import Pipeline
from cnmsim.swarm.scheduler.nodeinfo import NodeInfo
from cnmsim.swarm.scheduler.spread import Spreader, build_decision_tree
from cnmsim.swarm.store import Event, EventKind, Store
from cnmsim.swarm.store.loop import StoreLoop

_DEBOUNCE_S = 0.05
_MAX_LATENCY_NS = NS_PER_S
_ENDED_BADLY = frozenset({TaskState.FAILED, TaskState.REJECTED})


@frozen(eq=False)
class _SchedulingDecision:
    """A scheduling decision: the task as it was before, and its new status and node."""

    old: Task
    status: TaskStatus
    node_id: str


class Scheduler(StoreLoop):
    """Assigns pending tasks to nodes."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._nodes: dict[str, NodeInfo] = {}
        self._tasks: dict[str, Task] = {}
        self._unassigned: dict[str, Task] = {}
        #: Tasks that were created with a node (global services, attachments). The first field holds the ids of all of
        #: them, the second those for which the scheduler has not yet checked the node.
        self._preassigned: set[str] = set()
        self._pending_preassigned: dict[str, Task] = {}
        self._is_tick_required = False
        self._debouncing_since_ns = 0

    def start(self) -> None:
        """Schedule all pending tasks, then follow changes of the store."""
        by_node: dict[str, list[Task]] = {}
        for task in self._store.tasks:
            if not TaskState.PENDING <= task.state <= TaskState.RUNNING:
                continue
            if task.state is TaskState.PENDING and task.desired_state > TaskState.COMPLETE:
                continue
            self._tasks[task.id] = task
            if not task.node_id:
                self._unassigned[task.id] = task
            elif task.state is TaskState.PENDING:
                self._preassigned.add(task.id)
                self._pending_preassigned[task.id] = task
            else:
                by_node.setdefault(task.node_id, []).append(task)
        for node in self._store.nodes:
            self._nodes[node.id] = NodeInfo(node, by_node.get(node.id, ()))
        self._watch = self._store.watch(self._on_changes)
        self._schedule_preassigned()
        self._schedule()

    # ---- following changes

    def _on_changes(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event.object, Task):
                self._on_task(event)
            elif isinstance(event.object, Node):
                self._on_node(event)
        self._debounce()

    def _debounce(self) -> None:
        now = self._store.clock.now_ns
        if self._timer is None:
            self._debouncing_since_ns = now
        else:
            self._timer.cancel()
            if now - self._debouncing_since_ns > _MAX_LATENCY_NS:
                self._decide()
                return
        self._timer = self._store.call_later(_DEBOUNCE_S, self._decide)

    def _decide(self) -> None:
        self._timer = None
        if self._pending_preassigned:
            self._schedule_preassigned()
        if self._is_tick_required:
            self._is_tick_required = False
            self._schedule()

    def _on_node(self, event: Event) -> None:
        node: Node = event.object
        if event.kind is EventKind.DELETE:
            self._nodes.pop(node.id, None)
            return
        info = self._nodes.get(node.id)
        if info is None:
            self._nodes[node.id] = NodeInfo(node)
        else:
            info.set_node(node)
        self._is_tick_required = True

    def _on_task(self, event: Event) -> None:
        task: Task = event.object
        if event.kind is EventKind.DELETE:
            if self._delete_task(task):
                self._is_tick_required = True
        elif task.state > TaskState.RUNNING:
            self._on_ended(task)
        elif task.state >= TaskState.PENDING:
            self._on_active(task)

    def _on_ended(self, task: Task) -> None:
        old = self._tasks.get(task.id)
        if old is None:
            return
        # The failure of a preassigned task is not counted against the node, as the scheduler did not choose the node.
        if old.state is not task.state and task.state in _ENDED_BADLY and task.id not in self._preassigned:
            info = self._nodes.get(task.node_id)
            if info is not None:
                info.record_failure(task, self._store.clock.now_ns)
        self._delete_task(old)
        self._is_tick_required = True

    def _on_active(self, task: Task) -> None:
        old = self._tasks.get(task.id)
        if not task.node_id or task.state is TaskState.PENDING:
            if old is not None:
                self._delete_task(old)
            self._tasks[task.id] = task
            if not task.node_id:
                self._unassigned[task.id] = task
                self._is_tick_required = True
            else:
                self._preassigned.add(task.id)
                self._pending_preassigned[task.id] = task
            return
        self._tasks[task.id] = task
        info = self._nodes.get(task.node_id)
        if info is not None:
            info.add(task)

    def _delete_task(self, task: Task) -> bool:
        known = self._tasks.pop(task.id, None)
        self._preassigned.discard(task.id)
        self._pending_preassigned.pop(task.id, None)
        info = self._nodes.get(task.node_id or (known.node_id if known is not None else ""))
        return info is not None and info.remove(task)

    # ---- scheduling

    def _schedule_preassigned(self) -> None:
        now = self._store.now_ns
        decisions: list[_SchedulingDecision] = []
        for task in self._pending_preassigned.values():
            info = self._nodes.get(task.node_id)
            if info is None:
                continue
            pipeline = Pipeline(task)
            if pipeline.fits(info):
                message = "scheduler confirmed task can run on preassigned node"
                decisions.append(self._assignment(task, info, message))
            else:
                status = evolve(task.status, timestamp_ns=now, err=pipeline.explain())
                decisions.append(_SchedulingDecision(task, status, task.node_id))
        for decision in self._apply_decisions(decisions):
            if decision.status.state is TaskState.ASSIGNED:
                self._pending_preassigned.pop(decision.old.id, None)

    def _schedule(self) -> None:
        groups: dict[object, list[Task]] = {}
        for task in self._unassigned.values():
            if not task.node_id:
                key = task.id if task.spec_version is None else (task.service_id, task.spec_version)
                groups.setdefault(key, []).append(task)
        self._unassigned = {}
        decisions: list[_SchedulingDecision] = []
        for group in groups.values():
            self._schedule_group(group, decisions)
        done = set(self._apply_decisions(decisions))
        for decision in decisions:
            if decision not in done and decision.old.id in self._store.tasks:
                self._unassigned[decision.old.id] = self._tasks[decision.old.id] = decision.old

    def _schedule_group(self, group: list[Task], decisions: list[_SchedulingDecision]) -> None:
        """Assign nodes to tasks that have the same service and spec version. Append the decisions to `decisions`.

        If no node is suitable for a task, the decision only sets an explanation in the task's status.
        """
        pipeline = Pipeline(group[0])
        tree = build_decision_tree(self._nodes.values(), group[0], pipeline.fits)

        def assign(task: Task, info: NodeInfo) -> None:
            decisions.append(self._assignment(task, info, "scheduler assigned task to node"))

        spreader = Spreader(group, pipeline, self._store.clock.now_ns, assign)
        spreader.spread(len(group), tree)
        explanation = pipeline.explain()
        for task in group:
            decision = self._no_suitable_node(task, explanation)
            if decision is not None:
                decisions.append(decision)

    def _assignment(self, task: Task, info: NodeInfo, message: str) -> _SchedulingDecision:
        status = TaskStatus(TaskState.ASSIGNED, self._store.now_ns, message)
        assigned = evolve(task, node_id=info.node.id, status=status)
        self._tasks[task.id] = assigned
        info.add(assigned)
        return _SchedulingDecision(task, status, info.node.id)

    def _no_suitable_node(self, task: Task, explanation: str) -> _SchedulingDecision | None:
        service = self._store.services.get(task.service_id)
        if service is None:
            return None
        status = evolve(task.status, timestamp_ns=self._store.now_ns)
        own, newest = task.spec_version, service.spec_version
        if own is not None and newest is not None and newest > own:
            if task.state is TaskState.PENDING and task.desired_state >= TaskState.SHUTDOWN:
                status = evolve(status, state=TaskState.SHUTDOWN, err="")
        else:
            status = evolve(status, err=f"no suitable node ({explanation})" if explanation else "no suitable node")
            self._unassigned[task.id] = task
        return _SchedulingDecision(task, status, "")

    # ---- committing

    def _apply_decisions(self, decisions: Sequence[_SchedulingDecision]) -> list[_SchedulingDecision]:
        """Write decisions to the store. Return the decisions that were written or needed no change.

        A decision is undone instead if its task was changed or deleted after the decision was made.
        """
        done: list[_SchedulingDecision] = []
        changes: list[Task] = []
        for decision in decisions:
            current = self._store.tasks.get(decision.old.id)
            if current is None:
                self._undo_decision(decision)
            elif _is_same(current.status, decision.status):
                done.append(decision)
            elif current.meta.version != decision.old.meta.version:
                self._undo_decision(decision)
            else:
                done.append(decision)
                changes.append(self._changed(current, decision))
        if changes:
            stored = self._store.update(_replace_all(changes))
            for task in stored:
                self._refresh_task(task)
        return done

    def _refresh_task(self, task: Task) -> None:
        """Replace the scheduler's cached version of a task by `task`, the version in the store.

        The watch reports the same change later; that event then has no effect.
        """
        self._tasks[task.id] = task
        if task.id in self._unassigned:
            self._unassigned[task.id] = task
        if task.id in self._pending_preassigned:
            self._pending_preassigned[task.id] = task

    def _changed(self, current: Task, decision: _SchedulingDecision) -> Task:
        info = self._nodes.get(decision.node_id)
        generic = info.assigned_generic(current.id) if info is not None else ()
        return evolve(
            current,
            status=decision.status,
            node_id=decision.node_id or current.node_id,
            assigned_generic_resources=generic,
        )

    def _undo_decision(self, decision: _SchedulingDecision) -> None:
        info = self._nodes.get(decision.node_id)
        if info is not None and decision.status.state is TaskState.ASSIGNED:
            info.remove(decision.old)


def _is_same(old: TaskStatus, new: TaskStatus) -> bool:
    return old.state is new.state and old.message == new.message and old.err == new.err


def _replace_all(tasks: Iterable[Task]) -> Callable[[Store], list[Task]]:
    return lambda tx: [tx.replace(task) for task in tasks]
