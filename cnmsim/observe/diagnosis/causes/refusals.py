"""Causes for which a probe was refused: nothing listens, or not at the requested address and port."""

from __future__ import annotations

from attrs import frozen

from cnmsim.observe.diagnosis.causes.base import Cause


@frozen
class Refused(Cause):
    """The probe was refused (RST or ICMP port unreachable), but the trace does not show which machine refused it."""

    endpoint: str


@frozen
class NothingListens(Cause):
    """The server refused the probe because no program listens on the port.

    With `has_no_port`, no program of the server listens on any port at all.
    """

    server: str
    endpoint: str
    has_no_port: bool = False


@frozen
class ListensOnLoopback(Cause):
    """The server refused the probe because its program listens on that port only on the loopback address.

    `endpoint` is the address and port that the probe used, `listener` the address and port on which the program
    listens.
    """

    server: str
    endpoint: str
    listener: str


@frozen
class ListensElsewhere(Cause):
    """The server refused the probe: programs listen on that port, but only at the addresses in `listeners`."""

    server: str
    endpoint: str
    listeners: tuple[str, ...]


@frozen
class ListensByOtherProtocol(Cause):
    """The server refused the probe because a program listens on that port only with the other transport protocol.

    `protocol` is the one that the probe used, `other` the one that the program uses: `tcp` or `udp`.
    """

    server: str
    endpoint: str
    protocol: str
    port: int
    other: str


@frozen
class ListensOnOtherPorts(Cause):
    """The server refused the probe because its programs listen only on other ports, given in `listeners`."""

    server: str
    endpoint: str
    listeners: tuple[str, ...]


@frozen
class LocalhostIsItself(Cause):
    """A program in `container` tried to reach another machine at `localhost`, which means the container itself.

    `name` is what the probe used, e.g. `localhost` or `127.0.0.1`.
    """

    name: str
    container: str
    port: int


@frozen
class LocalhostIsThisMachine(Cause):
    """A program on `machine` used `localhost` for a port that is published only on another machine, `owner`.

    `address` is the address at which `owner` publishes the port if that is a loopback address, else "".
    """

    name: str
    machine: str
    port: int
    owner: str
    address: str = ""


@frozen
class PublishedOnLoopback(Cause):
    """The host refused the probe because the port is published on the loopback address of the host only.

    `owner` has the port: the host, or the container if it is published as another port. `address` is then followed by
    that port.
    """

    endpoint: str
    port: int
    owner: str
    address: str


@frozen
class PublishedOnInternalNetworks(Cause):
    """The host refused the probe: `container` requests to publish the port, but all its networks are internal.

    Docker publishes no ports on internal networks. `networks` are the container's networks.
    """

    endpoint: str
    container: str
    networks: tuple[str, ...]


@frozen
class PublishedForOtherFamily(Cause):
    """The host refused the probe because the port is published only on addresses of the other IP version.

    `family` (4 or 6) is the IP version that the probe used.
    """

    endpoint: str
    container: str
    port: int
    host: str
    addresses: tuple[str, ...]
    family: int


@frozen
class PublishedAsOtherPort(Cause):
    """The host refused the probe because the container's port is published as a different host port, `host_port`."""

    host: str
    endpoint: str
    container: str
    port: int
    host_port: int


@frozen
class PublisherNotRunning(Cause):
    """The host refused the probe because the container that publishes the port is not running."""

    host: str
    endpoint: str
    container: str
    status: str


@frozen
class ListenerNotPublished(Cause):
    """The host refused the probe: one of its containers listens on that port but does not publish it."""

    host: str
    endpoint: str
    container: str


@frozen
class OtherPortsPublished(Cause):
    """The host refused the probe because nothing is published on that port.

    `published` lists the ports that are published on the host, each with the name of its container.
    """

    host: str
    endpoint: str
    published: tuple[tuple[int, str], ...]
