"""A served lab beside the caller's own code: for tests and notebooks that talk to it as any client does."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cnmsim.api.server import serving

if TYPE_CHECKING:
    from cnmsim.lab import Lab


@contextlib.contextmanager
def served(lab: Lab, directory: Path | None = None, *, fast: bool = True) -> Iterator[dict[str, Path]]:
    """Serve a lab while the block lasts; gives the socket of each Docker host by its name.

    A thread has the lab meanwhile: reach it through the sockets alone. Raises what the simulation raised.
    """
    with tempfile.TemporaryDirectory(prefix="cnmsim-") as own:
        place = directory or Path(own)
        ready = threading.Event()
        failures: list[BaseException] = []
        sockets: dict[str, Path] = {}
        handle: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

        async def serve() -> None:
            stop = asyncio.Event()
            handle.append((asyncio.get_running_loop(), stop))
            async with serving(lab, place, fast=fast) as server:
                sockets.update({name: server.socket_path(name) for name in server.apis})
                ready.set()
                stopped, failed = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(server.failed())
                await asyncio.wait({stopped, failed}, return_when=asyncio.FIRST_COMPLETED)
                stopped.cancel()
                if failed.done():
                    failed.result()
                failed.cancel()

        def run() -> None:
            try:
                asyncio.run(serve())
            except BaseException as error:  # noqa: BLE001 - raised where the block ends
                failures.append(error)
            ready.set()

        thread = threading.Thread(target=run, name="cnmsim-api", daemon=True)
        thread.start()
        ready.wait()
        try:
            if not failures:
                yield sockets
        finally:
            loop, stop = handle[0]
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself, through a failure
                loop.call_soon_threadsafe(stop.set)
            thread.join()
        if failures:
            raise failures[0]
