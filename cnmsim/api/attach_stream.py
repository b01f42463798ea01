"""The hijacked connection of attach and exec: copies output to the client, and the client's input to the process.

Source: moby `container/stream/attach.go`, `daemon/attach.go`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from cnmsim.api.host import HostApi
from cnmsim.api.message import Duplex, Request
from cnmsim.api.outbox import Outbox
from cnmsim.engine.containers.streams import StandardStreams

RAW_STREAM = "application/vnd.docker.raw-stream"
#: Unread input of a process up to which more is read from the client, and how often it is checked, in seconds.
MOST_UNREAD_INPUT, ROOM_POLL_S = 65536, 0.05


def stream_type(api: HostApi, request: Request, *, is_raw: bool) -> str:
    """Return the content type of a container's output, `application/vnd.docker.multiplexed-stream` or `…raw-stream`.

    It is raw if `is_raw`, and for a client with an API version before 1.42, which does not support `multiplexed`.
    """
    multiplexes = not is_raw and api.version(request).at_least("1.42")
    return "application/vnd.docker.multiplexed-stream" if multiplexes else RAW_STREAM


class StdinForwarder:
    """Passes a client's input to a process, and recognises the detach keys if the process has a terminal."""

    def __init__(self, streams: StandardStreams, keys: bytes) -> None:
        self._streams = streams
        self._keys = keys if streams.is_terminal else b""
        self._held = b""

    def type(self, data: bytes) -> bool:
        """Pass `data`, which the client sent, to the process.

        Return False once the client has typed all detach keys, else True.

        If `data` ends with the first of several detach keys, this key is passed on only when the next one differs
        from the detach keys.
        """
        if not self._keys:
            self._streams.type(data)
            return True
        for number in data:
            self._held += bytes([number])
            if self._held == self._keys:
                return False
            if not self._keys.startswith(self._held):
                self._streams.type(self._held)
                self._held = b""
        return True


async def forward_streams(
    api: HostApi,
    duplex: Duplex,
    streams: StandardStreams,
    outbox: Outbox,
    *,
    stdin_forwarder: StdinForwarder | None,
    ends_input: bool,
    is_running: Callable[[], bool],
    waits_for_end: bool,
    stop_listening: Callable[[], None],
) -> None:
    """Copy data between a client and a process until the process ends, or the client detaches or disconnects.

    Virtual time passes while `is_running()` is True; it is False for an attached container that has not started yet.
    With `waits_for_end`, the client waits for the process to end, so a fast or paused clock skips from event to
    event. `stdin_forwarder` passes the client's input to the process; with `None` input is discarded. With
    `ends_input`, the process's stdin is closed when the client's input ends. `stop_listening` is called at the end,
    and ends the output to `outbox`.
    """
    streams.ended.add_done_callback(outbox.close)

    def may_jump() -> bool:
        return waits_for_end and outbox.wants_more and is_running() and not streams.stdin.is_awaited

    async def send() -> None:
        async for chunk in outbox.chunks():
            await duplex.write(chunk)

    async def receive() -> None:
        while data := await duplex.read():
            if stdin_forwarder is not None and not stdin_forwarder.type(data):
                return
            api.clock_driver.run_ready()
            if streams.stdin.size > MOST_UNREAD_INPUT and not await _has_room(api, duplex, streams):
                return
        if ends_input:
            streams.end_input()
            api.clock_driver.run_ready()
        await duplex.gone()

    try:
        with (
            api.clock_driver.run_fast(may_jump),
            api.clock_driver.run_realtime(is_running),
            contextlib.suppress(ConnectionError),
        ):
            api.clock_driver.run_ready()
            await api.clock_driver.first_of(send(), receive())
    finally:
        stop_listening()
        outbox.close()
        await api.clock_driver.sleep(0)


async def _has_room(api: HostApi, duplex: Duplex, streams: StandardStreams) -> bool:
    """Wait until the process has read most of its input, so that more can be sent to it.

    Return False if the client disconnects during the wait, else True.
    """
    has_room = False

    async def poll() -> None:
        nonlocal has_room
        while streams.stdin.size > MOST_UNREAD_INPUT and not streams.stdin.is_closed:
            await api.clock_driver.sleep(ROOM_POLL_S)
        has_room = True

    await api.clock_driver.first_of(poll(), duplex.gone())
    return has_room
