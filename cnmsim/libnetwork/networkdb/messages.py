"""What the members of a gossip cluster tell each other, and how many bytes each message takes on the wire.

The sizes are those of memberlist's msgpack and of NetworkDB's protobuf encodings (`networkdb.proto`), to a few bytes.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from enum import IntEnum
from operator import itemgetter
from typing import Any

from attrs import Factory, define, field, frozen

from cnmsim.kernel.address import Address, format_ip
from cnmsim.libnetwork.networkdb.store import Version, View

#: What a compound message adds as a whole and for each part, in bytes (memberlist `compoundHeaderOverhead`).
COMPOUND_HEADER = 2
COMPOUND_OVERHEAD = 2
#: Version, nonce and authentication tag around each packet (memberlist `encryptOverhead`, encryption version 1).
ENCRYPTION_OVERHEAD = 29
#: The type byte in front of a message for the layer above memberlist.
USER_OVERHEAD = 1


class State(IntEnum):
    """What is thought of a member."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3


@frozen
class Member:
    """A member of the cluster, as some node knows it; while it is alive, also the message that says so."""

    name: str
    address: Address
    port: int
    incarnation: int
    state: State = State.ALIVE

    #: Where it is met.
    place: tuple[Address, int] = field(init=False, eq=False, repr=False)
    #: Its length as an `alive` message, in bytes.
    size: int = field(init=False, eq=False, repr=False)
    #: Whether it is dead or has left.
    is_gone: bool = field(init=False, eq=False, repr=False)

    @place.default
    def _place(self) -> tuple[Address, int]:
        return self.address, self.port

    @size.default
    def _size(self) -> int:
        return 64 + len(self.name) + len(self.address)

    @is_gone.default
    def _is_gone(self) -> bool:
        return self.state >= State.DEAD

    def __str__(self) -> str:
        return f"{self.name}/{format_ip(self.address)}"


@frozen
class Ping:
    """Are you there? Answered by an `Ack` to `source`, only by the member of that name."""

    seq: int
    name: str
    source: tuple[Address, int]

    @property
    def size(self) -> int:
        """Length in bytes."""
        return 67 + len(self.name) * 2 + len(self.source[0])


@frozen
class IndirectPing:
    """Ask that member for me. Answered by the `Ack` that came, or after a while by a `Nack`."""

    seq: int
    target: Member
    source: tuple[Address, int]

    @property
    def size(self) -> int:
        """Length in bytes."""
        return 88 + len(self.target.name) * 2 + len(self.source[0]) * 2


@frozen
class Ack:
    """I am here."""

    seq: int
    size = 22


@frozen
class Nack:
    """I heard nothing from the member you asked about."""

    seq: int
    size = 13


@frozen
class Suspect:
    """`name` does not answer, says `sender`."""

    name: str
    incarnation: int
    sender: str

    @property
    def size(self) -> int:
        """Length in bytes."""
        return 31 + len(self.name) + len(self.sender)


@frozen
class Dead:
    """`name` is gone, says `sender`; it left by itself if it says so itself."""

    name: str
    incarnation: int
    sender: str

    @property
    def size(self) -> int:
        """Length in bytes."""
        return 31 + len(self.name) + len(self.sender)


@frozen
class NodeEvent:
    """A node joined the cluster of databases, or is about to leave it."""

    ltime: int
    name: str
    is_join: bool

    @property
    def size(self) -> int:
        """Length in bytes."""
        return 9 + len(self.name)


@frozen
class NetworkEvent:
    """A node joined or left a network. The version's key is (node, network); it is deleted when the node left."""

    version: Version
    #: Length in bytes.
    size: int = field(init=False)

    @size.default
    def _size(self) -> int:
        node, network = self.version.slot.key
        return 11 + len(node) + len(network)


class TableOperation(IntEnum):
    """What happened to an entry (networkdb.proto `TableEvent.Type`)."""

    CREATE = 1
    UPDATE = 2
    DELETE = 3


