"""Calls between nodes: TLS over TCP port 2377, unary or with a stream of answers.

Every call is real segments between sockets of the two daemons; what is inside is encrypted, so a wire shows TLS records
of plausible length and nothing else. A call that nobody answers in time fails and takes its connection with it, so that the next
one dials anew. Source: moby/swarmkit `ca/transport.go`, `connectionbroker/` and gRPC's framing, whose lengths are imitated.
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
