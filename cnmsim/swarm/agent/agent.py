"""The agent of a node: its session with a manager, heartbeats, assignments, task status reports and logs.

A *session* begins when the node registers with a manager's dispatcher. The dispatcher returns a session id, which the
agent sends with every further call. A session has two streams: session messages (the state of the cluster) and
assignments (the node's tasks). When one of the streams or a heartbeat fails, the session ends and the agent opens a
new one, with exponential backoff.

Source: moby/swarmkit `agent/{agent,session,reporter}.go` (vendored by moby docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from attrs import define, evolve, field

from cnmsim.errors import CnmsimError
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.task import Future, Gate, Queue, Signal, Task, sleep, wait_for
from cnmsim.swarm.agent.exec import Executor
from cnmsim.swarm.agent.worker import Worker
from cnmsim.swarm.dispatcher.messages import SessionMessage
from cnmsim.swarm.manager.logbroker import LogMessage, LogSubscription, Publication
from cnmsim.swarm.objects import EncryptionKey, Node, NodeDescription, TaskStatus, TlsInfo
from cnmsim.swarm.rpc import Client, RpcError, Stream

#: The shortest and the longest backoff before a new session, in seconds.
_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.1, 8.0
_SESSION_TIMEOUT_S = 5.0
#: Status reports made within this time are sent in one call.
_REPORT_BATCH_S = 0.05


@define(eq=False)
class Agent:
    """The agent of one node.

    `connect` returns a client for one of the managers. `on_session_message` is called with each session message,
    before the agent configures the executor from that message. `tls_info` returns the root certificate that the node
    trusts and the issuer of its own certificate. `executor` runs the tasks. `error` is the reason why the node has no
    session, or "". `gate` returns a gate that is shut while the daemon's process is stopped (SIGSTOP); the agent's
    coroutines do not run meanwhile.
    """

    clock: Clock
    random: Random = field(repr=False)
    executor: Executor = field(repr=False)
    connect: Callable[[], Coroutine[Any, Any, Client]] = field(repr=False)
    on_session_message: Callable[[SessionMessage], None] = field(repr=False)
    tls_info: Callable[[], TlsInfo | None] = field(default=lambda: None, repr=False)
    #: Suspends the agent's coroutines while the daemon is stopped by SIGSTOP.
    gate: Callable[[], Gate | None] = field(default=lambda: None, repr=False)
    error: str = ""
    worker: Worker = field(init=False, repr=False)
    _task: Task[None] | None = field(default=None, init=False, repr=False)
    _client: Client | None = field(default=None, init=False, repr=False)
    _session_id: str = field(default="", init=False)
    _unreported: dict[str, TaskStatus] = field(factory=dict, init=False, repr=False)
    _reporting: Task[None] | None = field(default=None, init=False, repr=False)
    _node: Node | None = field(default=None, init=False, repr=False)
    _keys: tuple[EncryptionKey, ...] = field(default=(), init=False, repr=False)
    _log_followers: dict[str, list[Callable[[], None]]] = field(factory=dict, init=False, repr=False)

    _registered: Signal = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.worker = Worker(self.clock, self.executor, self._report)
        self._registered = Signal(self.clock)

    @property
    def has_session(self) -> bool:
        """Whether the agent has an open session, i.e. the node is registered with a manager."""
        return bool(self._session_id)

    async def wait_for_session(self, timeout_s: float) -> None:
        """Wait until the node has a session. Raises `TimeoutError` after `timeout_s` seconds."""
        await self._registered.wait_until(lambda: self.has_session, timeout_s)

    def start(self) -> None:
        """Start the agent: it connects to a manager, and connects again whenever the session ends."""
        self._task = Task(self.clock, self._run(), self.gate())

    def restart(self) -> None:
        """Continue the worker's tasks and open a new session.

        Called when the former connections and coroutines no longer exist, e.g. in a copy of the lab.
        """
        self._end_session()
        self._reporting = None
        self.worker.restart()
        self.start()

    def halt(self) -> None:
        """Stop without cleaning up, as if the machine lost power."""
        for task in (self._task, self._reporting):
            if task is not None:
                task.cancel()
        self._end_session()
        # The node object and the keys are kept in memory only: the next session sends them again.
        self._node, self._keys = None, ()
        self.worker.halt()

    def leave(self) -> None:
        """Halt the agent at once. Its tasks are shut down and removed afterwards, while the daemon keeps running."""
        self.worker.leave()
        self.halt()

    async def stop(self) -> None:
        """End the session, then shut down and remove every task and wait until that is done."""
        if self._task is not None:
            self._task.cancel()
        if self._reporting is not None:
            self._reporting.cancel()
        self._end_session()
        await self.worker.stop()

    def close_session(self) -> None:
        """Disconnect from the current manager. The agent then opens a new session, with a manager chosen anew."""
        client = self._client
        if client is not None:
            client.close()

    # --- sessions

    async def _run(self) -> None:
        backoff_s = 0.0
        while True:
            try:
                if backoff_s:
                    await sleep(self.clock, self.random.uniform(0, backoff_s))
                client = await self.connect()
                await self._session(client)
                backoff_s = 0.0
            except CnmsimError as error:
                self.error = error.message
                if self._session_id:
                    backoff_s = 0.0
            finally:
                self._end_session()
            backoff_s = min(_LONGEST_BACKOFF_S, _FIRST_BACKOFF_S + 2 * backoff_s)

    def _end_session(self) -> None:
        self._session_id = ""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    async def _session(self, client: Client) -> None:
        self._client = client
        messages: Queue[SessionMessage] = Queue(self.clock)
        session = client.stream("dispatcher.session", self._describe(), messages.put)
        first_message = await _first_message(self.clock, messages, session)
        self._session_id, self.error = first_message.session_id, ""
        self._registered.notify()
        await self._handle_session_message(first_message)
        assignments = client.stream("dispatcher.assignments", self._session_id, self.worker.apply)
        subscriptions = client.stream(
            "logs.listen", None, lambda message: self._handle_log_subscription(client, message)
        )
        heartbeats = Task(self.clock, self._heartbeats(client))
        listener = Task(self.clock, self._listen(messages))
        session_end: Future[BaseException | None] = Future(self.clock)

        def end(error: BaseException | None) -> None:
            if not session_end.is_done:
                session_end.set_result(error)

        session.ended.add_done_callback(lambda future: end(future.result()))
        assignments.ended.add_done_callback(lambda future: end(future.result()))
        heartbeats.add_done_callback(lambda future: end(future.error))
        self._unreported = {**dict(self.worker.statuses()), **self._unreported}
        self._report_soon()
        try:
            error = await session_end
        finally:
            heartbeats.cancel()
            listener.cancel()
            session.close()
            assignments.close()
            subscriptions.close()
            self._stop_following_logs()
        raise error if isinstance(error, CnmsimError) else RpcError("session closed")

    def _describe(self) -> NodeDescription:
        return evolve(self.executor.describe(), tls_info=self.tls_info())

    async def _heartbeats(self, client: Client) -> None:
        while True:
            period_s = await client.call("dispatcher.heartbeat", self._session_id)
            await sleep(self.clock, period_s)

    async def _listen(self, messages: Queue[SessionMessage]) -> None:
        while True:
            await self._handle_session_message(await messages.get())

    async def _handle_session_message(self, message: SessionMessage) -> None:
        if message.keys and message.keys != self._keys:
            self._keys = message.keys
            self.executor.set_network_bootstrap_keys(message.keys)
        self.on_session_message(message)
        if message.node is not None and message.node is not self._node:
            self._node = message.node
            await self.executor.configure(message.node)

    # --- logs

    def _handle_log_subscription(self, client: Client, subscription: LogSubscription) -> None:
        """Send the log lines that `subscription` selects to the manager, by calls of `client`.

        If `is_followed` is set in the subscription's options, lines that are written later are sent too, until a
        subscription with the same id and `is_closed` set arrives.
        """
        for end in self._log_followers.pop(subscription.id, ()):
            end()
        if subscription.is_closed:
            return
        options = subscription.request.options
        tasks = [task for task in self.worker.tasks() if subscription.selects(task)]
        written_lines = tuple(line for task in tasks for line in self.executor.logs(task, options))
        is_followed = options.is_followed
        self._publish(client, Publication(subscription.id, written_lines, is_last=not is_followed))
        if is_followed:

            def publish(message: LogMessage) -> None:
                self._publish(client, Publication(subscription.id, (message,)))

            self._log_followers[subscription.id] = [
                self.executor.follow_logs(task, options, publish) for task in tasks
            ]

    def _publish(self, client: Client, publication: Publication) -> None:
        async def send() -> None:
            try:
                await client.call("logs.publish", publication)
            except CnmsimError as error:
                self.error = error.message

        Task(self.clock, send(), self.gate())

    def _stop_following_logs(self) -> None:
        for ends in self._log_followers.values():
            for end in ends:
                end()
        self._log_followers.clear()

    # --- reports

    def _report(self, identity: str, status: TaskStatus) -> None:
        self._unreported[identity] = status
        self._report_soon()

    def _report_soon(self) -> None:
        if (self._reporting is None or self._reporting.is_done) and self._unreported and self._session_id:
            self._reporting = Task(self.clock, self._send_reports(), self.gate())

    async def _send_reports(self) -> None:
        await sleep(self.clock, _REPORT_BATCH_S)
        while self._unreported and self._session_id and self._client is not None:
            reports, self._unreported = self._unreported, {}
            try:
                await self._client.call("dispatcher.update_task_status", (self._session_id, list(reports.items())))
            except CnmsimError:
                # The next session reports the status of all tasks.
                self._unreported = {**reports, **self._unreported}
                return


async def _first_message(clock: Clock, messages: Queue[SessionMessage], session: Stream) -> SessionMessage:
    """Wait for the first message of `session` and return it; `messages` is the queue that receives its messages.

    Raises the error that ended the session, or `RpcError` after a timeout.
    """
    message = Task(clock, messages.get(_SESSION_TIMEOUT_S))
    first_of_both: Future[None] = Future(clock)

    def wake(_: object) -> None:
        if not first_of_both.is_done:
            first_of_both.set_result(None)

    message.add_done_callback(wake)
    session.ended.add_done_callback(wake)
    await wait_for(clock, first_of_both, None)
    if message.is_done and message.error is None:
        return message.result()
    if not message.is_done:
        message.cancel()
        error = session.ended.result()
        raise error if error is not None else RpcError("session closed")
    session.close()
    raise RpcError("session initiation timed out")
