"""Stream sockets of the Unix domain (unix(7)), as connected pairs."""

from __future__ import annotations

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.files import Pipe


class UnixStream:
    """One end of a connection, with those methods of `TcpSocket` that stream protocols such as HTTP need."""

    __slots__ = ("_incoming", "_outgoing")

    def __init__(self, incoming: Pipe, outgoing: Pipe) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    @classmethod
    def pair(cls, clock: Clock) -> tuple[UnixStream, UnixStream]:
        """Return the two ends of a new connection (socketpair(2))."""
        there, back = Pipe(clock), Pipe(clock)
        return cls(back, there), cls(there, back)

    async def recv(self, n: int = 65536, timeout_s: float | None = None) -> bytes:
        """Wait for data and return up to `n` bytes; b"" once the peer has closed its end.

        Raises `TimeoutError` after `timeout_s` seconds.
        """
        return await self._incoming.read(n, timeout_s)

    def send(self, data: bytes) -> None:
        """Send data. Raises `BrokenPipeError` if the peer has closed the connection."""
        self._outgoing.write(data)

    async def peer_closed(self) -> None:
        """Wait until the peer has closed the connection in both directions."""
        await self._outgoing.reader_closed()

    def shutdown_write(self) -> None:
        """Close the connection for sending."""
        self._outgoing.close()

    def close(self) -> None:
        """Close the connection in both directions."""
        self._outgoing.close()
        self._incoming.close_reader()
