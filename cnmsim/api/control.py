"""The control socket of a served lab: runs a program on one of its hosts, traces, explains and captures.

A client sends one line of JSON (the verb and its arguments) and then frames; the server answers with frames: one
byte of kind, four of length, the content. Kinds are those of `Frame`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

from cnmsim.api.capturing import LiveCapture
from cnmsim.api.frames import HEAD, Frame, pack
from cnmsim.api.pacing import first_of
from cnmsim.errors import CnmsimError
from cnmsim.kernel.files import Pipe

if TYPE_CHECKING:
    from cnmsim.api.pacing import Pacer
    from cnmsim.kernel.process import Process
    from cnmsim.lab import Lab


async def read_frame(reader: asyncio.StreamReader) -> tuple[Frame, bytes] | None:
    """Read a frame; `None` at the end of the connection."""
    try:
        kind, length = HEAD.unpack(await reader.readexactly(HEAD.size))
        return Frame(kind), await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError, ValueError):
        return None


class ControlSocket:
    """Serves control clients of one lab."""

    def __init__(self, lab: Lab, pacer: Pacer) -> None:
        self._lab = lab
        self._pacer = pacer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client: one verb."""
        try:
            line = await reader.readline()
            if not line:
                return
            await self._answer(json.loads(line), reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away; its program was ended where it ran
        except (CnmsimError, ValueError, KeyError, TypeError) as error:
            text = error.message if isinstance(error, CnmsimError) else f"bad control request: {error}"
            writer.write(pack(Frame.ERROR, text.encode()))
        finally:
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            writer.close()

    async def _answer(self, wish: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        verb = wish["verb"]
        if verb == "exec":
            await self._execute(wish, reader, writer)
        elif verb == "trace":
            writer.write(pack(Frame.RESULT, json.dumps(self._trace(wish)).encode()))
        elif verb == "explain":
            writer.write(pack(Frame.RESULT, json.dumps(self._explain(wish)).encode()))
        elif verb == "capture":
            await self._capture(wish, reader, writer)
        else:
            raise ValueError(f"unknown verb {verb!r}")

    def _trace(self, wish: dict[str, Any]) -> dict[str, Any]:
        walk = self._lab.trace(
            str(wish["source"]),
            str(wish["destination"]),
            protocol=wish.get("protocol"),
            timeout_s=float(wish.get("timeout_s", 5.0)),
            family=int(wish.get("family", 0)),
        )
        return {"walk": walk.to_json(), "text": walk.text(verbose=bool(wish.get("verbose")))}

    def _explain(self, wish: dict[str, Any]) -> dict[str, Any]:
        service = wish.get("service")
        found = self._lab.explain(
            str(wish["source"]), str(wish["destination"]), None if service is None else str(service)
        )
        return {"explanation": found.to_json(), "text": str(found)}

    async def _capture(
        self, wish: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Capture until it is over or the client sends a signal; STDERR tells where, STDOUT each frame, RESULT the file."""
        patterns = tuple(str(pattern) for pattern in wish["devices"])
        count, duration_s = wish.get("count"), wish.get("duration_s")
        live = LiveCapture(
            self._lab,
            self._pacer,
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

        await first_of(live.run(None if wish.get("as_file") else tell), watch())
        writer.write(pack(Frame.STDERR, f"{live.size} frames captured\n".encode()))
        writer.write(pack(Frame.RESULT, live.to_pcapng() if wish.get("as_file") else b""))

    async def _execute(
        self, wish: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        host = self._lab.host(str(wish["host"]))
        clock = self._lab.clock
        stdin, stdout, stderr = Pipe(clock), Pipe(clock), Pipe(clock)
        stdout.on_data.append(lambda data: writer.write(pack(Frame.STDOUT, data)))
        stderr.on_data.append(lambda data: writer.write(pack(Frame.STDERR, data)))
        argv = [str(word) for word in wish["argv"]]
        columns = str(wish.get("columns", ""))
        env = {"COLUMNS": columns} if columns.isdecimal() else None
        process = host.spawn(argv, stdin=stdin, stdout=stdout, stderr=stderr, env=env)
        feeder = asyncio.create_task(self._feed(reader, stdin, process))
        try:
            with self._pacer.stroll(lambda: stdin.is_awaited):
                status = await self._pacer.wait(process.exited, lambda: not stdin.is_awaited)
        finally:
            feeder.cancel()
            process.kill()
            self._pacer.kick()
        writer.write(pack(Frame.EXIT, status.to_bytes(4)))

    async def _feed(self, reader: asyncio.StreamReader, stdin: Pipe, process: Process) -> None:
        while (frame := await read_frame(reader)) is not None:
            kind, content = frame
            if kind is Frame.STDIN and not stdin.is_closed:
                if content:
                    stdin.write(content)
                else:
                    stdin.close()
            elif kind is Frame.SIGNAL:
                process.kill(int.from_bytes(content))
            self._pacer.kick()
        process.kill()
        self._pacer.kick()
