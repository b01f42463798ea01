"""The lines that iperf3 prints (iperf3 3.18, `iperf_locale.c`, `units.c`)."""

from __future__ import annotations

HEADERS = {
    ("tcp", True): "[ ID] Interval           Transfer     Bitrate         Retr  Cwnd",
    ("tcp", False): "[ ID] Interval           Transfer     Bitrate",
    ("udp", True): "[ ID] Interval           Transfer     Bitrate         Total Datagrams",
    ("udp", False): "[ ID] Interval           Transfer     Bitrate         Jitter    Lost/Total Datagrams",
}
SENDER_SUMMARY = "[ ID] Interval           Transfer     Bitrate         Retr"
RULER = "- - - - - - - - - - - - - - - - - - - - - - - - -"
BANNER = "-----------------------------------------------------------"
_BYTES = ("Bytes", "KBytes", "MBytes", "GBytes", "TBytes")
_BITS = ("bits", "Kbits", "Mbits", "Gbits", "Tbits")


def _scaled(value: float, step: int, units: tuple[str, ...]) -> str:
    at = 0
    while value >= step and at < len(units) - 1:
        value /= step
        at += 1
    places = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:4.{places}f} {units[at]}"


def size_text(count: float) -> str:
    """Format a number of bytes, e.g. `6.00 MBytes`."""
    return _scaled(count, 1024, _BYTES)


def _head(name: str, start_s: float, end_s: float, count: float) -> str:
    rate = count * 8 / (end_s - start_s) if end_s > start_s else 0.0
    return f"[{name:>3}] {start_s:6.2f}-{end_s:<6.2f} sec  {size_text(count)}  {_scaled(rate, 1000, _BITS)}/sec"


def plain_line(name: str, start_s: float, end_s: float, count: float, role: str = "") -> str:
    """Return the line of a TCP receiver.

    `name` is the number of the stream, or `SUM`. `start_s` and `end_s` are the interval, `count` the bytes in it.
    `role` is `sender` or `receiver` in the summary, "" in interval reports.
    """
    return f"{_head(name, start_s, end_s, count)}                  {role}"


def sender_line(
    name: str, start_s: float, end_s: float, count: float, retransmitted: int, window: int | None, role: str = ""
) -> str:
    """Return the line of a TCP sender.

    `retransmitted` is the number of TCP retransmissions, `window` the congestion window in bytes. `None` leaves the
    window out, as in sums and summaries. The other parameters are those of `plain_line`.
    """
    head = _head(name, start_s, end_s, count)
    if window is not None:
        return f"{head}  {retransmitted:3d}   {size_text(window)}       {role}"
    return f"{head}  {retransmitted:3d}{' ' * (13 if name == 'SUM' else 12)}{role}"


def datagrams_line(name: str, start_s: float, end_s: float, count: float, packets: int) -> str:
    """Return the line of a UDP sender in an interval report. The parameters are those of `plain_line`.

    `packets` is the number of datagrams sent in the interval.
    """
    return f"{_head(name, start_s, end_s, count)}  {packets}  "


def jitter_line(
    name: str, start_s: float, end_s: float, count: float, jitter_s: float, lost: int, total: int, role: str = ""
) -> str:
    """Return the line of a UDP receiver, or of either end in the summary.

    `lost` of `total` datagrams were lost. The other parameters are those of `plain_line`.
    """
    share = "%.2g" % (100 * lost / total if total else 0)
    return f"{_head(name, start_s, end_s, count)}  {jitter_s * 1000:5.3f} ms  {lost}/{total} ({share}%)  {role}"
