"""The part that iperf3's client and server share: a test's streams, interval reports and results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define, field

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.userland.iperf3.report import (
    HEADERS,
    RULER,
    SENDER_SUMMARY,
    datagrams_line,
    jitter_line,
    plain_line,
    sender_line,
)
from cnmsim.userland.iperf3.streams import Stream

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process


@define(eq=False)
class Run:
    """A running test as seen by one end, client or server. `is_sender` is True if this end sends the data."""

    process: Process
    protocol: str
    is_sender: bool
    interval_s: float
    streams: list[Stream] = field(factory=list)
    _begun_ns: int = 0
    _reported_s: float = 0.0
    duration_s: float = 0.0

    @property
    def elapsed_s(self) -> float:
        """The time since the test began, in seconds."""
        return (self.process.clock.now_ns - self._begun_ns) / NS_PER_S

    def begin(self) -> None:
        """Print the header, then start the streams and the interval reports."""
        self._begun_ns = self.process.clock.now_ns
        self.process.write(f"{HEADERS[self.protocol, self.is_sender]}\n")
        for stream in self.streams:
            self.process.task(stream.send(self.process) if self.is_sender else stream.receive(self.process))
        if self.interval_s:
            self.process.task(self._report_intervals())

    async def _report_intervals(self) -> None:
        number = 1
        while not self.duration_s:
            await self.process.sleep(number * self.interval_s - self.elapsed_s)
            if not self.duration_s:
                self._report()
            number += 1

    def _report(self) -> None:
        start_s, end_s = self._reported_s, self.elapsed_s
        if len(self.streams) > 1 and start_s:
            self.process.write(f"{RULER}\n")
        self._reported_s = end_s
        figures = [stream.next_interval() for stream in self.streams]
        rows = [(str(stream.number), stream, each) for stream, each in zip(self.streams, figures, strict=True)]
        for name, stream, (count, packets, lost, again) in rows:
            if self.protocol == "udp" and self.is_sender:
                line = datagrams_line(name, start_s, end_s, count, packets)
            elif self.protocol == "udp":
                line = jitter_line(name, start_s, end_s, count, stream.jitter_s, lost, packets)
            elif self.is_sender:
                line = sender_line(name, start_s, end_s, count, again, stream.window)
            else:
                line = plain_line(name, start_s, end_s, count)
            self.process.write(f"{line}\n")
        if len(rows) > 1:
            count, packets, lost, again = (sum(column) for column in zip(*figures, strict=True))
            jitter_s = sum(stream.jitter_s for stream in self.streams) / len(rows)
            if self.protocol == "udp" and self.is_sender:
                line = datagrams_line("SUM", start_s, end_s, count, packets)
            elif self.protocol == "udp":
                line = jitter_line("SUM", start_s, end_s, count, jitter_s, lost, packets)
            elif self.is_sender:
                line = sender_line("SUM", start_s, end_s, count, again, None)
            else:
                line = plain_line("SUM", start_s, end_s, count)
            self.process.write(f"{line}\n")

    def end(self) -> None:
        """Stop the streams.

        Report the last interval unless it is short and without data (iperf_print_intermediate).
        """
        self.duration_s = max(self.elapsed_s, 1e-9)
        for stream in self.streams:
            stream.is_over = True
        is_long = self.duration_s - self._reported_s >= self.interval_s / 10
        has_data = any(stream.total_bytes > stream.mark[0] for stream in self.streams)
        if self.interval_s and (is_long or has_data) and self.duration_s > self._reported_s:
            self._report()

    def results(self) -> list[dict[str, Any]]:
        """Return the figures that this end sends to the other after the test, one dict per stream."""
        return [
            {
                "id": at, "bytes": stream.total_bytes, "retransmits": stream.retransmitted if self.is_sender else -1,
                "jitter": stream.jitter_s, "errors": stream.lost, "packets": stream.packets,
                "start_time": 0, "end_time": self.duration_s,
            }
            for at, stream in enumerate(self.streams, 1)
        ]  # fmt: skip

    def summarise(self, sent: list[dict[str, Any]] | None, received: list[dict[str, Any]] | None) -> None:
        """Print the summary of the test. `sent` and `received` are the results of the sender and of the receiver.

        `None` omits the lines of that end.
        """
        is_retr = self.protocol == "tcp" and sent is not None
        self.process.write(f"{RULER}\n{SENDER_SUMMARY if is_retr else HEADERS[self.protocol, False]}\n")
        names = [str(stream.number) for stream in self.streams]
        groups = [(name, [at]) for at, name in enumerate(names)]
        if len(names) > 1:
            groups.append(("SUM", list(range(len(names)))))
        for name, members in groups:
            if sent is not None:
                self.process.write(f"{self._summary(name, [sent[at] for at in members], 'sender')}\n")
            if received is not None:
                self.process.write(f"{self._summary(name, [received[at] for at in members], 'receiver')}\n")

    def _summary(self, name: str, rows: list[dict[str, Any]], role: str) -> str:
        end_s = max(row["end_time"] for row in rows)
        count = sum(row["bytes"] for row in rows)
        if self.protocol == "udp":
            lost = sum(row["errors"] for row in rows)
            jitter_s = sum(row["jitter"] for row in rows) / len(rows)
            return jitter_line(name, 0, end_s, count, jitter_s, lost, sum(row["packets"] for row in rows), role)
        if role == "sender":
            return sender_line(name, 0, end_s, count, sum(row["retransmits"] for row in rows), None, role)
        return plain_line(name, 0, end_s, count, role)
