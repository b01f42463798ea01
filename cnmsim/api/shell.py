"""The client side of `cnmsim sh`: runs one program on a host of a served lab, with this terminal's streams.

It imports little, because it must start fast: shell scripts call it for every program.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from cnmsim.api.control_channel import connect
from cnmsim.api.frames import HEAD, Frame, pack
from cnmsim.errors import Unavailable
from cnmsim.printable import printable

_READ = 65536
_UNREACHABLE = 125
_NOT_FOUND = 127
_NOT_PROGRAMS = frozenset({"sh", "[", "test", "true", "false", "echo", "printf", "cat", "env", "kill", "exit"})


def run_program(directory: Path, host: str, argv: list[str]) -> int:
    """Run a program on a host of the lab that is served in `directory`.

    Return its exit status, 125 if the lab does not respond, or 127 for an unknown program.
    """
    try:
        channel = connect(directory)
    except Unavailable as error:
        sys.stderr.write(f"cnmsim: {printable(error.message)}\n")
        return _UNREACHABLE
    with channel:
        request = json.dumps({"verb": "exec", "host": host, "argv": argv, "columns": _columns()}).encode() + b"\n"
        reads_input = _has_input()
        # Sent in one piece: a program that has ended may have closed the connection before a second one.
        channel.sendall(request if reads_input else request + pack(Frame.STDIN, b""))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(
                number, lambda signal_number, _: _send(channel, pack(Frame.SIGNAL, signal_number.to_bytes(1)))
            )
        return _Relay(channel, reads_input).run()


def _send(channel: socket.socket, data: bytes) -> bool:
    """Send data to the lab. Return True if it was sent, False if the program has already ended.

    After False, the exit status can be read from `channel`.
    """
    try:
        channel.sendall(data)
    except BrokenPipeError:
        return False
    return True


def _columns() -> str:
    """Return the width of the terminal in columns as text, "" if it is unknown."""
    try:
        return os.environ.get("COLUMNS") or str(os.get_terminal_size(1).columns)
    except OSError:
        return ""


def _has_input() -> bool:
    try:
        return os.fstat(0).st_rdev != Path(os.devnull).stat().st_rdev
    except OSError:
        return False


class _Relay:
    """Copies data between the control socket and this process's standard streams, while the program runs."""

    def __init__(self, channel: socket.socket, reads_input: bool) -> None:
        self._channel = channel
        self._received = bytearray()
        self._reads_input = reads_input

    def run(self) -> int:
        while True:
            channel = self._channel.fileno()
            ready, _, _ = select.select([channel, 0] if self._reads_input else [channel], [], [])
            if channel in ready:
                data = self._channel.recv(_READ)
                if not data:
                    sys.stderr.write("cnmsim: the lab is gone\n")
                    return _UNREACHABLE
                self._received += data
                status = self._take_frames()
                if status is not None:
                    return status
            if 0 in ready:
                self._read_input()

    def _read_input(self) -> None:
        try:
            data = os.read(0, _READ)
        except OSError:
            data = b""
        self._reads_input = _send(self._channel, pack(Frame.STDIN, data)) and bool(data)

    def _take_frames(self) -> int | None:
        while len(self._received) >= HEAD.size:
            number, length = HEAD.unpack_from(self._received)
            if len(self._received) < HEAD.size + length:
                return None
            content = bytes(self._received[HEAD.size : HEAD.size + length])
            del self._received[: HEAD.size + length]
            status = self._take(Frame(number), content)
            if status is not None:
                return status
        return None

    def _take(self, kind: Frame, content: bytes) -> int | None:
        if kind is Frame.STDOUT:
            return self._print(1, content)
        if kind is Frame.STDERR:
            return self._print(2, content)
        if kind is Frame.EXIT:
            return int.from_bytes(content)
        if kind is Frame.ERROR:
            self._print(2, content + b"\n")
            return _NOT_FOUND
        return None

    def _print(self, descriptor: int, content: bytes) -> int | None:
        try:
            while content:
                content = content[os.write(descriptor, content) :]
        except BrokenPipeError:
            return 128 + signal.SIGPIPE
        return None


def open_shell(directory: Path, host: str, programs: list[str], command: list[str] | None = None) -> int:
    """Run the user's own shell, or another `command` of this machine, with programs of a simulated host.

    Scripts that run the `programs` on the host come first in PATH. Return the exit status, or 128 plus the signal
    number if a signal ended the command, as a shell does. SIGTERM and SIGHUP are passed on to the command.
    """
    with tempfile.TemporaryDirectory(prefix="cnmsim-") as folder:
        environment = host_environment(directory, host, programs, Path(folder))
        words = command or [os.environ.get("SHELL", "/bin/sh")]
        try:
            child = subprocess.Popen(words, env=environment)  # noqa: S603 - the user's own
        except FileNotFoundError:
            sys.stderr.write(f"cnmsim: {words[0]}: not found\n")
            return _NOT_FOUND
        former = {
            number: signal.signal(number, lambda caught, _frame: child.send_signal(caught))
            for number in (signal.SIGTERM, signal.SIGHUP)
        }
        try:
            status = child.wait()
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)
        return status if status >= 0 else 128 - status


def host_environment(directory: Path, host: str, programs: list[str], folder: Path) -> dict[str, str]:
    """Return this process's environment with the `programs` of a host of the lab served in `directory` first in PATH.

    The scripts that run these programs on the host are written to `folder`.
    """
    python, place, name = (_quoted(word) for word in (sys.executable, str(directory.resolve()), host))
    for program in programs:
        if program in _NOT_PROGRAMS:
            continue
        shim = folder / program
        shim.write_text(f'#!/bin/sh\nexec {python} -m cnmsim sh --dir {place} {name} -- {program} "$@"\n')
        shim.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "DOCKER_HOST": f"unix://{directory.resolve()}/{host}/docker.sock",
        "PS1": f"{host}# ",
    }


def _quoted(word: str) -> str:
    import shlex

    return shlex.quote(word)
