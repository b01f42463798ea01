"""tcpdump 4.99: prints the frames that pass through a device or that a pcap file contains; -w writes a pcap file."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.digits import is_number
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.task import Queue
from cnmsim.userland.invocation import absolute_path
from cnmsim.userland.libc.getopt import Options, UsageError, getopt
from cnmsim.userland.tcpdump.filter import compile_filter
from cnmsim.userland.tcpdump.pcap_file import (
    COOKED,
    ETHERNET,
    LINK_NAMES,
    SNAPLEN,
    Record,
    cooked,
    direction_name,
    file_header,
    file_record,
    hex_dump,
    read_file,
    text_dump,
)
from cnmsim.userland.tcpdump.primitives import CapturedFrame, FilterError, Predicate
from cnmsim.userland.tcpdump.printer import UDP_KINDS, Printer

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.process import Process

_VERSION = "tcpdump version 4.99.5\nlibpcap version 1.10.5 (with TPACKET_V3)\n"
_USAGE = (
    f"{_VERSION}Usage: tcpdump [-AbDefhKlLnNpqStuUvxX#] [ -B size ] [ -c count ] [--count]\n"
    "\t\t[ -F file ] [ -i interface ] [ -Q in|out|inout ] [ -r file ]\n"
    "\t\t[ -s snaplen ] [ -T type ] [ -w file ] [ -y datalinktype ] [ expression ]\n"
)
#: These options do not change the output here: `b` (AS numbers), `f`, `H`, `K`, `l`, `N`, `p`, `u`, `U` and `B`.
_SHORT = "AbDefhHKlLnNpqStuUvxX#i:c:w:r:s:Q:B:y:T:F:"
_LONG = {
    "interface=": "i", "immediate-mode": "im", "direction=": "Q", "number": "#", "count": "count", "print": "print",
    "version": "version", "help": "h", "list-interfaces": "D", "no-promiscuous-mode": "p", "snapshot-length=": "s",
    "dont-verify-checksums": "K", "absolute-tcp-sequence-numbers": "S", "packet-buffered": "U", "buffer-size=": "B",
    "linktype=": "y", "list-data-link-types": "L", "micro": "micro", "nano": "nano",
    "time-stamp-precision=": "precision",
}  # fmt: skip


class _Exit(Exception):
    """Raised to end tcpdump at once with this exit status and error text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@define(eq=False)
class _Output:
    """Writes captured frames to a pcap file or prints them. With --count they are counted instead of printed."""

    process: Process
    options: Options
    printer: Printer
    link: int
    snaplen: int
    #: The pcap file to write, `-` for standard output, `None` to print lines instead.
    target: str | None
    captured: int = 0
    _first_ns: int | None = field(default=None, init=False)
    _last_ns: int = field(default=0, init=False)

    def open(self) -> None:
        """Write the header of the pcap file, if there is one. Raises `_Exit` if the file cannot be written."""
        if self.target == "-":
            self.process.write(file_header(self.link, self.snaplen))
        elif self.target is not None:
            try:
                self.process.files.write(
                    absolute_path(self.process, self.target), file_header(self.link, self.snaplen)
                )
            except OSError as error:
                raise _Exit(1, f"tcpdump: {self.target}: {strerror(error)}\n") from None

    def show(self, record: Record) -> None:
        """Count one frame, write it to the pcap file if there is one, and print it if the options request that."""
        self.captured += 1
        if self.target is not None:
            data = file_record(record.time_ns, self._data(record), self.snaplen)
            if self.target == "-":
                self.process.write(data)
            else:
                self.process.files.append(absolute_path(self.process, self.target), data)
        if (self.target is None and "count" not in self.options) or "print" in self.options:
            number = f"{self.captured:5}  " if "#" in self.options else ""
            line = self.printer.line(record.frame, record.index)
            self.process.write(
                f"{number}{self._stamp(record)}{self._device_prefix(record)}{line}{self._dump(record)}\n"
            )

    def _device_prefix(self, record: Record) -> str:
        if self.link != COOKED:
            return ""
        devices = self.process.namespace.devices.values()
        name = next((device.name for device in devices if device.index == record.index), str(record.index))
        return f"{name:<5} {direction_name(record):<3} "

    def _data(self, record: Record) -> bytes:
        """Return the bytes to store for a frame, with a cooked header if the capture is on all devices."""
        if self.link != COOKED:
            return record.frame
        devices = self.process.namespace.devices.values()
        return cooked(record, is_loopback=any(one.index == record.index and one.name == "lo" for one in devices))

    def _dump(self, record: Record) -> str:
        options = self.options
        letter = next((letter for letter in "XxA" if letter in options), "")
        if not letter:
            return ""
        header = 20 if self.link == COOKED else 14
        data = self._data(record)[: self.snaplen][0 if options.count(letter) > 1 else header :]
        return text_dump(data) if letter == "A" else hex_dump(data, has_text=letter == "X")

    def _stamp(self, record: Record) -> str:
        count = self.options.count("t")
        at_ns = record.time_ns
        self._first_ns = at_ns if self._first_ns is None else self._first_ns
        before_ns, self._last_ns = (self._last_ns or at_ns), at_ns
        is_nano = "nano" in self.options or self.options.get("precision") == "nano"
        if count == 1:
            return ""
        if count in (3, 5):
            at_ns -= before_ns if count == 3 else self._first_ns
        seconds, nanos = divmod(at_ns, NS_PER_S)
        fraction = f"{nanos:09d}" if is_nano else f"{nanos // 1000:06d}"
        if count == 2:
            return f"{seconds}.{fraction} "
        form = "%Y-%m-%d %H:%M:%S" if count == 4 else "%H:%M:%S"
        return f"{' ' if count in (3, 5) else ''}{time.strftime(form, time.gmtime(seconds))}.{fraction} "


