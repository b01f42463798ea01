"""A logging driver as a container's options configure it, and whether its messages can be read.

Source: moby `daemon/logger/logger.go`, `container/container.go` (`StartLogger`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from attrs import field, frozen

from cnmsim.engine.logdrivers.message import LogLine
from cnmsim.engine.logdrivers.storage import LogStorage
from cnmsim.gostrconv import parse_bool


class Sender(Protocol):
    """The part of a driver that sends messages to a server or to the journal."""

    def send(self, line: LogLine) -> bool:
        """Send a message. Return False on an error; the message is then not stored in the local cache either."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


@frozen
class LogDriver:
    """The logging driver of one container, set up according to its options.

    `storage` stores messages, `sender` sends them; each is `None` if the driver does not do so. `details` is the text
    that `docker logs --details` prints before each line. `file` is the path of the log file in the container's
    directory on the host, "" for none.
    """

    storage: LogStorage | None = None
    sender: Sender | None = None
    details: str = ""
    #: The file in the container's directory.
    file: str = field(default="", kw_only=True)


def is_readable(log_config: Mapping[str, object]) -> bool:
    """Return True if `docker logs` can read messages that were logged with this LogConfig."""
    driver, options = log_config["Type"], log_config["Config"]
    if driver == "none":
        return False
    if driver in {"json-file", "local", "journald"}:
        return True
    disabled = options.get("cache-disabled", "") if isinstance(options, Mapping) else ""
    return not (disabled and parse_bool(disabled))
