"""The control socket of a served lab: runs programs on hosts, and answers `trace`, `explain` and `capture`.

A client sends one line of JSON (the verb and its arguments), then frames. The server answers with frames: one byte of
kind, four of length (big-endian), the content. The kinds are those of `Frame`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from cnmsim.api.attach_stream import MOST_UNREAD_INPUT, ROOM_POLL_S
from cnmsim.api.clock_driver import first_of
from cnmsim.api.connection import is_hung_up
from cnmsim.api.frames import HEAD, Frame, pack
from cnmsim.api.live_capture import LiveCapture
from cnmsim.api.outbox import MOST_UNREAD
from cnmsim.digits import is_number
from cnmsim.engine.containers.streams import OutputPipe
from cnmsim.errors import CnmsimError
from cnmsim.kernel.files import Pipe

if TYPE_CHECKING:
    from cnmsim.api.clock_driver import ClockDriver
    from cnmsim.kernel.process import Process
    from cnmsim.lab import Lab

_LONGEST_FRAME = 1 << 20


async def read_frame(reader: asyncio.StreamReader) -> tuple[Frame, bytes] | None:
    """Read a client's next frame as (kind, content).

    Return `None` at the end of the connection, and for an invalid frame.
    """
    try:
        kind, length = HEAD.unpack(await reader.readexactly(HEAD.size))
        if length > _LONGEST_FRAME:
            return None
        return Frame(kind), await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError, ValueError):
        return None


class ControlSocket:
    """Serves clients of one lab's control socket."""

    def __init__(self, lab: Lab, clock_driver: ClockDriver) -> None:
        self._lab = lab
        self._clock_driver = clock_driver

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client: read its request, which has one verb, and answer it."""
        try:
            line = await reader.readline()
            if not line:
                return
            await self._answer(json.loads(line), reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client disconnected; its program was ended
        except (CnmsimError, ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
            text = error.message if isinstance(error, CnmsimError) else f"bad control request: {error}"
            writer.write(pack(Frame.ERROR, text.encode()))
        finally:
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            writer.close()

    async def _answer(
        self, request: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        verb = request["verb"]
        if verb == "exec":
            await self._execute(request, reader, writer)
        elif verb in {"trace", "explain"}:
            writer.write(pack(Frame.RESULT, json.dumps(self._ask(request)).encode()))
        elif verb == "capture":
            await self._capture(request, reader, writer)
        else:
            raise ValueError(f"unknown verb {verb!r}")

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a `request` with the verb `trace` or `explain`.

        The keys of the returned dict are `answer`, the answer as JSON values, and `text`, the same answer as text.
        """
        is_trace = request["verb"] == "trace"
        method: Callable[..., Any] = self._lab.trace if is_trace else self._lab.explain
        answer = method(
            str(request["source"]),
            str(request["destination"]),
            protocol=request.get("protocol"),
            timeout_s=float(request.get("timeout_s", 5.0)),
            family=int(request.get("family", 0)),
        )
        walk, text = (answer, answer.summary()) if is_trace else (answer.trace, str(answer))
        if verbosity := int(request.get("verbosity", 0)):
            text += f"\n\n{walk.text(verbose=verbosity > 1)}"
        return {"answer": answer.to_json(), "text": text}

    async def _capture(
        self, request: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer the verb `capture`: capture until the requested limit is reached or the client sends a signal.

        STDERR frames contain messages such as the names of the devices, STDOUT frames a line for each captured frame.
        The RESULT frame contains the pcapng file if it was requested; then no lines are sent.
        """
        patterns = tuple(str(pattern) for pattern in request["devices"])
        count, duration_s = request.get("count"), request.get("duration_s")
        live = LiveCapture(
            self._lab,
            self._clock_driver,
            patterns,
            None if count is None else int(count),
            None if duration_s is None else float(duration_s),
        )
        writer.write(pack(Frame.STDERR, f"capturing at {', '.join(live.devices)}\n".encode()))

        async def tell(lines: str) -> None:
            writer.write(pack(Frame.STDOUT, lines.encode()))
            await writer.drain()

        async def watch() -> None:
            if await read_frame(reader) is None:
                raise ConnectionResetError("client is gone")
            live.stop()
            await asyncio.Event().wait()

        await first_of(live.run(None if request.get("as_file") else tell), watch())
        writer.write(pack(Frame.STDERR, f"{live.size} frames captured\n".encode()))
        writer.write(pack(Frame.RESULT, live.to_pcapng() if request.get("as_file") else b""))

    async def _execute(
        self, request: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        host = self._lab.host(str(request["host"]))
        clock = self._lab.clock

        def send(kind: Frame, data: bytes) -> None:
            writer.write(pack(kind, data))
            if writer.transport.get_write_buffer_size() > MOST_UNREAD:
                writer.transport.abort()  # the client does not read: its program is ended

        stdin = Pipe(clock)
        stdout = OutputPipe(clock, partial(send, Frame.STDOUT))
        stderr = OutputPipe(clock, partial(send, Frame.STDERR))
        argv = [str(word) for word in request["argv"]]
        columns = str(request.get("columns", ""))
        env = {"COLUMNS": columns} if is_number(columns) and len(columns) < 5 else None
        process = host.spawn(argv, stdin=stdin, stdout=stdout, stderr=stderr, env=env)
        feeder = asyncio.create_task(self._feed(reader, writer, stdin, process))
        try:
            with self._clock_driver.run_realtime(lambda: stdin.is_awaited):
                status = await self._clock_driver.wait(process.exited, lambda: not stdin.is_awaited)
        finally:
            feeder.cancel()
            process.kill()
            self._clock_driver.run_ready()
        writer.write(pack(Frame.EXIT, status.to_bytes(4)))

    async def _feed(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stdin: Pipe, process: Process
    ) -> None:
        while (frame := await read_frame(reader)) is not None:
            kind, content = frame
            if kind is Frame.STDIN and not stdin.is_closed:
                if content:
                    stdin.write(content)
                else:
                    stdin.close()
            elif kind is Frame.SIGNAL:
                process.kill(int.from_bytes(content))
            self._clock_driver.run_ready()
            while stdin.size > MOST_UNREAD_INPUT and not is_hung_up(writer):  # noqa: ASYNC110 - a pipe of the lab
                await asyncio.sleep(ROOM_POLL_S)
        process.kill()
        self._clock_driver.run_ready()
