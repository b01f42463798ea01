"""The server's end of connections between nodes: a manager's listener on port 2377."""

from __future__ import annotations

from collections.abc import Callable

from cnmsim.errors import CnmsimError
from cnmsim.kernel.address import format_ip
from cnmsim.kernel.process import Process
from cnmsim.kernel.sockets.base import unmapped
from cnmsim.kernel.sockets.tcp import SOMAXCONN, TcpSocket
from cnmsim.swarm.ca.certificates import Certificate, RootCa
from cnmsim.swarm.rpc.records import (
    CALL_LENGTH,
    PUSH_LENGTH,
    SERVER_FLIGHT,
    Answer,
    Call,
    End,
    Hello,
    Push,
    TlsRecords,
    split_host_port,
)
from cnmsim.swarm.rpc.service import Peer, RpcService, ServerStream

_LAST_PORT = 65535


class RpcServer:
    """A manager's listener, which serves the methods of an `RpcService`."""

    def __init__(
        self,
        process: Process,
        service: RpcService,
        certificate: Callable[[], Certificate],
        root: Callable[[], RootCa],
    ) -> None:
        self._process = process
        self._service = service
        self._certificate = certificate
        self._root = root
        self._listener: TcpSocket | None = None
        self._listen_address = ""
        self._sockets: list[TcpSocket] = []

    def listen(self, listen_address: str) -> None:
        """Accept connections at `listen_address` (such as `"0.0.0.0:2377"`).

        Raises `OSError` if the port is in use, `ValueError` if the address is invalid.
        """
        address, port = split_host_port(listen_address)
        if port > _LAST_PORT:
            raise ValueError(f"address {port}: invalid port")
        # Go's listener on the wildcard address accepts both address families.
        is_wildcard = not any(address)
        socket = self._process.tcp(6 if is_wildcard or len(address) == 16 else 4)
        socket.reuse_address = True
        try:
            socket.bind((bytes(16) if is_wildcard else address, port))
            socket.listen(SOMAXCONN)
        except OSError:
            socket.close()
            raise
        self._listener, self._listen_address = socket, listen_address
        self._process.task(self._accept(socket))

    def restart_after_fork(self) -> None:
        """Listen again in a copy of the lab; the former connections do not exist there."""
        self._sockets = []
        if self._listener is not None:
            self.listen(self._listen_address)

    async def _accept(self, listener: TcpSocket) -> None:
        while not listener.is_closed:
            try:
                socket = await listener.accept()
            except OSError:
                return
            self._sockets = [connected for connected in self._sockets if not connected.is_closed]
            self._sockets.append(socket)
            self._process.task(self._serve(socket))

    async def _serve(self, socket: TcpSocket) -> None:
        clock = self._process.clock
        records = TlsRecords(clock, socket)
        streams: dict[int, ServerStream] = {}
        try:
            hello = await records.receive()
            if not isinstance(hello, Hello):
                return
            certificate = hello.certificate
            if certificate is not None and not self._root().trusts(certificate, clock.wall_s):
                return
            records.send(Hello(self._certificate()), SERVER_FLIGHT)
            peer = Peer(certificate, format_ip(unmapped(socket.getpeername()[0])))
            while True:
                content = await records.receive()
                if isinstance(content, Call):
                    self._dispatch(records, peer, content, streams)
                elif isinstance(content, End) and content.id in streams:
                    streams.pop(content.id).notify_closed()
        except (OSError, EOFError, ValueError):
            pass
        finally:
            socket.close()
            for stream in tuple(streams.values()):
                stream.notify_closed()

    def _dispatch(self, records: TlsRecords, peer: Peer, call: Call, streams: dict[int, ServerStream]) -> None:
        def write(content: object, length: int) -> None:
            try:
                records.send(content, length)
            except OSError:
                records.socket.close()

        authorization_error = self._service.authorization_error(peer, call.method)
        if call.is_stream:
            if authorization_error is not None:
                write(End(call.id, authorization_error), CALL_LENGTH)
                return
            stream = ServerStream(
                lambda message: write(Push(call.id, message), PUSH_LENGTH),
                lambda error: write(End(call.id, error), CALL_LENGTH),
            )
            streams[call.id] = stream
            try:
                self._service.streams[call.method](peer, call.argument, stream)
            except CnmsimError as error:
                stream.end(error)
            return
        if authorization_error is not None:
            write(Answer(call.id, error=authorization_error), CALL_LENGTH)
            return
        self._process.task(self._answer(peer, call, write))

    async def _answer(self, peer: Peer, call: Call, write: Callable[[object, int], None]) -> None:
        try:
            value = await self._service.unary[call.method](peer, call.argument)
        except CnmsimError as error:
            write(Answer(call.id, error=error), CALL_LENGTH)
        else:
            write(Answer(call.id, value), CALL_LENGTH)

    def close(self) -> None:
        """Close the listener and all connections."""
        if self._listener is not None:
            self._listener.close()
        for socket in self._sockets:
            socket.abort()
