"""One message of a container's log.

Source: moby `daemon/logger/logger.go` (`Message`), `api/server/httputils/write_log_stream.go`.
"""

from __future__ import annotations

from attrs import frozen

from cnmsim.gojson.fields import rfc3339


@frozen
class LogLine:
    """One message of a log: a line, including its newline if it had one. `stream` is "stdout" or "stderr".

    A line longer than 16 KiB is several messages, of which only the last one has the newline.
    """

    time_ns: int
    stream: str
    text: bytes

    def rendered(self, *, timestamps: bool, details: str | None = None) -> bytes:
        """Return the line as `docker logs` prints it.

        `timestamps` puts the time before it. `details` are the attributes that `--details` prints, `None` without
        this option.
        """
        stamp = rfc3339(self.time_ns, keep_zeros=True) + " " if timestamps else ""
        attributes = "" if details is None else f"{details} "
        return f"{stamp}{attributes}".encode() + self.text
