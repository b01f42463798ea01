"""Connections of programs to sockets of the Unix domain, such as /var/run/docker.sock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.inode import SocketFile
from cnmsim.kernel.unix_stream import UnixStream
from cnmsim.userland.invocation import absolute_path

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process


def connect_unix(process: Process, path: str) -> UnixStream:
    """Connect to the socket at `path`. Raises the `OSError` of connect(2)."""
    inode = process.files.inode(absolute_path(process, path))
    if not isinstance(inode, SocketFile):
        raise ConnectionRefusedError(111, "Connection refused")
    connection = inode.connect()
    assert isinstance(connection, UnixStream), "a socket file returns the client's end of a connection"
    return connection
