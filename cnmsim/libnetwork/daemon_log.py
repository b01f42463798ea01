"""The log of dockerd, which systemd writes to the host's journal.

Source: sirupsen/logrus `text_formatter.go`, moby `cmd/dockerd/daemon.go` (`configureDaemonLogs`).
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cnmsim.errors import EngineError
from cnmsim.gojson.fields import rfc3339
from cnmsim.gostrconv import quote
from cnmsim.kernel.journal import JournalEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cnmsim.kernel.machine import Machine
    from cnmsim.kernel.process import Process
    from cnmsim.libnetwork.config import DaemonConfig

UNIT = "docker.service"
_LEVELS = ("panic", "fatal", "error", "warning", "info", "debug", "trace")
_PLAIN = re.compile(r"[A-Za-z0-9\-._/@^+]+")


class DaemonLog(list[str]):
    """The daemon's log: a list of the messages of errors that no caller receives as an exception.

    Every message that is appended is also written to the journal.
    """

    def __init__(self, machine: Machine, config: DaemonConfig, daemon: Callable[[], Process]) -> None:
        super().__init__()
        self._machine, self._config, self._daemon = machine, config, daemon

    def append(self, message: str) -> None:
        """Append an error message, and write it to the journal."""
        super().append(message)
        self.write("error", message)

    @contextmanager
    def logging_errors(self, *kinds: type[EngineError]) -> Iterator[None]:
        """Context manager that catches errors of the types `kinds` and appends their messages to the log.

        Without `kinds` it catches any `EngineError`.
        """
        kinds = kinds or (EngineError,)
        try:
            yield
        except kinds as error:
            self.append(error.message)

    @property
    def level(self) -> str:
        """The least severe level that is written to the journal.

        It is `debug` if the option `debug` is set, otherwise the level of the option `log-level`.
        """
        if self._config.debug:
            return "debug"
        level = self._config.log_level
        return {"": "info", "warn": "warning"}.get(level, level)

    def write(self, level: str, message: str, **fields: str) -> None:
        """Write a message to the journal, unless `level` is less severe than the daemon's log level.

        `fields` are printed after the message, e.g. `error=EOF`.
        """
        if _LEVELS.index(level) > _LEVELS.index(self.level):
            return
        time_ns = self._machine.clock.unix_ns
        shown = {"level": level, "msg": message, **dict(sorted(fields.items()))}
        text = f'time="{rfc3339(time_ns, keep_zeros=True)}" ' + " ".join(
            f"{key}={_quoted(value)}" for key, value in shown.items()
        )
        self._machine.journal.add(JournalEntry(time_ns, "dockerd", self._daemon().pid, text, unit=UNIT))


def _quoted(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else quote(value)
