"""util-linux's dmesg. The simulated kernel log contains only the lines of iptables' LOG target."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.userland.libc.getopt import UsageError, getopt

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_USAGE = "Try 'dmesg --help' for more information.\n"


async def main(process: Process) -> int:
    """Run `dmesg [-T | -t] [-c | -C]`.

    -T prints the time of day, -t no time. -c clears the log after printing it, -C without printing it.
    """
    try:
        options = getopt(
            process.argv[1:], "TtcCPkL", {"ctime": "T", "notime": "t", "read-clear": "c", "clear": "C", "kernel": "k"}
        )
    except UsageError as error:
        process.error(f"dmesg: {error}\n{_USAGE}")
        return 1
    lines = process.machine.kernel_log
    if "C" not in options:
        for time_ns, line in lines:
            process.write(f"{_stamp(process, time_ns, options.count('T'), options.count('t'))}{line}\n")
    if "C" in options or "c" in options:
        lines.clear()
    return 0


async def busybox(process: Process) -> int:
    """Run busybox's dmesg. In a container it needs the capability SYSLOG."""
    if not process.credentials.has("SYSLOG"):
        process.error("dmesg: klogctl: Operation not permitted\n")
        return 1
    return await main(process)


def _stamp(process: Process, time_ns: int, is_day_time: int, is_bare: int) -> str:
    if is_bare:
        return ""
    if is_day_time:
        return f"[{time.strftime('%a %b %e %H:%M:%S %Y', time.gmtime(process.clock.epoch_s + time_ns // NS_PER_S))}] "
    return f"[{time_ns // NS_PER_S:5d}.{time_ns % NS_PER_S // 1000:06d}] "
