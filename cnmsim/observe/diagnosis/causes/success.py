"""Causes of success: how the packet reached the server."""

from __future__ import annotations

from attrs import frozen

from cnmsim.observe.diagnosis.causes.base import Cause


@frozen
class Answered(Cause):
    """The server answered the probe. `path` says how the packet got there; `is_echo` marks a ping."""

    server: str
    endpoint: str
    path: Cause | None = None
    is_echo: bool = False


@frozen
class DatagramReceived(Cause):
    """The server's socket received the probe's UDP datagram, and nothing was sent back."""

    server: str
    endpoint: str
    path: Cause | None = None


@frozen
class ByProxy(Cause):
    """docker-proxy on `host` relayed the connection of the probe: it opened a second one to the container."""

    host: str


@frozen
class DestinationRewritten(Cause):
    """A NAT rule on `place` rewrote the destination address of the probe's packet (DNAT)."""

    place: str
    rule: str


@frozen
class SourceRewritten(Cause):
    """A NAT rule on `place` rewrote the source address of the probe's packet (SNAT or masquerading)."""

    place: str
    rule: str


@frozen
class SharedNetwork(Cause):
    """Source and destination of the probe are attached to the same Docker network."""

    network: str


@frozen
class OwnHost(Cause):
    """The destination of the probe is the host on which its source, a container, runs."""

    container: str
