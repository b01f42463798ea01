"""Running one task on a node: what an executor offers, and the state machine that drives it.

Source: moby/swarmkit `agent/exec/{controller,executor,errors}.go` and `agent/task.go` (vendored by moby docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from attrs import define, evolve, field, frozen

from cnmsim.errors import CnmsimError
from cnmsim.kernel.clock import NS_PER_S, Clock
from cnmsim.kernel.task import Cancelled, Future
from cnmsim.kernel.task import Task as Coroutine
from cnmsim.swarm.manager.logbroker import LogMessage, LogOptions
from cnmsim.swarm.objects import (
    Config,
    ContainerStatus,
    EncryptionKey,
    Node,
    NodeDescription,
    PortConfig,
    Secret,
    Task,
    TaskState,
    TaskStatus,
)

_RETRY_S = 1.0


class TemporaryError(CnmsimError):
    """The operation may succeed if it is tried again."""


class ExitError(CnmsimError):
    """The task's process ended with a status other than 0."""

    def __init__(self, code: int, cause: str = "") -> None:
        super().__init__(f"task: non-zero exit ({code})" + (f": {cause}" if cause else ""))
        self.code = code


@frozen
class Dependencies:
    """What a task may read: the secrets and configs it was granted, by id."""

    secrets: Mapping[str, Secret] = field(factory=dict)
    configs: Mapping[str, Config] = field(factory=dict)


class TaskController(Protocol):
    """What an executor does for one task. Every call may be made again after it was cut short."""

    async def prepare(self) -> None:
        """Make all that is needed to start."""

    async def start(self) -> None:
        """Start, and wait until it is up (healthy, where it has a health check)."""

    async def wait(self) -> None:
        """Wait for its end. Raises `ExitError`."""

    async def shutdown(self) -> None:
        """Stop it, if it runs."""

    async def remove(self) -> None:
        """Leave nothing behind."""

    def container_status(self) -> ContainerStatus | None:
        """Tell of its container, `None` while there is none."""

    def port_status(self) -> tuple[PortConfig, ...] | None:
        """Tell of the ports it has on this node itself."""


class Executor(Protocol):
    """What an engine does for the agent of its node."""

    def describe(self) -> NodeDescription:
        """Tell of this node."""

    async def configure(self, node: Node) -> None:
        """Take note of the cluster's idea of this node: its addresses on the cluster's networks."""

    def set_network_bootstrap_keys(self, keys: tuple[EncryptionKey, ...]) -> None:
        """Take the keys of gossip and of encrypted networks."""

    def controller(self, task: Task, dependencies: Dependencies) -> TaskController:
        """Give what runs a task. Raises an `EngineError` for a task that cannot be run."""

    def logs(self, task: Task, options: LogOptions) -> list[LogMessage]:
        """Give the lines that a task of this node has printed."""

    def follow_logs(
        self, task: Task, options: LogOptions, publish: Callable[[LogMessage], None]
    ) -> Callable[[], None]:
        """Have every further line of a task published. Gives a call that ends it."""


