"""The client side of the control socket, for `cnmsim trace`, `explain` and `capture` with `--dir`."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from cnmsim.api.control_channel import connect
from cnmsim.api.frames import HEAD, Frame, pack
from cnmsim.errors import CnmsimError, Unavailable


def ask(directory: Path, request: dict[str, Any]) -> Any:
    """Send `request` to the control socket in `directory`, and return the answer: a value decoded from JSON.

    Raises `Unavailable` if no lab is served there, and `CnmsimError` if the lab reports an error.
    """
    with _channel(directory, request) as channel, channel.makefile("rb") as stream:
        return json.loads(_read_to_result(directory, stream, lambda _kind, _content: None))


def capture(directory: Path, request: dict[str, Any], tell: Callable[[Frame, bytes], None]) -> bytes:
    """Capture the network traffic of a served lab until the capture ends by itself, or SIGINT or SIGTERM arrives.

    `directory` is the folder of the lab's sockets, as in `ask`. `request` holds the arguments of the verb `capture`:
    `devices`, and optionally `count`, `duration_s` and `as_file`. Return the pcapng file if `as_file` is True, else
    b"". `tell` is called with the kind and content of each STDOUT and STDERR frame of the control socket. Raises the
    errors of `ask`.
    """
    with _channel(directory, {"verb": "capture", **request}) as channel:
        before = {
            number: signal.signal(
                number, lambda signal_number, _: channel.sendall(pack(Frame.SIGNAL, signal_number.to_bytes(1)))
            )
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            with channel.makefile("rb") as stream:
                return _read_to_result(directory, stream, tell)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def _channel(directory: Path, request: dict[str, Any]) -> Iterator[socket.socket]:
    with connect(directory) as channel:
        channel.sendall(json.dumps(request).encode() + b"\n")
        yield channel


def _read_to_result(directory: Path, stream: IO[bytes], tell: Callable[[Frame, bytes], None]) -> bytes:
    while True:
        head = stream.read(HEAD.size)
        kind, length = HEAD.unpack(head) if len(head) == HEAD.size else (Frame.EXIT, 0)
        content = stream.read(length)
        if kind == Frame.ERROR:
            raise CnmsimError(content.decode())
        if kind == Frame.RESULT and len(content) == length:
            return content
        if kind not in (Frame.STDOUT, Frame.STDERR):
            raise Unavailable(f"{directory}: the lab ended before it answered")
        tell(Frame(kind), content)
