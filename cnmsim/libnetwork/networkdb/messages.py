"""The messages of a gossip cluster, and their sizes in bytes.

The sizes of packets are exact for memberlist's msgpack and NetworkDB's protobuf encodings (`networkdb.proto`), before
memberlist's compression. The sizes of messages on streams are estimates after compression, accurate to a tenth.
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
from cnmsim.libnetwork.networkdb.store import EntryPool, EntryVersion, EntryView

#: The bytes that a compound message adds, in total and for each part (memberlist `compoundHeaderOverhead`).
COMPOUND_HEADER = 2
COMPOUND_OVERHEAD = 2
#: Version, nonce and authentication tag of each packet (memberlist `encryptOverhead`, encryption version 1).
ENCRYPTION_OVERHEAD = 29
#: The sizes of the type byte of a memberlist message, and of one of the layer above memberlist.
_TYPE = USER_OVERHEAD = 1
#: The overhead that NetworkDB assumes for its own compound messages and their parts, in bytes (moby
#: `networkdb/message.go`).
TABLE_COMPOUND_HEADER = 5
TABLE_COMPOUND_OVERHEAD = 4
#: The sizes of the type of a NetworkDB message, and of the type of an event.
_KIND = 2


#: The sizes of the constant parts of `alive` messages, probes and so on. Both names in a probe are node names, which
#: all have the same length.
_ALIVE = _TYPE + packed_map("Incarnation", "Node", "Addr", "Port", "Meta", "Vsn") + packed_text(0) + packed_text(6)
_PING = _TYPE + packed_map("SeqNo", "Node", "SourceAddr", "SourcePort", "SourceNode")
_INDIRECT_PING = (
    _TYPE + 1 + packed_map("SeqNo", "Target", "Port", "Node", "Nack", "SourceAddr", "SourcePort", "SourceNode")
)
_NACK = _TYPE + packed_map("SeqNo")
_ACK = _TYPE + packed_map("SeqNo", "Payload") + 1
_RUMOUR = _TYPE + packed_map("Incarnation", "Node", "From")
#: The sizes of a push/pull without members, of what a member entry has in addition to an `alive` message, and of a
#: network's id.
_PUSH_PULL = _TYPE + packed_map("Nodes", "UserStateLen", "Join") + 5
_STATE = packed_text(len("State"))
_NETWORK_ID = 25
_BULK_SYNC = _TYPE + packed_map("UserMsgLen") + 3
#: The parameters of `compressed` for lists of members, and for lists of entries, whose keys are random.
_MEMBERS_ALIKE = 0.255, 747
_ENTRIES_ALIKE = 0.46, 526


class State(IntEnum):
    """The state of a member."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3


@frozen
class Member:
    """A member of the cluster, in the state that one node knows.

    A member increases its `incarnation` to refute a suspicion; of two messages about a member the one with the higher
    incarnation is valid. In state ALIVE the object is also the `alive` message.
    """

    name: str
    address: Address
    port: int
    incarnation: int
    state: State = State.ALIVE

    #: The member's address and port.
    socket_address: tuple[Address, int] = field(init=False, eq=False, repr=False)
    #: The size in bytes of its `alive` message.
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
    """A probe of the member `name`. A member with another name does not answer.

    The answer is an `Ack` with the same `seq`, sent to `source`, the address and port of the prober.
    """

    seq: int
    name: str
    source: tuple[Address, int]

    @property
    def size(self) -> int:
        """Length of the encoded message in bytes."""
        address, port = self.source
        names = 2 * packed_text(len(self.name))
        return _PING + packed_number(self.seq) + names + packed_text(len(address)) + packed_number(port)


@frozen
class IndirectPing:
    """A request to probe the member `target`. The answer is an `Ack` or, after a timeout, a `Nack`.

    The answer is sent to `source`, the address and port of the requesting member.
    """

    seq: int
    target: Member
    source: tuple[Address, int]

    @property
    def size(self) -> int:
        """Length of the encoded message in bytes."""
        names, addresses = 2 * packed_text(len(self.target.name)), 2 * packed_text(len(self.source[0]))
        ports = packed_number(self.source[1]) + packed_number(self.target.port)
        return _INDIRECT_PING + packed_number(self.seq) + names + addresses + ports


