"""Remarks: facts that a finding reports besides its cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.observe.diagnosis.causes.base import Cause, Remark

if TYPE_CHECKING:
    from cnmsim.observe.fixes.changes import Change


@frozen
class ClientSeenAs(Remark):
    """The server sees `seen` as the source address of the connection, not the client's own address `own`."""

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
    """The probe succeeded only with its attempt number `tries`, sent `seconds` after the first attempt.

    `cause` is why the first attempt failed.
    """

    tries: int
    seconds: int
    cause: Cause


@frozen
class NameShared(Remark):
    """Containers of different services have the same name, so that a lookup may return the address of any of them.

    `count` is the number of these containers; `owners` lists the container names with their addresses.
    """

    name: str
    count: int
    owners: tuple[str, ...]


@frozen
class LookupQueries(Remark):
    """The name lookup needed more than one query, as listed in `queries`. `is_failure`: no address was found."""

    queries: tuple[str, ...]
    is_failure: bool = False


@frozen
class ProxyClosed(Remark):
    """docker-proxy accepted the client's connection, but its own connection to the container was refused.

    It therefore closed the client's connection.
    """

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
    """IPVS sent a new connection to the same task as an earlier connection from the same source address and port.

    It was therefore not balanced. `task` is that task, "" if unknown; `sysctl` is the setting that causes this.
    """

    place: str
    port: int
    source: str
    task: str
    sysctl: str


@frozen
class TunnelMtuTooSmall(Remark):
    """The MTU of a machine or segment on the tunnel's path is too small for full packets of the overlay network.

    `mtu` is that MTU, `inner_mtu` the MTU of the overlay network, and `header` the number of bytes that the tunnel
    adds.
    """

    network: str
    inner_mtu: int
    header: int
    where: str
    mtu: int


@frozen
class AddressClaimedTwice(Remark):
    """Two machines or containers on a link use the same address, so that packets may reach either of them."""

    address: str
    one: str
    other: str


@frozen
class NodeDown(Remark):
    """The swarm's managers regard the node `host` as down.

    `obstacle` says why the node is halted, "" if it is not. `reason` is why no heartbeat of it arrives, and `change`
    what may help; both are `None` if that is not known.
    """

    host: str
    obstacle: str
    reason: Cause | None = None
    change: Change | None = None