@define(eq=False)
class _Capture:
    """A capture on `devices`. Frames for which the filter `test` is true are put into the queue `frames`."""

    output: _Output
    devices: list[Device]
    test: Predicate
    #: The direction of the frames to capture: `in`, `out`, or "" for both.
    direction: str
    frames: Queue[Record] = field(init=False)
    _taps: list[tuple[Device, Callable[[int, str, bytes], None]]] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.frames = Queue(self.output.process.clock)

    def open(self) -> None:
        """Start the capture: install a tap on each device."""
        for device in self.devices:
            tap = self._tap_of(device)
            device.taps += (tap,)
            self._taps.append((device, tap))

    def _tap_of(self, device: Device) -> Callable[[int, str, bytes], None]:
        process = self.output.process
        epoch_ns = process.clock.epoch_s * NS_PER_S
        # A frame on the loopback device is both sent and received. Only one of the two is shown.
        unwanted = {"in": "out", "out": "in"}.get(self.direction, "in" if device.name == "lo" else "")

        def tap(time_ns: int, direction: str, frame: bytes) -> None:
            if not process.is_running:
                self.close()
            elif direction != unwanted and self.test(CapturedFrame.of(frame, direction)):
                self.frames.put(Record(epoch_ns + time_ns, frame, device.index, direction))

        return tap

    def close(self) -> None:
        """End the capture: remove the taps."""
        for device, tap in self._taps:
            device.taps = tuple(other for other in device.taps if other is not tap)
        self._taps.clear()

    def summary(self) -> None:
        """Print the packet counts that tcpdump prints when it ends."""
        captured, process = self.output.captured, self.output.process
        plural = "" if captured == 1 else "s"
        process.error(
            f"{captured} packet{plural} captured\n{captured + len(self.frames)} packets received by filter\n"
            "0 packets dropped by kernel\n"
        )


async def main(process: Process) -> int:
    """Run `tcpdump [-AeLnqStvxX#] [-c COUNT] [-i DEVICE] [-Q in|out] [-r FILE] [-s LENGTH] [-w FILE] [FILTER]`."""
    try:
        options = getopt(process.argv[1:], _SHORT, _LONG)
        _print_information(process, options)
        count, snaplen = _numbers(options)
        return await _run(process, options, count, snaplen)
    except UsageError as error:
        process.error(f"tcpdump: {error}\n{_USAGE}")
        return 1
    except FilterError as error:
        process.error(f"tcpdump: {error}\n")
        return 1
    except _Exit as stop:
        process.error(str(stop))
        return stop.status


def _print_information(process: Process, options: Options) -> None:
    """Carry out the options that only print information, such as -D, and check the arguments of -T and -y.

    Raises `_Exit` if tcpdump ends here.
    """
    if "version" in options:
        process.write(_VERSION)
        raise _Exit(0, "")
    if "h" in options:
        raise _Exit(0, _USAGE)
    if "D" in options:
        process.write(_device_list(process))
        raise _Exit(0, "")
    kind = options.get("T") or ""
    if kind and kind not in UDP_KINDS:
        raise _Exit(1, f"tcpdump: unknown packet type '{kind}'\n")
    link = options.get("y")
    if link is not None and link.upper() not in ("EN10MB", "LINUX_SLL2"):
        raise _Exit(1, f"tcpdump: invalid data link type {link}\n")


def _device_list(process: Process) -> str:
    devices = sorted(process.namespace.devices.values(), key=lambda device: (not device.is_up, device.index))
    lines = [_device_line(device) for device in devices if device.is_up and device.name != "lo"]
    lines.append("any (Pseudo-device that captures on all interfaces) [Up, Running]")
    lines += [_device_line(device) for device in devices if not device.is_up or device.name == "lo"]
    return "".join(f"{number}.{line}\n" for number, line in enumerate(lines, 1))


def _device_line(device: Device) -> str:
    words = ["Up"] if device.is_up else []
    words += ["Running"] if device.is_up and device.has_carrier else []
    if device.kind == "loopback":
        words.append("Loopback")
    elif words:
        words.append("Connected" if device.has_carrier else "Disconnected")
    return f"{device.name} [{', '.join(words) or 'none'}]"


