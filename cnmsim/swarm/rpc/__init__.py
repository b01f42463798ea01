"""Calls between nodes: TLS over TCP port 2377. The reply is one message (unary call) or a stream of messages.

Every call is sent as TCP segments between the sockets of two daemons. The payload is encrypted, so that a capture
shows only TLS records of plausible length. A call that is not answered in time fails and closes its connection; the
next call connects again. Source: moby/swarmkit `ca/transport.go`, `connectionbroker/`, and gRPC's framing, whose
record lengths are imitated.
"""

from __future__ import annotations

from cnmsim.swarm.rpc.client import dial
from cnmsim.swarm.rpc.local import LocalClient
from cnmsim.swarm.rpc.records import split_host_port
from cnmsim.swarm.rpc.server import RpcServer
from cnmsim.swarm.rpc.service import CALL_TIMEOUT_S, Client, Peer, RpcError, RpcService, ServerStream, Stream

__all__ = [
    "CALL_TIMEOUT_S",
    "Client",
    "LocalClient",
    "Peer",
    "RpcError",
    "RpcServer",
    "RpcService",
    "ServerStream",
    "Stream",
    "dial",
    "split_host_port",
]  # fmt: skip
