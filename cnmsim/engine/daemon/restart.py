"""Restart of dockerd by systemd: containers end, and start again according to their restart policies.

Source: moby `daemon/daemon.go` (`Shutdown`, `restore`), `cmd/dockerd/daemon.go`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import define

from cnmsim.engine.daemon.crash import CrashState, halt_node, leave_networks, regain_power, to_start
from cnmsim.engine.daemon.service import log_start, log_started
from cnmsim.errors import EngineError
from cnmsim.kernel.unit import Unit
from cnmsim.libnetwork.daemon_log import UNIT

if TYPE_CHECKING:
    from cnmsim.engine.engine import Engine


_COMMAND = "/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock"


@define(eq=False)
class DockerService:
    """The systemd unit docker.service of an engine's host. `read_options` reads daemon.json again."""

    engine: Engine
    read_options: Callable[[], None]

    def unit(self) -> Unit:
        """Return the unit to be entered into the host's table of units."""
        engine = self.engine
        return Unit(
            UNIT, "Docker Application Container Engine", _COMMAND, lambda: engine.controller.daemon().pid,
            self.restart, engine.clock.now_ns,
        )  # fmt: skip

    async def restart(self) -> None:
        """End the daemon and start it again, with the options that daemon.json then has.

        If the daemon refuses the options, it starts with the earlier ones, and `OSError` is raised.
        """
        engine = self.engine
        log = engine.controller.log
        log.write("info", "Processing signal 'terminated'")
        crash_state = None if engine.backend.context.config.live_restore else await self._shut_down()
        try:
            self.read_options()
        except EngineError as error:
            log.write("error", error.message)
            raise OSError(error.message) from None
        finally:
            log_start(engine.backend.context)
            if crash_state is not None:
                regain_power(engine, crash_state)
            log_started(engine.backend.context)
            engine.machine.units[UNIT].started_ns = engine.clock.now_ns

    async def _shut_down(self) -> CrashState:
        engine = self.engine
        halt_node(engine)
        starting = to_start(engine)
        for container in list(engine.store):
            if not container.is_running:
                continue
            was_stopped = container.was_stopped
            with suppress(EngineError):
                await engine.lifecycle.stop(container)
            container.was_stopped = was_stopped
        return CrashState(starting, leave_networks(engine))
