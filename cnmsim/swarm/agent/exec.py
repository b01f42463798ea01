"""Execution of one task on a node: the `Executor` interface, and the state machine that runs a task.

Source: moby/swarmkit `agent/exec/{controller,executor,errors}.go` and `agent/task.go` (vendored by moby
docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from attrs import define, evolve, field, frozen

from cnmsim.errors import CnmsimError
from cnmsim.kernel.clock import Clock
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
    """An operation failed, but may succeed when it is retried."""


class ExitError(CnmsimError):
    """The task's process exited with a non-zero status."""

    def __init__(self, code: int, cause: str = "") -> None:
        super().__init__(f"task: non-zero exit ({code})" + (f": {cause}" if cause else ""))
        self.code = code


@frozen
class Dependencies:
    """The secrets and configs granted to a task, by id."""

    secrets: Mapping[str, Secret] = field(factory=dict)
    configs: Mapping[str, Config] = field(factory=dict)


class TaskController(Protocol):
    """The operations of an executor on one task. A call may be repeated after it was cancelled."""

    async def prepare(self) -> None:
        """Create everything the task needs to start."""

    async def start(self) -> None:
        """Start the task and wait until it is up (healthy, if it has a health check)."""

    async def wait(self) -> None:
        """Wait for the task to exit. Raises `ExitError` if its exit status is not 0."""

    async def shutdown(self) -> None:
        """Stop the task if it is running."""

    async def remove(self) -> None:
        """Remove everything that `prepare` created."""

    def container_status(self) -> ContainerStatus | None:
        """Return the status of the task's container, or `None` if there is no container."""

    def port_status(self) -> tuple[PortConfig, ...] | None:
        """Return the task's host-mode ports, which are published on this node only.

        Return `None` if the task has no container or the container does not run.
        """


class Executor(Protocol):
    """The interface between the agent of a node and the engine that runs its tasks."""

    def describe(self) -> NodeDescription:
        """Return the node's description, which the agent sends to the managers.

        It contains the host name, the platform, the resources and the engine's properties.
        """

    def has_plugin(self, name: str, kind: str) -> bool:
        """Return True if the engine finds a plugin `name` that implements `kind`, such as "NetworkDriver"."""

    async def configure(self, node: Node) -> None:
        """Apply the settings in `node`, this node's object in the store.

        These are the addresses of the node's load balancers on the cluster's networks.
        """

    def set_network_bootstrap_keys(self, keys: tuple[EncryptionKey, ...]) -> None:
        """Install the keys that encrypt gossip and the traffic of encrypted networks."""

    def controller(self, task: Task, dependencies: Dependencies) -> TaskController:
        """Return a controller for `task`, which uses the secrets and configs in `dependencies`.

        Raises an `EngineError` if the task cannot be run.
        """

    def logs(self, task: Task, options: LogOptions) -> list[LogMessage]:
        """Return the log lines that a task on this node has written so far, as selected by `options`."""

    def follow_logs(
        self, task: Task, options: LogOptions, publish: Callable[[LogMessage], None]
    ) -> Callable[[], None]:
        """Call `publish` with each line that the task logs from now on. Return a function that ends these calls."""


@define(eq=False)
class TaskManager:
    """The state machine of one task: brings it to its desired state step by step and reports every new status.

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
        """Run the first operation towards the task's desired state."""
        self._run_next_step()

    def restart(self) -> None:
        """Continue from the task's current state, as if no operation were in progress."""
        self._operation, self._is_closed = None, False
        self._run_next_step()

    def halt(self) -> None:
        """Cancel the operation in progress and run no further operation."""
        self._is_closed = True
        if self._operation is not None:
            self._operation.cancel()

    def update(self, task: Task) -> None:
        """Replace the task by a newer version from the manager.

        If its desired state is later than before, the operation in progress is cancelled; otherwise the new version
        is ignored.
        """
        if self._is_closed or task.desired_state <= self.task.desired_state:
            return
        self.task = evolve(task, status=self.task.status)
        if self._operation is not None:
            self._operation.cancel()
        else:
            self._run_next_step()

    async def close(self) -> None:
        """Cancel the operation in progress, wait until it has ended, and run no further operation."""
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
        """Move the task by one state. Return True if another step may follow, False if the task has to wait."""
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
        status = evolve(status, timestamp_ns=self.clock.unix_ns)
        self.task = evolve(self.task, status=status)
        self.report(self.task.id, status)


def _next_step(task: Task) -> tuple[TaskState, str] | None:
    """Return a task's next state and status message (swarmkit `exec.Do`).

    Return `None` if the task stays in its state.
    """
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
    """Return a controller for a task, and the task's new status.

    If the executor cannot run the task, the controller is `None` and the status is REJECTED or FAILED.
    """
    status = task.status
    try:
        controller = executor.controller(task, dependencies)
    except CnmsimError as error:
        status = evolve(status, message="resolving controller failed", err=error.message)
        if task.status.state < TaskState.STARTING:
            status = evolve(status, state=TaskState.REJECTED)
        elif task.status.state <= TaskState.RUNNING:
            status = evolve(status, state=TaskState.FAILED)
        return None, evolve(status, timestamp_ns=clock.unix_ns)
    if task.status.state < TaskState.ACCEPTED:
        status = evolve(status, state=TaskState.ACCEPTED, message="accepted", err="")
        status = evolve(status, timestamp_ns=clock.unix_ns)
    return controller, status
