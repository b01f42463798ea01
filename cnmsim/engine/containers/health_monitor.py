"""Health checks: a command run in a container at intervals.

Source: moby `daemon/health.go`.
"""

from __future__ import annotations

from typing import Any

from attrs import define, field

from cnmsim.engine.containers.container import Container
from cnmsim.engine.containers.exec import Exec
from cnmsim.engine.containers.execs import create_exec, start_exec
from cnmsim.engine.containers.health import Health
from cnmsim.engine.context import EngineContext
from cnmsim.engine.standins.standin import StandIn, can_decide
from cnmsim.engine.wire.timestamps import duration_text
from cnmsim.errors import EngineError
from cnmsim.gojson.fields import rfc3339
from cnmsim.kernel.clock import NS_PER_S, Timer
from cnmsim.kernel.process import SIGKILL
from cnmsim.kernel.task import Future

_INTERVAL_S, _TIMEOUT_S, _START_INTERVAL_S, _RETRIES = 30.0, 30.0, 5.0, 3
_KEPT_OUTPUT = 4096


def start_monitor(context: EngineContext, container: Container) -> None:
    """Start to check the health of a container whose process has just started, if it has a health check."""
    options = container.config.get("Healthcheck")
    if options and options.get("Test") and options["Test"][0] in {"CMD", "CMD-SHELL"}:
        container.health = HealthMonitor(context, container, options).health


@define(eq=False)
class HealthMonitor:
    """Runs the health check of one running container at intervals. `options` is its configured `Healthcheck`."""

    _context: EngineContext
    _container: Container
    _options: dict[str, Any]
    health: Health = field(init=False)
    _timer: Timer | None = field(default=None, init=False)
    _has_ended: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.health = Health(self._end)
        self._schedule()

    def _end(self) -> None:
        self._has_ended = True
        if self._timer is not None:
            self._timer.cancel()

    def _seconds(self, key: str, default: float) -> float:
        value = self._options.get(key, 0)
        return float(value) / NS_PER_S if value else default

    def _is_in_start_period(self, time_ns: int) -> bool:
        return time_ns - (self._container.started_ns or 0) < int(self._options.get("StartPeriod", 0))

    def _schedule(self) -> None:
        if self._has_ended:
            return
        pause_s = self._seconds("Interval", _INTERVAL_S)
        if self.health.status == "starting" and self._is_in_start_period(self._context.clock.unix_ns):
            pause_s = self._seconds("StartInterval", _START_INTERVAL_S)
        self._timer = self._context.clock.call_later(pause_s, self._probe)

    def _probe(self) -> None:
        if self._has_ended or self._container.process is None or self._container.process.is_paused:
            self._schedule()
            return
        test = list(self._options["Test"])
        shell = self._container.config.get("Shell") or ["/bin/sh", "-c"]
        command = [*shell, *test[1:]] if test[0] == "CMD-SHELL" else test[1:]
        body = {
            "User": "", "Privileged": False, "Tty": False, "ConsoleSize": None, "AttachStdin": False,
            "AttachStderr": True, "AttachStdout": True, "DetachKeys": "", "Env": None, "WorkingDir": "",
            "Cmd": command,
        }  # fmt: skip
        began_ns = self._context.clock.unix_ns
        output = bytearray()
        if not can_decide(self._context, self._container, command):
            self._assume(began_ns, f"{' '.join(test[1:])}: its programs are not simulated")
            return
        try:
            execution = create_exec(self._context, self._container, body)
            execution.streams.listen(lambda _stream, data: output.extend(data))
            start_exec(self._context, execution)
        except EngineError as error:
            self._record(began_ns, -1, error.message)
            return
        timeout_s = self._seconds("Timeout", _TIMEOUT_S)
        timer = self._context.clock.call_later(timeout_s, self._time_out, execution, began_ns, output)

        def done(future: Future[int]) -> None:
            if timer.is_pending:
                timer.cancel()
                text = _limited(output)
                first = self._container.process
                if future.result() and first is not None and isinstance(first.program, StandIn):
                    self._assume(
                        began_ns, f"it fails against the stand-in for {first.program.program}: {text.strip()}"
                    )
                else:
                    self._record(began_ns, future.result(), text)

        execution.streams.ended.add_done_callback(done)

    def _assume(self, began_ns: int, why: str) -> None:
        """Record a result for a check whose command the simulation cannot run, for the reason `why`.

        The result is "passed", or "failed" in a lab with the option `--strict`. `began_ns` is the virtual time at
        which the check began.
        """
        is_strict = self._context.images.catalogue.is_strict
        self.health.undecided = why
        outcome = "fails (--strict)" if is_strict else "counts as passed"
        self._record(began_ns, int(is_strict), f"cnmsim: the check cannot be decided and {outcome}: {why}\n")

    def _time_out(self, execution: Exec, began_ns: int, output: bytearray) -> None:
        if execution.process is not None:
            execution.process.kill(SIGKILL)
        timeout = duration_text(round(self._seconds("Timeout", _TIMEOUT_S) * NS_PER_S))
        printed = f": {_limited(output)}" if output else ""
        self._record(began_ns, -1, f"Health check exceeded timeout ({timeout}){printed}")

    def _record(self, began_ns: int, exit_code: int, output: str) -> None:
        if self._has_ended:
            return
        health, status = self.health, self.health.status
        ended_ns = self._context.clock.unix_ns
        health.results.append(
            {"Start": rfc3339(began_ns), "End": rfc3339(ended_ns), "ExitCode": exit_code, "Output": output}
        )
        if exit_code == 0:
            health.failing_streak, status = 0, "healthy"
        elif not (status == "starting" and self._is_in_start_period(began_ns)):
            health.failing_streak += 1
            if health.failing_streak >= (self._options.get("Retries") or _RETRIES):
                status = "unhealthy"
        if status != health.status:
            health.status = status
            self._context.log_container(self._container, f"health_status: {status}")
            health.notify_watchers()
        self._schedule()


def _limited(output: bytearray) -> str:
    """Return the output of a check, cut after 4096 bytes (moby `limitedBuffer`)."""
    text = output[:_KEPT_OUTPUT].decode(errors="replace")
    return f"{text}..." if len(output) > _KEPT_OUTPUT else text