@define(eq=False)
class TaskManager:
    """Brings one task to its desired state, a step at a time, and reports every step.

    `report` is called with the task's id and its new status.
    """

    clock: Clock
    task: Task
    controller: TaskController = field(repr=False)
    report: Callable[[str, TaskStatus], None] = field(repr=False)
    _operation: Coroutine[bool] | None = field(default=None, init=False, repr=False)
    _is_closed: bool = field(default=False, init=False)
    _closed: Future[None] | None = field(default=None, init=False, repr=False)

    def start(self) -> None:
        """Set to work."""
        self._run_next_step()

    def restart(self) -> None:
        """Set to work where the task stands; the present operation has gone."""
        self._operation, self._is_closed = None, False
        self._run_next_step()

    def halt(self) -> None:
        """Stop short, as a machine does that loses power."""
        self._is_closed = True
        if self._operation is not None:
            self._operation.cancel()

    def update(self, task: Task) -> None:
        """Take a changed task. Only a further desired state counts; what is being done is cut short for it."""
        if self._is_closed or task.desired_state <= self.task.desired_state:
            return
        self.task = evolve(task, status=self.task.status)
        if self._operation is not None:
            self._operation.cancel()
        else:
            self._run_next_step()

    async def close(self) -> None:
        """Do nothing more with the task, once the present operation is cut short."""
        self._is_closed = True
        operation = self._operation
        if operation is not None:
            operation.cancel()
            self._closed = self._closed or Future(self.clock)
            await self._closed

    def _run_next_step(self) -> None:
        if self._is_closed or self._operation is not None:
            return
        operation = self._operation = Coroutine(self.clock, self._do_step())
        operation.add_done_callback(self._finished)

    def _finished(self, operation: Future[bool]) -> None:
        self._operation = None
        if self._closed is not None and not self._closed.is_done:
            self._closed.set_result(None)
        error = operation.error
        if isinstance(error, TemporaryError):
            self.clock.call_later(_RETRY_S, self._run_next_step)
            return
        if error is not None and not isinstance(error, Cancelled):
            raise error
        if error is not None or operation.result():
            self._run_next_step()

    async def _do_step(self) -> bool:
        """Do one step; tells whether there may be another."""
        task = self.task
        step = _next_step(task)
        if step is None:
            return False
        target, message = step
        state = task.status.state
        failed: tuple[TaskState, str, int] | None = None
        try:
            if target is TaskState.SHUTDOWN:
                await self.controller.shutdown()
            elif state is TaskState.PREPARING:
                await self.controller.prepare()
            elif state is TaskState.STARTING:
                await self.controller.start()
            elif state is TaskState.RUNNING:
                await self.controller.wait()
        except TemporaryError as error:
            self._set_status(evolve(task.status, err=error.message))
            raise
        except CnmsimError as error:
            end = TaskState.REJECTED if state < TaskState.STARTING else TaskState.FAILED
            failed = (end, error.message, error.code if isinstance(error, ExitError) else 0)
        if failed is None:
            status = evolve(task.status, state=target, message=message, err="")
            code = 0
        else:
            target, text, code = failed
            status = evolve(task.status, state=target, err=text)
        if target >= TaskState.STARTING:
            container = self.controller.container_status() or task.status.container or ContainerStatus()
            if code:
                container = evolve(container, exit_code=code)
            ports = self.controller.port_status()
            status = evolve(
                status, container=container, port_status=task.status.port_status if ports is None else ports
            )
        self._set_status(status)
        return True

    def _set_status(self, status: TaskStatus) -> None:
        if status == self.task.status:
            return
        status = evolve(status, timestamp_ns=self.clock.epoch_s * NS_PER_S + self.clock.now_ns)
        self.task = evolve(self.task, status=status)
        self.report(self.task.id, status)


def _next_step(task: Task) -> tuple[TaskState, str] | None:
    """Give the state that comes next and what is said of it, or `None` if the task is to stay (exec.Do)."""
    state, desired = task.status.state, task.desired_state
    if desired >= TaskState.SHUTDOWN:
        return None if state >= TaskState.COMPLETE else (TaskState.SHUTDOWN, "shutdown")
    if state > desired:
        return None
    match state:
        case TaskState.PREPARING:
            return TaskState.READY, "prepared"
        case TaskState.STARTING:
            return TaskState.RUNNING, "started"
        case TaskState.RUNNING:
            return TaskState.COMPLETE, "finished"
    if state >= desired:
        return None
    match state:
        case TaskState.NEW | TaskState.PENDING | TaskState.ASSIGNED:
            return TaskState.ACCEPTED, "accepted"
        case TaskState.ACCEPTED:
            return TaskState.PREPARING, "preparing"
        case TaskState.READY:
            return TaskState.STARTING, "starting"
    return None


def resolve_controller(
    clock: Clock, executor: Executor, task: Task, dependencies: Dependencies
) -> tuple[Any, TaskStatus]:
    """Get a task's controller and the status this gives the task; the controller is `None` if there is none to be had."""
    status = task.status
    try:
        controller = executor.controller(task, dependencies)
    except CnmsimError as error:
        status = evolve(status, message="resolving controller failed", err=error.message)
        if task.status.state < TaskState.STARTING:
            status = evolve(status, state=TaskState.REJECTED)
        elif task.status.state <= TaskState.RUNNING:
            status = evolve(status, state=TaskState.FAILED)
        return None, evolve(status, timestamp_ns=clock.epoch_s * NS_PER_S + clock.now_ns)
    if task.status.state < TaskState.ACCEPTED:
        status = evolve(status, state=TaskState.ACCEPTED, message="accepted", err="")
        status = evolve(status, timestamp_ns=clock.epoch_s * NS_PER_S + clock.now_ns)
    return controller, status
