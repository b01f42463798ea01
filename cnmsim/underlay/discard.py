"""The discard service of RFC 863 over UDP: it receives datagrams and answers none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

DISCARD_PORT = 9


async def discard_server(process: Process) -> int:
    """Receive datagrams on UDP port 9 of all addresses, until the process is killed."""
    socket = process.udp(6)
    socket.bind(("::", DISCARD_PORT))
    while True:
        await socket.recvfrom()
