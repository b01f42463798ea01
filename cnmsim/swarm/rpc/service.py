"""What a node answers to whom, and the two ends of a stream of answers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from attrs import define, field, frozen

from cnmsim.errors import Unavailable
from cnmsim.kernel.task import Future
from cnmsim.swarm.ca.certificates import Certificate

#: How long one call may take, in seconds.
CALL_TIMEOUT_S = 5.0


class RpcError(Unavailable):
    """A call did not get through: the connection could not be made, broke, or nobody answered in time."""


@frozen
class Peer:
    """Who calls: the certificate it showed, if any, and the address it calls from."""

    certificate: Certificate | None
    address: str


@define(eq=False)
class Stream:
    """The caller's end of a stream of answers. `ended` is done with the error that ended it, or `None`."""

    ended: Future[Exception | None]
    _cancel: Callable[[], None] = field(repr=False)

    def close(self) -> None:
        """Want no more of it."""
        if not self.ended.is_done:
            self._cancel()
            self.ended.set_result(None)


class Client(Protocol):
    """What calls can be made on: a connection to another node, or this node's own manager."""

    @property
    def is_open(self) -> bool:
        """Whether calls can still be made."""

    async def call(self, method: str, argument: Any = None, *, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """Call and give the answer. Raises what the other side raised, or `RpcError`."""

    def stream(self, method: str, argument: Any, on_message: Callable[[Any], None]) -> Stream:
        """Call, and have `on_message` called with each of the answers."""

    def close(self) -> None:
        """Hang up."""


@define(eq=False)
class ServerStream:
    """The called side's end of a stream. `on_close` is called once when it is over, whoever ended it."""

    _push: Callable[[Any], None] = field(repr=False)
    _end: Callable[[Exception | None], None] = field(repr=False)
    is_open: bool = True
    on_close: Callable[[], None] | None = None

    def push(self, message: Any) -> None:
        """Send a message, if anybody is there to get it."""
        if self.is_open:
            self._push(message)

    def end(self, error: Exception | None = None) -> None:
        """End the stream."""
        if self.is_open:
            self._end(error)
            self.notify_closed()

    def notify_closed(self) -> None:
        """Take note that it is over."""
        if self.is_open:
            self.is_open = False
            if self.on_close is not None:
                self.on_close()


@define
class RpcService:
    """What a node answers: unary calls and streams by method, and who may make them (`roles`; "" for anybody)."""

    unary: dict[str, Callable[[Peer, Any], Coroutine[Any, Any, Any]]] = field(factory=dict)
    streams: dict[str, Callable[[Peer, Any, ServerStream], None]] = field(factory=dict)
    roles: dict[str, frozenset[str]] = field(factory=dict)

    def authorization_error(self, peer: Peer, method: str) -> Exception | None:
        """Tell why `peer` may not call `method`, if so."""
        allowed = self.roles.get(method, frozenset())
        if not allowed:
            return None
        if peer.certificate is None or peer.certificate.role not in allowed:
            return RpcError("rpc error: code = PermissionDenied desc = Permission denied: unauthorized peer role")
        return None
