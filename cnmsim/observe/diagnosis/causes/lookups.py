"""Causes in name lookups."""

from __future__ import annotations

from attrs import frozen

from cnmsim.observe.diagnosis.causes.base import Cause, Drop


@frozen
class ResolverAnswered(Cause):
    """A name server answered without an address, for example with NXDOMAIN. `reason` says why, `None` if unknown."""

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
    """The embedded resolver recorded a note about its own query to an upstream server."""

    note: str


@frozen
class NameServerSilent(Cause):
    """No name server answered.

    `reason` says why it could not have resolved the name in any case, `None` if it could.
    """

    servers: tuple[str, ...]
    reason: Cause | None = None


@frozen
class QueryDropped(Cause):
    """The source's DNS query, or the answer to it, was dropped."""

    source: str
    servers: tuple[str, ...]
    drop: Drop


@frozen
class NameServerUnusable(Cause):
    """The source could not query its name server because its socket returned an error."""

    source: str
    servers: tuple[str, ...]
    error: str


@frozen
class ContainerStopped(Cause):
    """The name was not found because the container that has it is not running."""

    container: str
    status: str


@frozen
class ProfileInactive(Cause):
    """The name was not found because the Compose service that has it was not started: `profile` is not active."""

    service: str
    profile: str


@frozen
class HostKnowsNoContainers(Cause):
    """A host looked up the name of a container, but only containers have the resolver that resolves such names."""

    container: str


@frozen
class SharesStack(Cause):
    """The name was not found because the container uses the network stack of its host or of another container.

    `owner` is the host or container that the stack belongs to; such a container has no name of its own.
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
    """The name was not found because the source uses no Docker network, and so has no embedded resolver."""

    source: str


@frozen
class SameNameOnOtherHost(Cause):
    """The name was not found: the container is on a bridge network of another host that only has the same name."""

    container: str
    host: str
    network: str
    source_host: str


@frozen
class NotByThatName(Cause):
    """The name was not found: the container exists, but does not have that name on any network of the source."""

    container: str
    source: str


@frozen
class OtherAddressInHostsFile(Cause):
    """The probe failed because the source's /etc/hosts gives the name an address that is not the container's.

    `cause` is why the probe to that address failed.
    """

    cause: Cause
    name: str
    address: str
    source: str
    owner: str
    owner_address: str
