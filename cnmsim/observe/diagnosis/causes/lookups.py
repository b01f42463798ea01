"""Causes for which a name lookup failed."""

from __future__ import annotations

from attrs import frozen

from cnmsim.observe.diagnosis.causes.base import Cause, Drop


@frozen
class ResolverAnswered(Cause):
    """A name server answered, but without an address. `result` is the answer as text, for example NXDOMAIN.

    `reason` is why the server has no address, `None` if unknown.
    """

    server: str
    result: str
    name: str
    reason: Cause | None = None


@frozen
class UpstreamNotReached(Cause):
    """The embedded resolver got no answer because its query to an upstream server was dropped."""

    servers: tuple[str, ...]
    drop: Drop


@frozen
class UpstreamResult(Cause):
    """The result of the embedded resolver's own query to an upstream server, as a text (`note`) from the resolver."""

    note: str


@frozen
class NameServerSilent(Cause):
    """No name server answered.

    `reason` is the cause for which the lookup would fail even if a server answered, e.g. that the container with that
    name is stopped; `None` if no such cause is known.
    """

    servers: tuple[str, ...]
    reason: Cause | None = None


@frozen
class QueryDropped(Cause):
    """The DNS query of the probe's source, or the answer to that query, was dropped."""

    source: str
    servers: tuple[str, ...]
    drop: Drop


@frozen
class NameServerUnusable(Cause):
    """The probe's source could not query its name server because its socket returned an error.

    `has_network` is False for a container that is attached to no network.
    """

    source: str
    servers: tuple[str, ...]
    error: str
    has_network: bool = True


@frozen
class ContainerStopped(Cause):
    """The name was not found because the container with that name is not running but in the state `status`.

    `taken_port` is the port that its program could not bind, 0 if that is not why it ended; `holder` has the port.
    """

    container: str
    status: str
    taken_port: int = 0
    holder: str = ""


@frozen
class ProfileInactive(Cause):
    """The name was not found because the Compose service with that name was not started: `profile` is not active."""

    service: str
    profile: str


@frozen
class ContainerNameOnHost(Cause):
    """A host looked up the name of a container, but only the embedded resolver of containers resolves such names."""

    container: str


@frozen
class SharesStack(Cause):
    """The name was not found because the container uses the network stack of its host or of another container.

    `owner` is that host or other container. A container without a network stack of its own is not registered by name.
    """

    container: str
    owner: str
    is_host: bool


@frozen
class NoNetwork(Cause):
    """The name was not found because the container has no network (`network_mode: none`)."""

    container: str


@frozen
class NoDockerNetwork(Cause):
    """The name was not found because the probe's source uses no Docker network, and so has no embedded resolver."""

    source: str


@frozen
class SameNameOnOtherHost(Cause):
    """The name was not found.

    The container is on another host, on a bridge network named like one of the source's networks.
    """

    container: str
    host: str
    network: str
    source_host: str


@frozen
class NotByThatName(Cause):
    """The name was not found: the container exists, but has another name on the networks of the probe's source."""

    container: str
    source: str


@frozen
class OtherAddressInHostsFile(Cause):
    """The probe failed because its source's /etc/hosts maps the name to an address that is not the container's.

    `address` is the address in the file, `owner_address` that of the container `owner`. `cause` is why the probe to
    `address` failed.
    """

    cause: Cause
    name: str
    address: str
    source: str
    owner: str
    owner_address: str
