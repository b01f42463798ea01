"""Writes what a request changed to the lab's state file before the request is answered.

A request that changes something fails with status 500 if the change cannot be saved, as on a daemon whose disk is
full. The object that it created is removed again. Until the state file can be written again, other requests that
would change something are refused before they run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from cnmsim.api.message import Answer, Request, Response, Stream
from cnmsim.errors import EngineError, SystemFault

if TYPE_CHECKING:
    from cnmsim.engine.engine import Engine
    from cnmsim.lab.state.statefile import StateFile

_log = logging.getLogger(__name__)
#: Interval at which changes are saved that no request made, in seconds of real time.
_SWEEP_S = 1.0
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Durability:
    """Keeps the state file of a served lab up to date; does nothing if `state` is `None`.

    A thread writes the file, so that the lab is not blocked during a write. The changes of all requests that end
    during a write are written together by the next write.
    """

    def __init__(self, state: StateFile | None) -> None:
        self._state = state
        self._lock = asyncio.Lock()
        self._writer = ThreadPoolExecutor(1, "cnmsim state") if state is not None else None
        self._has_failed = False

    async def require_writable(self, request: Request) -> None:
        """Raise `SystemFault` if the state file cannot be written and the request may change something."""
        if self._state is None or request.method in _READING:
            return
        if self._has_failed:
            await self._commit(has_swarm_changes=True, is_forced=True)
        try:
            self._state.require_space()
        except OSError as error:
            raise SystemFault(_message(error)) from None

    async def answered(self, engine: Engine, host: str, request: Request, answer: Answer) -> Answer:
        """Write the changes of a request to disk, then return the answer to send.

        The result is `answer`, or an error if the changes could not be written. `host` is the name of the Docker
        host.
        """
        if self._state is None:
            return answer
        is_change = request.method not in _READING
        try:
            await self._commit(has_swarm_changes=is_change)
        except SystemFault as fault:
            if is_change:
                if isinstance(answer, Response):
                    self._undo(engine, host, request, answer)
                else:
                    answer.end()
                return Response.error(fault.status, fault.message)
        if isinstance(answer, Stream):
            answer.chunks = self._saved_chunks(answer.chunks)
        return answer

    async def _saved_chunks(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the chunks of an answer. Each chunk is held back until the changes made before it are on disk."""
        async for chunk in chunks:
            with contextlib.suppress(SystemFault):  # it is logged, and the next request that changes something fails
                await self._commit(has_swarm_changes=False)
            yield chunk

    async def _commit(self, *, has_swarm_changes: bool, is_sweep: bool = False, is_forced: bool = False) -> None:
        """Write all changes to disk. Raises `SystemFault` if that fails; the next commit then writes them.

        `has_swarm_changes` is True if objects of a swarm may have changed. `is_sweep` includes changes that no
        request has made, such as new log lines; `is_forced` writes even if nothing seems to have changed.
        """
        # A client that disconnects cancels its request, but not the write, which concerns others, too.
        try:
            has_written = await asyncio.shield(
                self._write(has_swarm_changes=has_swarm_changes, is_sweep=is_sweep, is_forced=is_forced)
            )
        except OSError as error:
            message = _message(error)
            if not self._has_failed:
                _log.warning("the state of the lab cannot be saved: %s", message)
            self._has_failed = True
            raise SystemFault(message) from None
        if has_written:
            self._has_failed = False

    async def _write(self, *, has_swarm_changes: bool, is_sweep: bool, is_forced: bool) -> bool:
        """Write all changes in the writer's thread.

        Return True if there were changes, False if there was nothing to write.

        The arguments are those of `_commit`.
        """
        assert self._state is not None, "there is a state file"
        async with self._lock:
            pending = self._state.changes(has_swarm_changes=has_swarm_changes, is_sweep=is_sweep, is_forced=is_forced)
            if pending is None:
                return False
            pending.settle(await asyncio.get_running_loop().run_in_executor(self._writer, pending.write))
            return True

    def _undo(self, engine: Engine, host: str, request: Request, answer: Response) -> None:
        """Remove the object that a request has created, because the object could not be saved.

        `answer` contains its id.
        """
        assert self._state is not None, "there is a state file"
        kind = _CREATIONS.get(request.path)
        if kind is None or answer.status != 201:
            return
        created = json.loads(answer.body)
        identity = created["Name"] if kind == "volume" else created["Id"]
        if self._state.is_saved(host, kind, identity):
            return
        try:
            if kind == "container":
                engine.lifecycle.remove(engine.store.get(identity), force=True, volumes=True)
            elif kind == "volume":
                engine.volume_store.remove(identity)
            else:
                engine.controller.find_network(identity).delete()
        except EngineError as error:
            _log.warning("%s %s could not be removed: %s", kind, identity, error.message)

    async def run(self) -> None:
        """Save changes that no request has made, such as new lines of logs, at intervals until cancelled."""
        while self._state is not None:
            await asyncio.sleep(_SWEEP_S)
            with contextlib.suppress(SystemFault):  # it is logged
                await self._commit(has_swarm_changes=True, is_sweep=True)

    async def close(self) -> None:
        """Wait until the write in progress has ended, and stop the writer's thread."""
        async with self._lock:
            if self._writer is not None:
                self._writer.shutdown()


#: The kind of object that a successful `POST` to a path creates.
_CREATIONS = {"/containers/create": "container", "/networks/create": "network", "/volumes/create": "volume"}


def _message(error: OSError) -> str:
    """Return the text that dockerd would print for an error of the state file."""
    return f"write {error.filename}: {(error.strerror or str(error)).lower()}"
