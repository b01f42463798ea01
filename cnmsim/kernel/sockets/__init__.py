"""Sockets of a network namespace: UDP, TCP and ICMP, and the table that finds a received packet's socket.

Not modelled: raw sockets other than for ICMP, SO_REUSEPORT, multicast membership, credentials and privileged ports.
"""

from cnmsim.kernel.sockets.errors import IcmpErrorInfo, QueuedError
from cnmsim.kernel.sockets.icmp import IcmpSocket
from cnmsim.kernel.sockets.table import SocketInfo, SocketTable
from cnmsim.kernel.sockets.tcp import TcpSocket
from cnmsim.kernel.sockets.tcp_state import TcpState
from cnmsim.kernel.sockets.udp import UdpSocket

__all__ = [
    "IcmpErrorInfo",
    "IcmpSocket",
    "QueuedError",
    "SocketInfo",
    "SocketTable",
    "TcpSocket",
    "TcpState",
    "UdpSocket",
]
