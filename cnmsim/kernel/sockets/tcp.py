"""TCP sockets (tcp(7)): the API of listeners and of connected sockets."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from cnmsim.kernel.address import Address, format_endpoint
from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.sockets.base import WILDCARDS, Socket, SocketAddress
from cnmsim.kernel.sockets.errors import os_error
from cnmsim.kernel.sockets.tcp_connection import TcpConnection
from cnmsim.kernel.sockets.tcp_keepalive import Keepalive
from cnmsim.kernel.sockets.tcp_state import OPENING, SEND_CLOSED, TcpState
from cnmsim.kernel.transport import TcpSegment

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.process import Process

#: Linux's SOMAXCONN, the default of net.core.somaxconn and the backlog of Go's net.Listen.
SOMAXCONN = 4096
#: `drain` returns once at most this many bytes are unacknowledged.
_SEND_BUFFER = 65536


class TcpSocket(Socket):
    """A TCP socket: a listener after `listen`, connected after `connect` or when returned by `accept`.

    `on_readable` is called with the socket when data, the end of the stream or an error can be received. `on_accept`
    is called with the socket of each new connection, which then bypasses `accept`. `no_delay` turns Nagle's algorithm
    off (TCP_NODELAY). `keepalive` holds the settings of `set_keepalive`, `None` if keepalives are off.
    """

    __slots__ = (
        "_accept_queue", "_backlog", "_connection", "_syn_queue", "is_listening", "keepalive", "no_delay",
        "on_accept",
    )  # fmt: skip

    protocol = 6

    def __init__(self, namespace: NetworkNamespace, family: int = 4, owner: Process | None = None) -> None:
        super().__init__(namespace, family, owner)
        self.is_listening = False
        self.no_delay = False
        self.keepalive: Keepalive | None = None
        self.on_accept: Callable[[TcpSocket], None] | None = None
        self._backlog = 0
        self._accept_queue: list[TcpConnection] = []
        self._syn_queue: list[TcpConnection] = []
        self._connection: TcpConnection | None = None

    @property
    def state(self) -> str:
        """The name of the state as `ss` prints it."""
        if self.is_listening:
            return TcpState.LISTEN.value
        return (self._connection.state if self._connection is not None else TcpState.CLOSED).value

    @property
    def label(self) -> str:
        """The name of the socket in traces."""
        if self._connection is not None:
            return self._connection.label
        doing = "listening on" if self.is_listening else "bound to"
        return f"socket: {self.owner_label} {doing} {format_endpoint(self.local, self.local_port)}"

    @property
    def excludes_reuse(self) -> bool:
        """Whether this socket prevents others from sharing its port with SO_REUSEADDR, because it is listening."""
        return self.is_listening

    def bind(self, address: SocketAddress) -> None:
        """Bind to a local address and port (port 0: an ephemeral one).

        Raises `OSError`: EADDRINUSE, EADDRNOTAVAIL if the namespace does not have the address, EINVAL if the socket
        is already bound.
        """
        self._bind_local(self.namespace.sockets.tcp_ports, address)

    # --- listener ---

    def listen(self, backlog: int = 128) -> None:
        """Listen for connections, with an accept queue of `backlog` (at most net.core.somaxconn) connections.

        An unbound socket gets an ephemeral port. Raises `OSError`: EADDRINUSE if another socket listens on the same
        port, EINVAL if this socket is connected.
        """
        self._check_open()
        if self._connection is not None:
            raise os_error(errno.EINVAL)
        ports = self.namespace.sockets.tcp_ports
        if not self.local_port:
            self.local_port = ports.claim(self, 0)
        self._backlog = min(backlog, int(self.namespace.sysctl_get("net.core.somaxconn")))
        if self.is_listening:
            return
        self.is_listening = True
        if ports.conflicts(self, self.local_port):
            self.is_listening = False
            raise os_error(errno.EADDRINUSE)
        self.namespace.sockets.add_listener(self)

    async def accept(self, timeout: float | None = None) -> TcpSocket:  # noqa: ASYNC109
        """Wait for a connection and return its socket, which belongs to the same process as the listener.

        Raises `TimeoutError` after `timeout` seconds, `OSError`: EINVAL if the socket does not listen, EBADF if it is
        closed.
        """
        await self._changed.wait_until(lambda: bool(self._accept_queue) or not self.is_listening, timeout)
        return self.accept_nowait()

    def accept_nowait(self) -> TcpSocket:
        """Return the socket of the next connection. Raises `BlockingIOError` if the accept queue is empty."""
        self._check_open()
        if not self.is_listening:
            raise os_error(errno.EINVAL)
        if not self._accept_queue:
            raise os_error(errno.EAGAIN)
        return self._socket_for(self._accept_queue.pop(0))

    def _socket_for(self, connection: TcpConnection) -> TcpSocket:
        socket = TcpSocket(self.namespace, self.family, self.owner)
        socket.local, socket.local_port = connection.local, connection.local_port
        socket.v6only, socket.no_delay, socket.keepalive = self.v6only, self.no_delay, self.keepalive
        socket._attach(connection)
        return socket

    @property
    def has_room(self) -> bool:
        """Whether the accept queue has room. Linux accepts one connection more than the backlog."""
        return len(self._accept_queue) <= self._backlog

    @property
    def accept_queue(self) -> tuple[int, int]:
        """The length of the accept queue and the backlog. `ss` shows them as a listener's Recv-Q and Send-Q."""
        return len(self._accept_queue), self._backlog

    def is_queued(self, connection: TcpConnection) -> bool:
        """Return True if the connection is in the accept queue."""
        return connection in self._accept_queue

    def accept_syn(self, packet: Packet, segment: TcpSegment, connection: TcpConnection) -> None:
        """Process a received SYN: start `connection`. If the backlog is full, drop the SYN instead.

        `segment` is the SYN, `packet` the packet that contains it.
        """
        if len(self._syn_queue) > self._backlog or not self.has_room:
            if self.namespace.clock.observes_drops:
                self._report_drop(packet, DropReason.SOCKET_BUFFER_FULL, f"{self.label}, its backlog is full")
            return
        if self.namespace.clock.context is not None:
            self.namespace.report(Step.DELIVERED, "a new connection", packet, decision=self.label)
        self._syn_queue.append(connection)
        self.namespace.sockets.add_connection(connection)
        connection.open_passive(segment)

    def enqueue(self, connection: TcpConnection) -> None:
        """Append an established connection to the accept queue, or pass it to `on_accept`."""
        self._syn_queue.remove(connection)
        if self.on_accept is not None:
            self.on_accept(self._socket_for(connection))
            return
        self._accept_queue.append(connection)
        self.became_readable()

    def remove_embryonic(self, connection: TcpConnection) -> None:
        """Remove a connection that ended before it was established from the queue of half-open connections."""
        self._syn_queue.remove(connection)

    # --- connection ---

    def start_connect(self, address: SocketAddress) -> None:
        """Send the SYN without waiting for an answer; `state` changes as the handshake proceeds.

        Raises `OSError`: a routing error, EISCONN if connected, EINVAL on a listener, EADDRNOTAVAIL without a free
        port.
        """
        self._check_open()
        if self.is_listening:
            raise os_error(errno.EINVAL)
        if self._connection is not None and self._connection.state is not TcpState.CLOSED:
            raise os_error(errno.EISCONN)
        namespace = self.namespace
        table = namespace.sockets
        remote, port = self._parse_address(address[0]), address[1]
        if not any(remote):
            # Linux connects to the local host if the address is the wildcard.
            remote = b"\x7f\0\0\x01" if len(remote) == 4 else bytes(15) + b"\x01"
        decision = self._route_to(remote)
        local = decision.src if self.local in WILDCARDS else self.local
        local_port = self.local_port or table.tcp_ports.free_port((local,))
        if table.connection(local, local_port, remote, port) is not None:
            raise os_error(errno.EADDRNOTAVAIL)
        # From here on the connection occupies the port; it may outlive the socket (TIME-WAIT).
        table.tcp_ports.release(self, local_port)
        self.local, self.local_port = local, local_port
        connection = TcpConnection(namespace, local, local_port, remote, port, mtu=decision.mtu, socket=self)
        self._attach(connection)
        table.add_connection(connection)
        connection.open()

    async def connect(self, address: SocketAddress, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Connect, and wait until the connection is established.

        Raises `ConnectionRefusedError`, `TimeoutError` (after `timeout` seconds, or when TCP gives up), or another
        `OSError` (EHOSTUNREACH, ENETUNREACH, EACCES…). After an error the socket cannot be used again, only closed.
        """
        self.start_connect(address)
        connection = self._connection
        assert connection is not None
        try:
            await self._changed.wait_until(lambda: connection.state not in OPENING, timeout)
        except TimeoutError:
            connection.abort()
            raise
        self._raise_error(connection)

    def _attach(self, connection: TcpConnection) -> None:
        self._connection = connection
        connection.socket = self
        connection.on_change = self._changed.notify
        connection.no_delay = self.no_delay

    def set_keepalive(
        self,
        is_on: bool = True,
        *,
        idle_s: int | None = None,
        interval_s: int | None = None,
        probes: int | None = None,
    ) -> None:
        """Turn keepalives on (`is_on`) or off (SO_KEEPALIVE).

        `idle_s`, `interval_s` and `probes` are TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT; `None` uses the
        namespace's sysctls net.ipv4.tcp_keepalive_time, _intvl and _probes. Accepted sockets inherit the settings
        from their listener. Raises `OSError` (EINVAL) for a time above 32,767 s or more than 127 probes.
        """
        self.keepalive = Keepalive(idle_s, interval_s, probes) if is_on else None
        if self._connection is not None:
            self._connection.set_keepalive(self.keepalive)

    def send(self, data: bytes) -> int:
        """Queue all of `data` for sending and return its length.

        Raises `OSError`: ENOTCONN, EPIPE after `shutdown_write` or when the connection is closed, or the error that
        ended it.
        """
        connection = self._require_connection()
        self._raise_error(connection)
        if connection.state in SEND_CLOSED:
            raise os_error(errno.EPIPE)
        connection.no_delay = self.no_delay
        connection.write(data)
        return len(data)

    async def drain(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Wait until at most 65,536 bytes are unacknowledged.

        Raises `TimeoutError` after `timeout` seconds, `OSError` if the connection failed.
        """
        connection = self._require_connection()
        await self._changed.wait_until(lambda: connection.unacknowledged <= _SEND_BUFFER, timeout)
        self._raise_error(connection)

    async def recv(self, n: int = 65536, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Wait for data and return up to `n` bytes; b"" at the end of the stream.

        Raises `TimeoutError` after `timeout` seconds, `ConnectionResetError` or another `OSError` if the connection
        failed, ENOTCONN if there is none.
        """
        connection = self._require_connection()
        await self._changed.wait_until(
            lambda: bool(connection.unread) or connection.is_at_end or self.is_closed, timeout
        )
        return self.recv_nowait(n)

    def recv_nowait(self, n: int = 65536) -> bytes:
        """Return at most `n` bytes of received data without waiting; b"" at the end of the stream.

        Raises `BlockingIOError` if no data has been received yet, otherwise the errors of `recv`.
        """
        connection = self._require_connection()
        if connection.unread:
            return connection.read(n)
        if connection.has_peer_finished:
            # As in Linux, the end of the stream is reported before a later error, which the next `send` raises.
            return b""
        self._raise_error(connection)
        if not connection.is_at_end:
            raise os_error(errno.EAGAIN)
        return b""

    def _require_connection(self) -> TcpConnection:
        self._check_open()
        if self._connection is None:
            raise os_error(errno.ENOTCONN)
        return self._connection

    def _raise_error(self, connection: TcpConnection) -> None:
        # The error is raised only once, like so_error in Linux.
        error, connection.error = connection.error, None
        if error is not None:
            raise error

    def getpeername(self) -> tuple[Address, int]:
        """Return the peer's address and port. Raises `OSError` (ENOTCONN) if the socket is not connected."""
        connection = self._require_connection()
        return self._api_address(connection.remote), connection.remote_port

    def shutdown_write(self) -> None:
        """Close the sending direction: the peer receives the queued data, then the end of the stream."""
        self._require_connection().close()

    def abort(self) -> None:
        """Close with a reset (SO_LINGER with a timeout of 0)."""
        if self._connection is not None:
            self._connection.abort()
        self.close()

    @property
    def has_callback(self) -> bool:
        """Whether the socket listens and passes connections to `on_accept`."""
        return self.is_listening and self.on_accept is not None

    def close_silently(self) -> None:
        """Close the socket and its connections without sending anything to the peers."""
        for connection in (*self._syn_queue, *self._accept_queue, *filter(None, [self._connection])):
            connection.close_silently()
        self.close()

    def close(self) -> None:
        """Close the socket. The connection ends with a FIN, or with a reset if received data is still unread."""
        if self.is_closed:
            return
        self.is_closed = True
        if self.is_listening:
            self.is_listening = False
            self.namespace.sockets.remove_listener(self)
            for connection in (*self._syn_queue, *self._accept_queue):
                connection.abort()
        if self._connection is not None:
            self._connection.orphan()
        self.namespace.sockets.tcp_ports.release(self, self.local_port)
        self._disown()
        self._changed.notify()

    @property
    def recv_queue(self) -> int:
        """The value that `ss` shows as Recv-Q: unread bytes or, for a listener, connections in the accept queue."""
        if self.is_listening:
            return len(self._accept_queue)
        return self._connection.unread if self._connection is not None else 0
