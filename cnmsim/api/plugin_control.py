"""A control socket that also answers while an engine waits for a plugin.

A plugin creates devices on the host of the engine that called it, while that engine waits for the plugin's answer. A
lab has one thread: the waiting engine blocks the lab's own control socket, and the plugin would wait for ever. While
an engine waits for a plugin, programs for clients of this socket therefore run on the lab's thread within that wait.
At other times a client is passed on to the lab's own control socket.

Virtual time stands still during a call of a plugin: a program that needs time, such as `ping`, is ended with an
error.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnmsim.api.frames import Frame, pack
from cnmsim.api.shell import host_environment
from cnmsim.api.socket_folder import SocketFolder
from cnmsim.errors import CnmsimError, Unavailable
from cnmsim.kernel.files import Pipe
from cnmsim.lab.naming import CONTROL_SOCKET

if TYPE_CHECKING:
    from cnmsim.lab import Lab

_BACKLOG = 128
_READ = 1 << 16
_LONGEST_WISH = 1 << 20
#: Interval at which a client that waits for its work item checks whether the engine still waits, in seconds of real
#: time.
_LOOK_S = 0.05


class PluginControlSocket:
    """Listens at `DIR/control.sock`, in threads of its own, from `open` to `close`.

    `inner` is the lab's own control socket. It is `None` in a program that does not serve the lab: clients then wait
    for the next call of a plugin.
    """

    def __init__(self, lab: Lab, directory: Path, inner: Path | None = None) -> None:
        self._lab = lab
        self._inner = inner
        self.directory = directory
        self.path = directory / CONTROL_SOCKET
        self._listener = socket.socket(socket.AF_UNIX)

    def open(self) -> None:
        """Start listening. Raises `OSError` if the socket cannot be opened."""
        before = os.umask(0o177)
        try:
            self._listener.bind(str(self.path))
        finally:
            os.umask(before)
        self._listener.listen(_BACKLOG)
        threading.Thread(target=self._accept, name="cnmsim plugin control", daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()
        self.path.unlink(missing_ok=True)

    def environment(self, host: str, folder: Path) -> dict[str, str]:
        """Return environment variables with which a process's `ip`, `iptables` and so on act on the simulated `host`.

        Scripts that replace these programs are written to `folder`, which is put first in PATH. Raises `NotFound` for
        an unknown host.
        """
        return host_environment(
            self.directory, self._lab.host(host).name, list(self._lab.host(host).programs), folder
        )

    # --- clients

    def _accept(self) -> None:
        while True:
            try:
                channel, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(
                target=self._serve, args=(channel,), name="cnmsim plugin control client", daemon=True
            ).start()

    def _serve(self, channel: socket.socket) -> None:
        # A client may disconnect at any time.
        with channel, contextlib.suppress(OSError):
            line, rest = _read_line(channel)
            if not line:
                return
            try:
                if not self._run_on_lab_thread(channel, json.loads(line)):
                    self._hand_on(channel, line + rest)
            except (CnmsimError, ValueError, KeyError, TypeError, RecursionError) as error:
                text = error.message if isinstance(error, CnmsimError) else f"bad control request: {error}"
                channel.sendall(pack(Frame.ERROR, text.encode()))

    def _run_on_lab_thread(self, channel: socket.socket, request: dict[str, Any]) -> bool:
        """Run a client's program on the lab's thread, during the present or the next call of a plugin.

        Return True if the program was run, False if the request has to be passed on to the lab's own control socket
        instead.
        """
        executor = self._lab.executor
        if request["verb"] != "exec" or not (executor.is_waiting or self._inner is None):
            return False
        host, argv = str(request["host"]), [str(word) for word in request["argv"]]
        work_item = executor.submit(lambda: run_at_once(self._lab, host, argv))
        while True:
            try:
                status, printed, complaints = work_item.result(_LOOK_S)
            except TimeoutError:
                if self._inner is not None and not executor.is_waiting and work_item.cancel():
                    return False
                continue
            channel.sendall(
                pack(Frame.STDOUT, printed) + pack(Frame.STDERR, complaints) + pack(Frame.EXIT, status.to_bytes(4))
            )
            return True

    def _hand_on(self, channel: socket.socket, begun: bytes) -> None:
        if self._inner is None:
            raise Unavailable("the lab is not served: it only runs programs for its plugins")
        with socket.socket(socket.AF_UNIX) as lab:
            lab.connect(str(self._inner))
            lab.sendall(begun)
            threading.Thread(
                target=_copy, args=(channel, lab), name="cnmsim plugin control copy", daemon=True
            ).start()
            _copy(lab, channel)


def _read_line(channel: socket.socket) -> tuple[bytes, bytes]:
    received = b""
    while b"\n" not in received and len(received) < _LONGEST_WISH:
        data = channel.recv(_READ)
        if not data:
            return b"", b""
        received += data
    line, newline, rest = received.partition(b"\n")
    return line + newline, rest


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_READ):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def run_at_once(lab: Lab, name: str, argv: list[str]) -> tuple[int, bytes, bytes]:
    """Run a program on the host `name` without letting virtual time pass. Return (exit status, stdout, stderr).

    Call it only in the lab's thread. Raises `NotFound` for an unknown host, `Unavailable` if the program cannot end
    without virtual time passing.
    """
    host, clock = lab.host(name), lab.clock
    stdin, stdout, stderr = Pipe(clock), Pipe(clock), Pipe(clock)
    stdin.close()
    process = clock.run_isolated(lambda: host.spawn(argv, stdin=stdin, stdout=stdout, stderr=stderr))
    if process.exit_status is None:
        clock.run_isolated(lambda: process.kill(9))
        raise Unavailable(f"{' '.join(argv)}: takes time, and time stands still while an engine waits for its plugin")
    return process.exit_status, stdout.getvalue(), stderr.getvalue()


@contextlib.contextmanager
def open_plugin_control(lab: Lab, directory: Path | None = None) -> Iterator[PluginControlSocket]:
    """Open a plugin control socket while a `with` block lasts, in `directory` or in a temporary folder.

    Raises `Forbidden` or `Conflict` if another user or program uses the folder (see `SocketFolder.open`), and
    `OSError` if the socket cannot be opened.
    """
    with contextlib.ExitStack() as stack:
        if directory is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cnmsim-")))
        folder = SocketFolder(directory, ())
        stack.callback(folder.close)
        folder.open()
        control = PluginControlSocket(lab, directory)
        control.open()
        stack.callback(control.close)
        yield control