def _numbers(options: Options) -> tuple[int, int]:
    """Parse -c and -s, and check -Q. Return two numbers: frames to capture (0: no limit), and bytes to keep of each.

    Raises `_Exit` if an argument is invalid.
    """
    text = options.get("c")
    if text is not None and not (is_number(text) and int(text)):
        raise _Exit(1, f"tcpdump: invalid packet count {text}\n")
    snap = options.get("s")
    if snap is not None and not (is_number(snap) and int(snap) <= SNAPLEN):
        raise _Exit(1, f"tcpdump: invalid snaplen {snap} (must be >= 0 and <= {SNAPLEN})\n")
    if options.get("Q") not in (None, "in", "out", "inout"):
        raise _Exit(1, f"tcpdump: unknown capture direction '{options.get('Q')}'\n")
    return int(text or 0), int(snap or 0) or SNAPLEN


async def _run(process: Process, options: Options, count: int, snaplen: int) -> int:
    expression = " ".join(options.operands)
    if options.get("F"):
        expression = _read(process, options.get("F") or "", "can't open ").decode(errors="replace")
    printer = Printer(
        options.count("n") > 0, "e" in options, options.count("v"), options.get("T") or "",
        is_quick="q" in options, is_absolute="S" in options,
    )  # fmt: skip
    output = _Output(process, options, printer, ETHERNET, snaplen, options.get("w"))
    source = options.get("r")
    if source is not None:
        return _replay(output, source, expression, count)
    devices = _devices(process, options)
    is_any = options.get("i") == "any"
    output.link = printer.link = COOKED if is_any else ETHERNET
    if "L" in options:
        name = "any" if is_any else devices[0].name
        known = LINK_NAMES[output.link]
        process.error(f"Data link types for {name} (use option -y to set):\n  {known}\n")
        return 0
    prefixes = [item.prefix for device in devices if not is_any for item in device.addresses if item.family == 4]
    host_bits = (1 << 32 - prefixes[0].length) - 1 if prefixes else 0xFFFFFFFF
    test = compile_filter(expression, host_bits=host_bits)
    output.open()
    direction = (options.get("Q") or "").removeprefix("inout")
    return await _listen(_Capture(output, devices, test, direction), count)


def _read(process: Process, name: str, prefix: str = "") -> bytes:
    try:
        return process.files.read(absolute_path(process, name))
    except OSError as error:
        raise _Exit(1, f"tcpdump: {prefix}{name}: {strerror(error)}\n") from None


def _devices(process: Process, options: Options) -> list[Device]:
    known = process.namespace.devices
    name = options.get("i")
    if name is None:
        name = next((device.name for device in known.values() if device.is_up and device.name != "lo"), "lo")
    if name == "any":
        return list(known.values())
    if name not in known:
        raise _Exit(1, f"tcpdump: {name}: No such device exists\n(No such device exists)\n")
    return [known[name]]


def _replay(output: _Output, source: str, expression: str, count: int) -> int:
    """Print the frames in the pcap file `source` (-r) that match the filter `expression`. Return the exit status.

    At most `count` frames are printed (0: no limit).
    """
    process, options = output.process, output.options
    try:
        link, snaplen, records = read_file(_read(process, source))
    except ValueError as error:
        raise _Exit(1, f"tcpdump: {error}\n") from None
    output.link = output.printer.link = link
    output.snaplen = SNAPLEN  # frames from a file are not truncated again
    process.error(f"reading from file {source}, link-type {LINK_NAMES[link]}, snapshot length {snaplen}\n")
    test = compile_filter(expression, is_live=False)
    output.open()
    for record in records:
        if test(CapturedFrame.of(record.frame, record.direction)):
            output.show(record)
        if count and output.captured >= count:
            break
    if "count" in options:
        process.write(f"{output.captured} packet{'' if output.captured == 1 else 's'}\n")
    return 0


async def _listen(capture: _Capture, count: int) -> int:
    """Print captured frames until tcpdump is interrupted or has printed `count` of them. Return the exit status."""
    output = capture.output
    process, options = output.process, output.options
    if not options.count("v"):
        process.error("tcpdump: verbose output suppressed, use -v[v]... for full protocol decode\n")
    name = "any" if output.link == COOKED else capture.devices[0].name
    process.error(
        f"{'tcpdump: ' if options.count('v') else ''}listening on {name}, link-type {LINK_NAMES[output.link]}, "
        f"snapshot length {output.snaplen} bytes\n"
    )

    def stop() -> None:
        capture.close()
        if output.target is None:
            process.write("\n")  # ends a line that may be incomplete (tcpdump.c 4.99.5)
        capture.summary()
        process.exit(0)

    process.handlers[2] = process.handlers[15] = stop
    capture.open()
    try:
        while not count or output.captured < count:
            output.show(await capture.frames.get())
    finally:
        capture.close()
    capture.summary()
    return 0
