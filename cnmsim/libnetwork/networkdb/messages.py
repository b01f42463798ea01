"""What the members of a gossip cluster tell each other, and how many bytes each message takes.

The sizes of packets are those of memberlist's msgpack and of NetworkDB's protobuf encodings (`networkdb.proto`), before memberlist
compresses what gets smaller by that; those of streams are what that leaves of them, to a tenth.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from functools import cache
from operator import itemgetter
from typing import Any

from attrs import Factory, define, field, frozen

from cnmsim.kernel.address import Address, format_ip
from cnmsim.libnetwork.networkdb.encoding import (
    bytes_field,
    compressed,
    number_field,
    packed_map,
    packed_number,
    packed_text,
    text_field,
)
from cnmsim.libnetwork.networkdb.store import Space, Version, View

#: What a compound message adds as a whole and for each part, in bytes (memberlist `compoundHeaderOverhead`).
COMPOUND_HEADER = 2
COMPOUND_OVERHEAD = 2
#: Version, nonce and authentication tag around each packet (memberlist `encryptOverhead`, encryption version 1).
ENCRYPTION_OVERHEAD = 29
#: The type byte in front of a message, and of one for the layer above memberlist.
_TYPE = USER_OVERHEAD = 1
#: What NetworkDB assumes that a compound message of its own adds as a whole and for each part, in bytes (moby `networkdb/message.go`).
TABLE_COMPOUND_HEADER = 5
TABLE_COMPOUND_OVERHEAD = 4
#: The type of a message of NetworkDB, and that of an event, in bytes.
_KIND = 2


#: An `alive` message, a probe and so on, without the values that differ. A probe's names are those of two nodes, of one length.
_ALIVE = _TYPE + packed_map("Incarnation", "Node", "Addr", "Port", "Meta", "Vsn") + packed_text(0) + packed_text(6)
_PING = _TYPE + packed_map("SeqNo", "Node", "SourceAddr", "SourcePort", "SourceNode")
_INDIRECT_PING = (
    _TYPE + 1 + packed_map("SeqNo", "Target", "Port", "Node", "Nack", "SourceAddr", "SourcePort", "SourceNode")
)
_NACK = _TYPE + packed_map("SeqNo")
_ACK = _TYPE + packed_map("SeqNo", "Payload") + 1
_RUMOUR = _TYPE + packed_map("Incarnation", "Node", "From")
#: A push/pull without members, what its entry of one is longer by than an `alive` message, and how long a network's id is.
_PUSH_PULL = _TYPE + packed_map("Nodes", "UserStateLen", "Join") + 5
_STATE = packed_text(len("State"))
_NETWORK_ID = 25
_BULK_SYNC = _TYPE + packed_map("UserMsgLen") + 3
#: What LZW leaves of members, and of entries, whose keys are random: a share of each, once so many bytes have told what is alike.
_MEMBERS_ALIKE = 0.255, 747
_ENTRIES_ALIKE = 0.46, 526


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
    socket_address: tuple[Address, int] = field(init=False, eq=False, repr=False)
    #: Its length as an `alive` message, in bytes.
    size: int = field(init=False, eq=False, repr=False)
    #: Whether it is dead or has left.
    is_gone: bool = field(init=False, eq=False, repr=False)

    @socket_address.default
    def _socket_address(self) -> tuple[Address, int]:
        return self.address, self.port

    @size.default
    def _size(self) -> int:
        return (
            _ALIVE
            + packed_number(self.incarnation)
            + packed_text(len(self.name))
            + packed_text(len(self.address))
            + packed_number(self.port)
        )

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
        address, port = self.source
        names = 2 * packed_text(len(self.name))
        return _PING + packed_number(self.seq) + names + packed_text(len(address)) + packed_number(port)


@frozen
class IndirectPing:
    """Ask that member for me. Answered by the `Ack` that came, or after a while by a `Nack`."""

    seq: int
    target: Member
    source: tuple[Address, int]

    @property
    def size(self) -> int:
        """Length in bytes."""
        names, addresses = 2 * packed_text(len(self.target.name)), 2 * packed_text(len(self.source[0]))
        ports = packed_number(self.source[1]) + packed_number(self.target.port)
        return _INDIRECT_PING + packed_number(self.seq) + names + addresses + ports


@frozen
class Ack:
    """I am here."""

    seq: int

    @property
    def size(self) -> int:
        """Length in bytes."""
        return _ACK + packed_number(self.seq)


@frozen
class Nack:
    """I heard nothing from the member you asked about."""

    seq: int

    @property
    def size(self) -> int:
        """Length in bytes."""
        return _NACK + packed_number(self.seq)


@frozen
class Suspect:
    """`name` does not answer, says `sender`."""

    name: str
    incarnation: int
    sender: str

    @property
    def size(self) -> int:
        """Length in bytes."""
        return _RUMOUR + packed_number(self.incarnation) + packed_text(len(self.name)) + packed_text(len(self.sender))


@frozen
class Dead:
    """`name` is gone, says `sender`; it left by itself if it says so itself."""

    name: str
    incarnation: int
    sender: str

    @property
    def size(self) -> int:
        """Length in bytes."""
        return _RUMOUR + packed_number(self.incarnation) + packed_text(len(self.name)) + packed_text(len(self.sender))


@frozen
class NodeEvent:
    """A node joined the cluster of databases, or is about to leave it."""

    ltime: int
    name: str
    is_join: bool

    @property
    def size(self) -> int:
        """Length in bytes."""
        return USER_OVERHEAD + _message(_KIND + number_field(self.ltime) + text_field(len(self.name)))


@frozen
class NetworkEvent:
    """A node joined or left a network. The version's key is (node, network); it is deleted when the node left."""

    version: Version
    #: Length in bytes.
    size: int = field(init=False)

    @size.default
    def _size(self) -> int:
        node, network = self.version.slot.key
        fields = number_field(self.version.ltime) + text_field(len(node)) + text_field(len(network))
        return USER_OVERHEAD + _message(_KIND + fields)


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
        init=False,
        default=Factory(lambda self: table_event_size(self.network, self.version, self.residual_s), takes_self=True),
    )


