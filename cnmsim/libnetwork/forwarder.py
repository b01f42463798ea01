"""The embedded resolver's forwarder: queries for unknown names go to upstream servers, one after another.

Source: moby `libnetwork/resolver.go` (`forwardExtDNS`, `exchange`), all releases.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from attrs import define, field

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.events import Detail, Reporter, Step, UpstreamSkipped
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.process import Process
from cnmsim.kernel.sockets.tcp import TcpSocket
from cnmsim.kernel.sockets.udp import UdpSocket
from cnmsim.kernel.task import Signal
from cnmsim.libnetwork.dnsmessage import RCODE_NAMES, REFUSED, SERVFAIL, Query, answer, rcode_of
from cnmsim.libnetwork.resolvconf import INTERNAL_SERVER, Upstream

MAX_UPSTREAMS = 3
MAX_CONCURRENT = 1024
#: Timeout in seconds for each of: connecting to a server, waiting for its answer, waiting for a free query slot.
TIMEOUT_S = 4.0
DNS_PORT = 53


@define(eq=False)
class Forwarder:
    """Sends DNS queries to upstream servers, from the container's namespace or from the host's.

    The address of the embedded resolver itself (127.0.0.11) is removed from `upstreams`. Of the other servers only
    the first three are used, in their order. `owner` is the process that owns the sockets.
    """

    namespace: NetworkNamespace
    host: NetworkNamespace
    upstreams: Sequence[Upstream]
    owner: Process | None = None
    _active: int = field(default=0, init=False)
    _changed: Signal = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.upstreams = [upstream for upstream in self.upstreams if upstream.server.address != INTERNAL_SERVER][
            :MAX_UPSTREAMS
        ]
        self._changed = Signal(self.namespace.clock)

    async def forward(self, query: Query, wire: bytes, *, is_tcp: bool, has_external_access: bool) -> bytes:
        """Send the query `wire` to the upstream servers in turn, and return the first usable answer.

        `query` is the same query, parsed. `is_tcp` selects TCP instead of UDP. An answer is usable unless its code is
        SERVFAIL or REFUSED. Without a usable answer, return an answer with the code SERVFAIL, or with REFUSED if too
        many queries are pending.

        If `has_external_access` is False, servers to which the query would be sent from the host's namespace are
        skipped.
        """
        limit = query.limit(is_tcp=is_tcp)
        for upstream in self.upstreams:
            if upstream.from_host and not has_external_access:
                what = "not asked, as no network of the container has a route to the outside"
                self._note(upstream, query, what, UpstreamSkipped(str(upstream.server)))
                continue
            try:
                await self._changed.wait_until(lambda: self._active < MAX_CONCURRENT, TIMEOUT_S)
            except TimeoutError:
                return answer(query, limit=limit, rcode=REFUSED)
            self._active += 1
            try:
                response = await self._exchange(upstream, query, wire, is_tcp)
            finally:
                self._active -= 1
                self._changed.notify()
            if response is not None:
                return response
        return answer(query, limit=limit, rcode=SERVFAIL)

    async def _exchange(self, upstream: Upstream, query: Query, wire: bytes, is_tcp: bool) -> bytes | None:
        """Send a query to one server, over TCP if `is_tcp` is True, otherwise over UDP. Return the server's answer.

        Return `None` if there is no usable answer, so that the next server is queried.
        """
        self._note(upstream, query, "query forwarded")
        try:
            response = await (self._over_tcp(upstream, wire) if is_tcp else self._over_udp(upstream, wire))
        except TimeoutError:
            self._note(upstream, query, f"no answer within {TIMEOUT_S:g} s")
            return None
        except OSError as error:
            self._note(upstream, query, f"not reachable: {error.strerror}")
            return None
        rcode = rcode_of(response)
        if rcode is None:
            self._note(upstream, query, "invalid answer")
            return None
        self._note(upstream, query, f"answered {RCODE_NAMES.get(rcode, rcode)}")
        return None if rcode in {SERVFAIL, REFUSED} else response

    def _place(self, upstream: Upstream) -> NetworkNamespace:
        return self.host if upstream.from_host else self.namespace

    async def _over_udp(self, upstream: Upstream, wire: bytes) -> bytes:
        address = upstream.server.address
        with closing(UdpSocket(self._place(upstream), 6 if len(address) == 16 else 4, self.owner)) as socket:
            if upstream.server.zone:
                socket.bind_device(upstream.server.zone)
            socket.connect((address, DNS_PORT))
            socket.send(wire)
            deadline_ns = socket.namespace.clock.now_ns + round(TIMEOUT_S * NS_PER_S)
            while True:
                left_s = (deadline_ns - socket.namespace.clock.now_ns) / NS_PER_S
                response, _ = await socket.recvfrom(left_s)
                # A late answer to an earlier query on the same port is ignored.
                if response[:2] == wire[:2]:
                    return response

    async def _over_tcp(self, upstream: Upstream, wire: bytes) -> bytes:
        address = upstream.server.address
        with closing(TcpSocket(self._place(upstream), 6 if len(address) == 16 else 4, self.owner)) as socket:
            if upstream.server.zone:
                socket.bind_device(upstream.server.zone)
            await socket.connect((address, DNS_PORT), TIMEOUT_S)
            socket.send(len(wire).to_bytes(2) + wire)
            deadline_ns = socket.namespace.clock.now_ns + round(TIMEOUT_S * NS_PER_S)
            received = b""
            while len(received) < 2 or len(received) < 2 + int.from_bytes(received[:2]):
                left_s = (deadline_ns - socket.namespace.clock.now_ns) / NS_PER_S
                data = await socket.recv(timeout=left_s)
                if not data:
                    raise ConnectionResetError(104, "Connection reset by peer")
                received += data
            return received[2 : 2 + int.from_bytes(received[:2])]

    def _note(self, upstream: Upstream, query: Query, what: str, detail: Detail = Reporter.RESOLVER) -> None:
        if self.namespace.clock.context is None:
            return
        side = "host" if upstream.from_host else "container"
        self.namespace.report(
            Step.NOTE,
            f"resolver: {query.kind_name} {query.name}, upstream {upstream.server}: {what}",
            b"",
            decision=f"upstream {upstream.server}, queried from the {side}'s namespace {self._place(upstream).name}",
            detail=detail,
        )