@frozen
class TableEvent:
    """An entry of a network's table has a new version. `residual_s`: how long a deleted entry is to be remembered."""

    operation: TableOperation
    network: str
    version: Version
    residual_s: int = 0
    #: Length in bytes.
    size: int = field(
        init=False, default=Factory(lambda self: table_event_size(self.network, self.version), takes_self=True)
    )


def bulk_event(network: str, version: Version, residual_s: int) -> TableEvent:
    """Give what a bulk sync tells of a version: one object for all who hear it."""
    operation = TableOperation.DELETE if version.is_deleted else TableOperation.CREATE
    event: TableEvent | None = version.event
    if event is None or event.residual_s != residual_s:
        event = version.event = TableEvent(operation, network, version, residual_s)
    return event


def table_event_size(network: str, version: Version) -> int:
    """Tell how many bytes the event of a version takes."""
    table, key = version.slot.key
    return 24 + len(version.owner) + len(network) + len(table) + len(key) + value_size(version.value)


def compound_size(parts: Iterable[Any]) -> int:
    """Tell how many bytes messages take together."""
    sizes: list[int] = [part.size for part in parts]
    return COMPOUND_HEADER + COMPOUND_OVERHEAD * len(sizes) + sum(sizes)


def value_size(value: Any) -> int:
    """Tell how many bytes a value takes: its length if it has one, else that of its text."""
    return len(value) if hasattr(value, "__len__") else len(str(value))


@frozen
class Compound:
    """Several messages in one packet."""

    parts: tuple[Any, ...]
    #: Length in bytes.
    size: int = field(init=False, default=Factory(lambda self: compound_size(self.parts), takes_self=True))


class TableNews:
    """Events of one network in one packet. What they say is looked at once for all who receive it.

    `latest` is the greatest Lamport time among them.
    """

    __slots__ = ("_codes", "_pick", "latest", "network", "parts", "size")

    def __init__(self, network: str, parts: list[TableEvent]) -> None:
        self.network = network
        self.parts = parts
        self.size = compound_size(parts) + USER_OVERHEAD
        versions = [part.version for part in parts]
        self.latest = max([version.ltime for version in versions])
        self._pick = itemgetter(*[version.slot.number for version in versions])
        codes = tuple([version.code for version in versions])
        # A version without a number is one that nobody has any more.
        self._codes: object = None if 0 in codes else codes[0] if len(codes) == 1 else codes

    def are_known(self, view: View) -> bool:
        """Tell whether a view has every version they tell of: what gossip tells most often is no news."""
        try:
            known: bool = self._pick(view.codes) == self._codes
        except IndexError:
            return False
        return known


@frozen
class NetworkState:
    """The layer above's part of a push/pull: who is attached to which network (networkdb.proto `NetworkPushPull`).

    `renewed` are the sender's own attachments where it gave them a new time for this: nobody else has them, and it may give them
    another one before this arrives.
    """

    ltime: int
    name: str
    attachments: array[int]
    count: int
    renewed: tuple[Version, ...] = ()

    @property
    def size(self) -> int:
        """Length in bytes."""
        return 12 + len(self.name) + 52 * self.count


@frozen
class PushPull:
    """All that a node knows of the members, and the layer above's part; answered by the same from the other side."""

    is_join: bool
    members: tuple[Member, ...]
    state: NetworkState

    @property
    def size(self) -> int:
        """Length in bytes."""
        return 20 + 80 * len(self.members) + self.state.size


@define
class BulkSync:
    """All entries of some networks. An unsolicited one is answered by the same from the other side.

    `entries` holds a snapshot for each network, `residuals` for how long each deleted entry is to be remembered still,
    by its slot, in seconds.
    """

    ltime: int
    is_unsolicited: bool
    name: str
    entries: Mapping[str, array[int]]
    residuals: Mapping[str, Mapping[int, int]]
    size: int = field(default=0)