def bulk_event(network: str, version: Version, residual_s: int) -> TableEvent:
    """Give what a bulk sync tells of a version: one object for all who hear it."""
    operation = TableOperation.DELETE if version.is_deleted else TableOperation.CREATE
    event: TableEvent | None = version.event
    if event is None or event.residual_s != residual_s:
        event = version.event = TableEvent(operation, network, version, residual_s)
    return event


def table_event_size(network: str, version: Version, residual_s: int = 0) -> int:
    """Return how many bytes the event of a version takes."""
    fields = number_field(version.ltime) + number_field(residual_s) + text_field(value_size(version.value))
    for text in (version.owner, network, *version.slot.key):
        fields += text_field(len(text))
    return _message(_KIND + fields)


def bulk_sync_size(node: str, ltime: int, networks: Mapping[str, tuple[int, int]]) -> int:
    """Return how many bytes a bulk sync takes; for each network it tells how many entries there are, and how long the
    event of one is.
    """
    events = sum([count * _part_size(event_size) for count, event_size in networks.values()])
    payload = _KIND + text_field(events)
    length = number_field(ltime) + _KIND + text_field(len(node)) + bytes_field(payload)
    length += sum([text_field(len(network)) for network in networks])
    return compressed(_BULK_SYNC + _message(length), *_ENTRIES_ALIKE)


def _message(length: int) -> int:
    """Return how many bytes a message of NetworkDB takes whose content has such a length (networkdb.proto
    `GossipMessage`).
    """
    return _KIND + bytes_field(length)


def compound_size(parts: Iterable[Any]) -> int:
    """Return how many bytes messages take together in a packet of memberlist."""
    sizes: list[int] = [part.size for part in parts]
    return COMPOUND_HEADER + COMPOUND_OVERHEAD * len(sizes) + sum(sizes)


def table_compound_size(parts: Iterable[TableEvent]) -> int:
    """Return how many bytes events take together in a packet of NetworkDB (networkdb.proto `CompoundMessage`)."""
    return USER_OVERHEAD + _message(sum([_part_size(part.size) for part in parts]))


@cache
def _part_size(length: int) -> int:
    return bytes_field(bytes_field(length))


def value_size(value: Any) -> int:
    """Return how many bytes a value takes: its length if it has one, else that of its text."""
    return len(value) if hasattr(value, "__len__") else len(str(value))


@frozen
class Compound:
    """Several messages in one packet."""

    parts: tuple[Any, ...]
    #: Length in bytes.
    size: int = field(init=False, default=Factory(lambda self: compound_size(self.parts), takes_self=True))


class TableEventBatch:
    """Events of one network in one packet. What they say is looked at once for all who receive it."""

    __slots__ = ("_changes", "_codes", "_pick", "network", "parts", "size")

    def __init__(self, network: str, parts: list[TableEvent], space: Space) -> None:
        self.network = network
        self.parts = parts
        self.size = table_compound_size(parts)
        self._pick: Callable[[array[int]], object] | None = None
        self._codes: object = None
        count = len(space.views)
        #: As long as nothing changed since, all who have a view know what they tell of.
        self._changes = space.changes
        for part in parts:
            if part.version.holders != count:
                self._changes = -1
                break

    @property
    def latest(self) -> int:
        """The greatest Lamport time among them."""
        return max([part.version.ltime for part in self.parts])

    def is_redundant_for(self, view: View) -> bool:
        """Return whether a view has every version they tell of: what gossip tells most often is no news."""
        codes = view.codes
        if self._changes == view.space.changes and codes:
            return True
        if self._pick is None:
            self._prepare()
        assert self._pick is not None
        try:
            return self._pick(codes) == self._codes
        except IndexError:
            return False

    def _prepare(self) -> None:
        versions = [part.version for part in self.parts]
        self._pick = itemgetter(*[version.slot.number for version in versions])
        codes = tuple([version.code for version in versions])
        # A version without a number is one that nobody has any more.
        self._codes = None if 0 in codes else codes[0] if len(codes) == 1 else codes


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
        """Length in bytes, before it is compressed."""
        entry_size = bytes_field(text_field(len(self.name)) + number_field(self.ltime) + text_field(_NETWORK_ID))
        return _message(number_field(self.ltime) + text_field(len(self.name)) + entry_size * self.count)


@frozen
class PushPull:
    """All that a node knows of the members, and the layer above's part; answered by the same from the other side."""

    is_join: bool
    members: tuple[Member, ...]
    state: NetworkState

    @property
    def size(self) -> int:
        """Length in bytes."""
        members = sum([member.size + _STATE for member in self.members])
        return compressed(_PUSH_PULL + members + self.state.size, *_MEMBERS_ALIKE)


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
