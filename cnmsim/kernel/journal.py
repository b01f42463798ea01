"""The journal of a host (systemd-journald): the messages that its services log.

`/var/log/syslog` shows it in the format of rsyslog on Debian 13.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from attrs import define, field, frozen

_ENTRIES = 8192
_NS_PER_S = 1_000_000_000


@frozen
class JournalEntry:
    """One entry. `time_ns` is the time of day in nanoseconds since 1970, `priority` the severity of RFC 5424."""

    time_ns: int
    identifier: str
    pid: int
    message: str
    priority: int = 6
    unit: str = ""
    #: Additional fields by name, such as `CONTAINER_NAME`.
    fields: Mapping[str, str] = field(factory=dict)


@define(eq=False)
class Journal:
    """The newest entries in the journal of the host `hostname`, oldest first."""

    hostname: str
    entries: deque[JournalEntry] = field(factory=lambda: deque(maxlen=_ENTRIES), init=False)
    _followers: list[Callable[[JournalEntry], None]] = field(factory=list, init=False, repr=False)

    def add(self, entry: JournalEntry) -> None:
        """Append an entry."""
        self.entries.append(entry)
        for follower in tuple(self._followers):
            follower(entry)

    def follow(self, follower: Callable[[JournalEntry], None]) -> Callable[[], None]:
        """Call `follower` with each new entry. Return a function that unsubscribes it."""
        self._followers.append(follower)
        return lambda: self._followers.remove(follower)

    def syslog(self) -> str:
        """Return the content of /var/log/syslog."""
        return "".join(
            f"{_iso(entry.time_ns)} {self.hostname} {entry.identifier}[{entry.pid}]: {entry.message}\n"
            for entry in self.entries
        )


def _iso(time_ns: int) -> str:
    seconds, fraction = divmod(time_ns, _NS_PER_S)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction // 1000:06d}+00:00"
