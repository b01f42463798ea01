"""tcpdump: what crosses a device, a line a frame; -w writes a pcap file."""

from __future__ import annotations

import time
from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.kernel.clock import NS
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.task import Queue
from cnmsim.userland.applet import path_of
from cnmsim.userland.options import Options, UsageError, getopt
from cnmsim.userland.packet_filter import compile_filter
from cnmsim.userland.packet_primitives import FilterFault, Seen, Test
from cnmsim.userland.packet_text import UDP_KINDS, Printer

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.process import Process

_USAGE = "Usage: tcpdump [-ennqtvDl] [ -c count ] [ -i interface ] [ -w file ] [ expression ]\n"
_FILE_HEADER = Struct("<IHHiIII").pack(0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
_RECORD = Struct("<IIII")


@define(eq=False)
class _Capture:
    process: Process
    options: Options
    devices: list[Device]
    test: Test
    printer: Printer
    target: str | None
    frames: Queue[tuple[int, str, str, bytes]] = field(init=False)
    captured: int = 0
    _taps: list[tuple[Device, Callable[[int, str, bytes], None]]] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.frames = Queue(self.process.clock)

    def open(self) -> None:
        """Begin to listen."""
        for device in self.devices:
            tap = self._tap_of(device.name)
            device.taps += (tap,)
            self._taps.append((device, tap))

    def _tap_of(self, name: str) -> Callable[[int, str, bytes], None]:
        def tap(time_ns: int, direction: str, frame: bytes) -> None:
            if not self.process.is_running:
                self.close()
                return
            if name == "lo" and direction == "in":
                return  # what the loopback device sends it receives; it is shown once
            if self.test(Seen.of(frame)):
                self.frames.put((time_ns, name, direction, frame))

        return tap

    def close(self) -> None:
        """Listen no more."""
        for device, tap in self._taps:
            device.taps = tuple(other for other in device.taps if other is not tap)
        self._taps.clear()

    def summary(self) -> None:
        """Print the counts, as at the end."""
        plural = "" if self.captured == 1 else "s"
        self.process.error(
            f"{self.captured} packet{plural} captured\n{self.captured + len(self.frames)} packets received by filter\n"
            "0 packets dropped by kernel\n"
        )

    def show(self, time_ns: int, name: str, direction: str, frame: bytes) -> None:
        """Print one frame, or write it to the file."""
        self.captured += 1
        if self.target is not None:
            seconds, nanos = divmod(time_ns, NS)
            record = _RECORD.pack(self.process.clock.epoch_s + seconds, nanos // 1000, len(frame), len(frame)) + frame
            if self.target == "-":
                self.process.write(record)
            else:
                self.process.files.append(self.target, record)
            return
        place = f"{name:<5} {direction.capitalize():<3} " if len(self.devices) > 1 else ""
        self.process.write(f"{self._stamp(time_ns)}{place}{self.printer.line(frame)}\n")

    def _stamp(self, time_ns: int) -> str:
        count = self.options.count("t")
        seconds, nanos = divmod(time_ns, NS)
        micros = nanos // 1000
        if count == 1:
            return ""
        if count == 2:
            return f"{self.process.clock.epoch_s + seconds}.{micros:06d} "
        form = "%Y-%m-%d %H:%M:%S" if count >= 4 else "%H:%M:%S"
        return f"{time.strftime(form, time.gmtime(self.process.clock.epoch_s + seconds))}.{micros:06d} "


async def main(process: Process) -> int:
    """Run `tcpdump [-ennqtvl] [-c COUNT] [-i DEVICE] [-w FILE] [EXPRESSION]`."""
    try:
        options = getopt(
            process.argv[1:],
            "AbdDefhHIJKlLnNOpqStuUvxXi:c:w:r:s:Q:B:C:G:W:y:z:T:",
            {"interface=": "i", "immediate-mode": "im"},
        )
        count = options.number("c", 0)
        test = compile_filter(" ".join(options.operands))
    except UsageError as error:
        process.error(f"tcpdump: {error}\n{_USAGE}")
        return 1
    except FilterFault as fault:
        process.error(f"tcpdump: {fault}\n")
        return 1
    kind = options.get("T") or ""
    if kind and kind not in UDP_KINDS:
        process.error(f"tcpdump: unknown packet type '{kind}'\n")
        return 1
    namespace = process.namespace
    if "D" in options:
        for number, device in enumerate([*namespace.devices.values()], 1):
            process.write(f"{number}.{device.name} [Up, Running]\n")
        return 0
    wanted = options.get("i")
    if wanted is None:
        wanted = next(
            (device.name for device in namespace.devices.values() if device.is_up and device.name != "lo"), "lo"
        )
    if wanted != "any" and wanted not in namespace.devices:
        process.error(f"tcpdump: {wanted}: No such device exists\n(No such device exists)\n")
        return 1
    devices = list(namespace.devices.values()) if wanted == "any" else [namespace.devices[wanted]]
    target = options.get("w")
    if target is not None and target != "-":
        target = path_of(process, target)
        try:
            process.files.write(target, _FILE_HEADER)
        except OSError as error:
            process.error(f"tcpdump: {options.get('w')}: {strerror(error)}\n")
            return 1
    elif target == "-":
        process.write(_FILE_HEADER)
    printer = Printer(options.count("n") > 0, "e" in options, options.count("v"), kind)
    capture = _Capture(process, options, devices, test, printer, target)
    if not options.count("v"):
        process.error("tcpdump: verbose output suppressed, use -v[v]... for full protocol decode\n")
    kind = "LINUX_SLL2 (Linux cooked v2)" if wanted == "any" else "EN10MB (Ethernet)"
    process.error(
        f"{'tcpdump: ' if options.count('v') else ''}listening on {wanted}, link-type {kind}, snapshot length 262144 bytes\n"
    )

    def stop() -> None:
        capture.close()
        if target is None:
            process.write("\n")  # the line that was being printed may not be whole, tcpdump.c says (4.99.5)
        capture.summary()
        process.exit(0)

    process.handlers[2] = process.handlers[15] = stop
    capture.open()
    try:
        while not count or capture.captured < count:
            capture.show(*await capture.frames.get())
    finally:
        capture.close()
    capture.summary()
    return 0