@frozen
class Ack:
    """The answer to the probe that has the number `seq`."""

    seq: int

    @property
    def size(self) -> int:
        """Length of the encoded message in bytes."""
        return _ACK + packed_number(self.seq)


@frozen
class Nack:
    """The answer to the indirect probe with the number `seq` if its target did not answer."""

    seq: int

    @property
    def size(self) -> int:
        """Length of the encoded message in bytes."""
        return _NACK + packed_number(self.seq)


@frozen
class _Rumour:
    """A statement of the node `sender` about the node `name`.

    The statement is ignored if a message about that node with a higher `incarnation` is known.
    """

    name: str
    incarnation: int
    sender: str

    @property
    def size(self) -> int:
        """Length of the encoded message in bytes."""
        return _RUMOUR + packed_number(self.incarnation) + packed_text(len(self.name)) + packed_text(len(self.sender))


class Suspect(_Rumour):
    """A message in which the node `sender` suspects that the node `name` is dead.

    The reason is that the node does not answer probes.
    """

    __slots__ = ()


class Dead(_Rumour):
    """A message in which the node `sender` declares the node `name` dead. If both are the same node, it has left."""

    __slots__ = ()


@frozen
class NodeEvent:
    """The event that the node `name` joined the cluster or, if `is_join` is False, is about to leave it.

    Unlike memberlist's messages, it is NetworkDB's own. `ltime` is the event's Lamport time.
    """

    ltime: int
    name: str
    is_join: bool

    @property
    def size(self) -> int:
        """Length of the encoded message in bytes."""
        return USER_OVERHEAD + _message(_KIND + number_field(self.ltime) + text_field(len(self.name)))


@frozen
class NetworkEvent:
    """The event that a node attached to a network, or detached from it.

    The key of `version` is the pair (node name, network id). If the version is deleted, the node has detached.
    """

    version: EntryVersion
    #: Length of the encoded message in bytes.
    size: int = field(init=False)

    @size.default
    def _size(self) -> int:
        node, network = self.version.slot.key
        fields = number_field(self.version.ltime) + text_field(len(node)) + text_field(len(network))
        return USER_OVERHEAD + _message(_KIND + fields)


class TableOperation(IntEnum):
    """The kind of change of an entry (networkdb.proto `TableEvent.Type`)."""

    CREATE = 1
    UPDATE = 2
    DELETE = 3


@frozen
class TableEvent:
    """A new version of an entry in a table of a network.

    `residual_s` is the number of seconds for which the receivers keep the record that the entry was deleted.
    """

    operation: TableOperation
    network: str
    version: EntryVersion
    residual_s: int = 0
    #: Length of the encoded message in bytes.
    size: int = field(
        init=False,
        default=Factory(lambda self: table_event_size(self.network, self.version, self.residual_s), takes_self=True),
    )


def bulk_event(network: str, version: EntryVersion, residual_s: int) -> TableEvent:
    """Return the event in which a bulk sync sends `version`. To save memory, all receivers get the same object.

    `residual_s` is the field of the event; a cached event with a different value is replaced.
    """
    operation = TableOperation.DELETE if version.is_deleted else TableOperation.CREATE
    event: TableEvent | None = version.event
    if event is None or event.residual_s != residual_s:
        event = version.event = TableEvent(operation, network, version, residual_s)
    return event


def table_event_size(network: str, version: EntryVersion, residual_s: int = 0) -> int:
    """Return the size in bytes of the event in which `version` is sent.

    `residual_s` is the field of the event, see `TableEvent`.
    """
    fields = number_field(version.ltime) + number_field(residual_s) + text_field(value_size(version.value))
    for text in (version.owner, network, *version.slot.key):
        fields += text_field(len(text))
    return _message(_KIND + fields)


def bulk_sync_size(node: str, ltime: int, networks: Mapping[str, tuple[int, int]]) -> int:
    """Return the size in bytes of a bulk sync from the node `node`.

    `networks` maps each network's id to a pair: the number of its entries, and the size in bytes of one entry's
    event.
    """
    events = sum([count * _part_size(event_size) for count, event_size in networks.values()])
    payload = _KIND + text_field(events)
    length = number_field(ltime) + _KIND + text_field(len(node)) + bytes_field(payload)
    length += sum([text_field(len(network)) for network in networks])
    return compressed(_BULK_SYNC + _message(length), *_ENTRIES_ALIKE)


