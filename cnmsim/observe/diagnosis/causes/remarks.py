"""Remarks: facts beside the cause."""

from __future__ import annotations

from attrs import frozen

from cnmsim.observe.diagnosis.causes.base import Cause, Remark


@frozen
class ClientSeenAs(Remark):
    """The server sees the client's connection come from `seen` instead of the client's own address `own`."""

    server: str
    seen: str
    own: str


@frozen
class RuleNotVisited(Remark):
    """A rule in an INPUT chain did not apply, because packets to a published port traverse FORWARD instead."""

    rule: str
    host: str


@frozen
class ServerPaused(Remark):
    """The server's container is paused.

    Its kernel accepts connections or datagrams, but its program does not answer.
    """

    server: str
    protocol: str


@frozen
class LateSuccess(Remark):
    """The probe succeeded only with its try number `tries`, sent `seconds` after the first.

    `cause` is what happened to an earlier try.
    """

    tries: int
    seconds: int
    cause: Cause


@frozen
class NameShared(Remark):
    """Containers of different services have the same name, so that lookups may return either of them.

    `count` is their number; `owners` are their own names with their addresses.
    """

    name: str
    count: int
    owners: tuple[str, ...]


@frozen
class LookupQueries(Remark):
    """The name lookup needed more than one query. `is_failure` is True if it did not find the name."""

    queries: tuple[str, ...]
    is_failure: bool = False


@frozen
class ProxyClosed(Remark):
    """docker-proxy accepted the client's connection, then closed it because the container refused the second one."""

    host: str
    server: str


@frozen
class VirtualAddress(Remark):
    """The address that the client connected to is a service's virtual IP, balanced over `tasks` tasks.

    `idle_s` is the number of idle seconds after which IPVS removes the entry of a connection.
    """

    address: str
    service: str
    tasks: int
    idle_s: int


@frozen
class ConnectionReused(Remark):
    """IPVS sent a new connection to the same task as an earlier one from the same source port, without balancing it.

    `task` is that task, "" if unknown; `sysctl` is the setting that causes this.
    """

    place: str
    port: int
    source: str
    task: str
    sysctl: str


@frozen
class TunnelMtuTooSmall(Remark):
    """A machine or segment on the tunnel's path has an MTU (`mtu`) too small for full packets of the overlay network.

    `inner_mtu` is the MTU of the network, `header` the number of bytes that the tunnel adds.
    """

    network: str
    inner_mtu: int
    header: int
    where: str
    mtu: int


@frozen
class AddressClaimedTwice(Remark):
    """Two stations on a link use the same address, so that packets may reach either of them."""

    address: str
    one: str
    other: str


@frozen
class NodeDown(Remark):
    """The managers regard a node as down: it is halted (`obstacle`), or a `rule` drops its heartbeats."""

    host: str
    obstacle: str
    rule: str
    rule_host: str
