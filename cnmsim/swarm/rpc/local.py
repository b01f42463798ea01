"""Calls from a node to its own manager."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cnmsim.errors import CnmsimError
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.task import Future, wait_for
from cnmsim.swarm.rpc.service import CALL_TIMEOUT_S, Client, Peer, RpcError, RpcService, ServerStream, Stream


class LocalClient(Client):
    """A client for the manager on the same node. Its calls send no packets, like calls over a unix socket."""

    def __init__(self, clock: Clock, service: RpcService, peer: Peer) -> None:
        self._clock = clock
        self._service = service
        self._peer = peer
        self._streams: list[tuple[ServerStream, Stream]] = []
        #: Whether calls can still be made.
        self.is_open = True

    async def call(self, method: str, argument: Any = None, *, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """Call a method with one argument and return its result.

        Raises the error that the manager returns, or `RpcError` if the manager is stopped or the call times out.
        """
        if not self.is_open:
            raise RpcError("rpc error: code = Unavailable desc = the manager is stopped")
        authorization_error = self._service.authorization_error(self._peer, method)
        if authorization_error is not None:
            raise authorization_error
        answer = self._service.unary[method](self._peer, argument)
        try:
            return await wait_for(self._clock, answer, timeout_s)
        except TimeoutError:
            raise RpcError("rpc error: code = DeadlineExceeded desc = context deadline exceeded") from None

    def stream(self, method: str, argument: Any, on_message: Callable[[Any], None]) -> Stream:
        """Call a method whose reply is a stream of messages. `on_message` is called with each message."""
        ended: Future[Exception | None] = Future(self._clock)

        def deliver(message: Any) -> None:
            if not ended.is_done:
                on_message(message)

        def end(error: Exception | None) -> None:
            if not ended.is_done:
                ended.set_result(error)

        served = ServerStream(lambda message: self._clock.call_soon(deliver, message), end)
        stream = Stream(ended, served.notify_closed)
        self._streams.append((served, stream))
        try:
            self._service.streams[method](self._peer, argument, served)
        except CnmsimError as error:
            served.notify_closed()
            end(error)
        return stream

    def close(self) -> None:
        """Close the client and end its streams."""
        self.is_open = False
        streams, self._streams = self._streams, []
        for served, stream in streams:
            served.notify_closed()
            if not stream.ended.is_done:
                stream.ended.set_result(RpcError("rpc error: code = Unavailable desc = the manager is stopped"))