def _message(length: int) -> int:
    """Return the size of a NetworkDB message with `length` bytes of content (networkdb.proto `GossipMessage`)."""
    return _KIND + bytes_field(length)


def compound_size(parts: Iterable[Any]) -> int:
    """Return the size in bytes of a memberlist packet that contains the encoded messages `parts`."""
    sizes: list[int] = [part.size for part in parts]
    return COMPOUND_HEADER + COMPOUND_OVERHEAD * len(sizes) + sum(sizes)


def table_compound_size(parts: Iterable[TableEvent]) -> int:
    """Return the size in bytes of a NetworkDB packet with several events (networkdb.proto `CompoundMessage`)."""
    return USER_OVERHEAD + _message(sum([_part_size(part.size) for part in parts]))


@cache
def _part_size(length: int) -> int:
    return bytes_field(bytes_field(length))


def value_size(value: Any) -> int:
    """Return the size in bytes of an entry's value: its `len()`, or the length of its text if it has none."""
    return len(value) if hasattr(value, "__len__") else len(str(value))


@frozen
class Compound:
    """Several messages in one packet."""

    parts: tuple[Any, ...]
    #: Length of the encoded message in bytes.
    size: int = field(init=False, default=Factory(lambda self: compound_size(self.parts), takes_self=True))


class TableEventBatch:
    """Several table events of one network in one packet.

    All receivers get the same object, so that values computed from the events are computed only once.
    """

    __slots__ = ("_changes", "_codes", "_pick", "network", "parts", "size")

    def __init__(self, network: str, parts: list[TableEvent], pool: EntryPool) -> None:
        self.network = network
        self.parts = parts
        self.size = table_compound_size(parts)
        self._pick: Callable[[array[int]], object] | None = None
        self._codes: object = None
        count = len(pool.views)
        #: As long as the pool's `change_count` equals this, every view has these versions; -1 if some view lacks one.
        self._changes = pool.change_count
        for part in parts:
            if part.version.refcount != count:
                self._changes = -1
                break

    @property
    def latest(self) -> int:
        """The highest Lamport time of the events."""
        return max([part.version.ltime for part in self.parts])

    def is_redundant_for(self, view: EntryView) -> bool:
        """Return True if `view` already contains the versions of all events."""
        codes = view.codes
        if self._changes == view.pool.change_count and codes:
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
        # A version that no view has any more has no code.
        self._codes = None if 0 in codes else codes[0] if len(codes) == 1 else codes


@frozen
class NetworkState:
    """NetworkDB's state in a push/pull: the attachments of nodes to networks (networkdb.proto `NetworkPushPull`).

    `ltime` is the sender's Lamport time, `name` the sender's name. `attachments` is a snapshot of the sender's view,
    which has `count` entries. `renewed` are the sender's own attachments, if they got a new Lamport time for this
    message. They are sent as objects too: if they change again before the message arrives, no view contains the
    versions to which the snapshot refers.
    """

    ltime: int
    name: str
    attachments: array[int]
    count: int
    renewed: tuple[EntryVersion, ...] = ()

    @property
    def size(self) -> int:
        """Length in bytes, before compression."""
        entry_size = bytes_field(text_field(len(self.name)) + number_field(self.ltime) + text_field(_NETWORK_ID))
        return _message(number_field(self.ltime) + text_field(len(self.name)) + entry_size * self.count)


@frozen
class PushPull:
    """All members that a node knows, and NetworkDB's state. The other node responds with its own `PushPull`.

    `is_join` is True if the sender is joining the cluster.
    """

    is_join: bool
    members: tuple[Member, ...]
    state: NetworkState

    @property
    def size(self) -> int:
        """Length of the encoded message in bytes."""
        members = sum([member.size + _STATE for member in self.members])
        return compressed(_PUSH_PULL + members + self.state.size, *_MEMBERS_ALIKE)


@define
class BulkSync:
    """All entries of some networks. If `is_unsolicited` is True, the receiver responds with its own entries.

    `name` is the sender's name, `ltime` its Lamport time. `entries` holds a snapshot of each network, by network id.
    `residuals` holds, by network id and slot number, the number of seconds for which the receiver keeps the record
    that an entry was deleted.
    """

    ltime: int
    is_unsolicited: bool
    name: str
    entries: Mapping[str, array[int]]
    residuals: Mapping[str, Mapping[int, int]]
    size: int = field(default=0)
