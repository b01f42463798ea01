"""Health checks: a command run in the container again and again.

Source: moby `daemon/health.go`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cnmsim.engine.containers.execs import Exec, create_exec, start_exec
from cnmsim.engine.wire.timestamps import rfc3339, unix_ns
from cnmsim.errors import EngineError
from cnmsim.kernel.clock import NS_PER_S, Timer
from cnmsim.kernel.process import SIGKILL
from cnmsim.kernel.task import Future

if TYPE_CHECKING:
    from cnmsim.engine.containers.container import Container
    from cnmsim.engine.engine import Engine

_INTERVAL_S, _TIMEOUT_S, _START_INTERVAL_S, _RETRIES = 30.0, 30.0, 5.0, 3
_KEPT_RESULTS, _KEPT_OUTPUT = 5, 4096


class HealthMonitor:
    """Watches one running container. `status` is "starting", "healthy" or "unhealthy"; `watchers` are called when it changes."""

    __slots__ = (
        "_container",
        "_engine",
        "_is_over",
        "_options",
        "_timer",
        "failing_streak",
        "results",
        "status",
        "watchers",
    )

    def __init__(self, engine: Engine, container: Container, options: dict[str, Any]) -> None:
        self._engine, self._container, self._options = engine, container, options
        self.status = "starting"
        self.watchers: list[Callable[[], object]] = []
        self.failing_streak = 0
        self.results: deque[dict[str, Any]] = deque(maxlen=_KEPT_RESULTS)
        self._timer: Timer | None = None
        self._is_over = False

    def begin(self) -> None:
        """Start to watch."""
        self._plan()

    def end(self) -> None:
        """Watch no more."""
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        self.status = "unhealthy"

    def view(self) -> dict[str, Any]:
        """Give the state's `Health` as the API prints it."""
        return {"Status": self.status, "FailingStreak": self.failing_streak, "Log": list(self.results)}

    def _seconds(self, key: str, default: float) -> float:
        value = self._options.get(key, 0)
        return float(value) / NS_PER_S if value else default

    @property
    def _is_in_start_period(self) -> bool:
        started = self._container.started_ns or 0
        return unix_ns(self._engine.clock) - started < int(self._options.get("StartPeriod", 0))

    def _plan(self) -> None:
        if self._is_over:
            return
        pause_s = self._seconds("Interval", _INTERVAL_S)
        if self.status == "starting" and self._is_in_start_period:
            pause_s = self._seconds("StartInterval", _START_INTERVAL_S)
        self._timer = self._engine.clock.call_later(pause_s, self._probe)

    def _probe(self) -> None:
        if self._is_over or self._container.process is None or self._container.process.is_paused:
            self._plan()
            return
        test = list(self._options["Test"])
        command = ["/bin/sh", "-c", *test[1:2]] if test[0] == "CMD-SHELL" else test[1:]
        body = {
            "User": "", "Privileged": False, "Tty": False, "ConsoleSize": None, "AttachStdin": False,
            "AttachStderr": True, "AttachStdout": True, "DetachKeys": "", "Env": None, "WorkingDir": "",
            "Cmd": command,
        }  # fmt: skip
        began_ns = unix_ns(self._engine.clock)
        output = bytearray()
        try:
            execution = create_exec(self._engine, self._container, body)
            execution.streams.listen(lambda _stream, data: output.extend(data))
            start_exec(self._engine, execution)
        except EngineError as error:
            self._result(began_ns, -1, error.message)
            return
        timeout_s = self._seconds("Timeout", _TIMEOUT_S)
        timer = self._engine.clock.call_later(timeout_s, self._overdue, execution, began_ns, timeout_s)

        def done(future: Future[int]) -> None:
            if timer.is_pending:
                timer.cancel()
                self._result(began_ns, future.result(), output[:_KEPT_OUTPUT].decode(errors="replace"))

        execution.streams.ended.add_done_callback(done)

    def _overdue(self, execution: Exec, began_ns: int, timeout_s: float) -> None:
        if execution.process is not None:
            execution.process.kill(SIGKILL)
        self._result(began_ns, -1, f"Health check exceeded timeout ({timeout_s:g}s)")

    def _result(self, began_ns: int, exit_code: int, output: str) -> None:
        if self._is_over:
            return
        ended_ns = unix_ns(self._engine.clock)
        self.results.append(
            {"Start": rfc3339(began_ns), "End": rfc3339(ended_ns), "ExitCode": exit_code, "Output": output}
        )
        before = self.status
        if exit_code == 0:
            self.failing_streak, self.status = 0, "healthy"
        elif not (self.status == "starting" and self._is_in_start_period):
            self.failing_streak += 1
            if self.failing_streak >= (self._options.get("Retries") or _RETRIES):
                self.status = "unhealthy"
        if self.status != before:
            self._engine.log_container(self._container, f"health_status: {self.status}")
            watchers, self.watchers = self.watchers, []
            for watcher in watchers:
                watcher()
        self._plan()
