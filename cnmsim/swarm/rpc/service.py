"""The methods that a node serves, the roles that may call them, and the two ends of a stream."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from attrs import define, field, frozen

from cnmsim.errors import Unavailable
from cnmsim.kernel.task import Future
from cnmsim.swarm.ca.certificates import Certificate

#: Timeout for one call, in seconds.
CALL_TIMEOUT_S = 5.0


class RpcError(Unavailable):
    """A call failed in transport: the connection could not be established or broke, or the call timed out."""


@frozen
class Peer:
    """The caller of a method: its address, and its certificate if it presented one."""

    certificate: Certificate | None
    address: str

    @property
    def node_id(self) -> str:
        """The id of the node that the certificate names, "" without a certificate."""
        return self.certificate.node_id if self.certificate is not None else ""


@define(eq=False)
class Stream:
    """The client's end of a stream.

    `ended` is a future that is done when the stream has ended: its result is the error that ended it, or `None`.
    """

    ended: Future[Exception | None]
    _cancel: Callable[[], None] = field(repr=False)

    def close(self) -> None:
        """Cancel the stream."""
        if not self.ended.is_done:
            self._cancel()
            self.ended.set_result(None)


class Client(Protocol):
    """The interface for calls: a connection to another node, or to the node's own manager."""

    #: Whether calls can still be made.
    is_open: bool

    async def call(self, method: str, argument: Any = None, *, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """Call a method with one argument and return its result.

        Raises the error that the server returns, or `RpcError` if the connection breaks or the call times out.
        """

    def stream(self, method: str, argument: Any, on_message: Callable[[Any], None]) -> Stream:
        """Call a method whose reply is a stream of messages. `on_message` is called with each message."""

    def close(self) -> None:
        """Close the client."""


@define(eq=False)
class ServerStream:
    """The server's end of a stream. `on_close` is called once, when either end has ended the stream."""

    _push: Callable[[Any], None] = field(repr=False)
    _end: Callable[[Exception | None], None] = field(repr=False)
    is_open: bool = True
    on_close: Callable[[], None] | None = None

    def push(self, message: Any) -> None:
        """Send a message, unless the stream has ended."""
        if self.is_open:
            self._push(message)

    def end(self, error: Exception | None = None) -> None:
        """End the stream, with `error` as the reason if given."""
        if self.is_open:
            self._end(error)
            self.notify_closed()

    def notify_closed(self) -> None:
        """Mark the stream as ended and call `on_close`."""
        if self.is_open:
            self.is_open = False
            if self.on_close is not None:
                self.on_close()


@define
class RpcService:
    """The methods that a node serves: unary ones, and those whose reply is a stream.

    `roles` maps a method to the roles of the nodes that may call it. A method without an entry may be called by
    anyone.
    """

    unary: dict[str, Callable[[Peer, Any], Coroutine[Any, Any, Any]]] = field(factory=dict)
    streams: dict[str, Callable[[Peer, Any, ServerStream], None]] = field(factory=dict)
    roles: dict[str, frozenset[str]] = field(factory=dict)

    def authorization_error(self, peer: Peer, method: str) -> Exception | None:
        """Return an error if `peer` may not call `method`, otherwise `None`."""
        allowed = self.roles.get(method, frozenset())
        if not allowed:
            return None
        if peer.certificate is None or peer.certificate.role not in allowed:
            return RpcError("rpc error: code = PermissionDenied desc = Permission denied: unauthorized peer role")
        return None
