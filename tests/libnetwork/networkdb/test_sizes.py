"""Messages have the sizes of a real swarm's: payloads on port 7946, captured between engines 26.1.5.

A packet carries 29 bytes of encryption, and 5 of a checksum unless it is a probe. The packets here are too short to
be compressed; streams are.
"""

from __future__ import annotations

from array import array
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support.gossip import Cluster

from cnmsim.kernel.address import parse_ip, parse_mac
from cnmsim.libnetwork.drivers.overlay.peer_record import PEER_TABLE, Peer
from cnmsim.libnetwork.networkdb.messages import (
    ENCRYPTION_OVERHEAD,
    Ack,
    BulkSync,
    Member,
    NetworkEvent,
    NetworkState,
    Ping,
    PushPull,
    TableEvent,
    TableEventBatch,
    TableOperation,
    bulk_sync_size,
)
from cnmsim.libnetwork.networkdb.store import EntryPool
from cnmsim.libnetwork.networkdb.transport import Stream

CHECKSUM, STREAM_HEADER = 5, 5
NODE, NETWORK, ENDPOINT = "a" * 12, "n" * 25, "e" * 64
ADDRESS = parse_ip("192.168.56.11")
PEER = Peer(ENDPOINT, parse_ip("10.0.0.2"), 24, parse_mac("02:42:0a:00:00:02"), ADDRESS)


def attachment() -> NetworkEvent:
    return NetworkEvent(EntryPool().version((NODE, NETWORK), 1, NODE, None))


def news_of_a_peer() -> TableEventBatch:
    space = EntryPool()
    version = space.version((PEER_TABLE, ENDPOINT), 1, NODE, PEER)
    return TableEventBatch(NETWORK, [TableEvent(TableOperation.CREATE, NETWORK, version)], space)


@pytest.mark.parametrize(
    ("message", "captured"),
    [
        (Ping(1, NODE, (ADDRESS, 7946)), 110),
        (Ack(1), 47),
        (Member(NODE, ADDRESS, 7946, 1), 102 - CHECKSUM),
        (attachment(), 84 - CHECKSUM),
        (news_of_a_peer(), 231 - CHECKSUM),
    ],
)
def test_a_message_is_as_long_as_on_a_real_wire(message: Any, captured: int) -> None:
    assert message.size + ENCRYPTION_OVERHEAD == captured


def push_pull(members: int, attachments: int) -> PushPull:
    known = tuple(Member(f"{number:012x}", ADDRESS, 7946, 1) for number in range(members))
    return PushPull(True, known, NetworkState(2, NODE, array("H"), attachments))


def bulk_sync(*lengths: int) -> BulkSync:
    size = bulk_sync_size(NODE, 3, {NETWORK: (len(lengths), lengths[0] if lengths else 0)})
    return BulkSync(3, True, NODE, {}, {}, size)


@pytest.mark.parametrize(
    ("message", "captured"),
    [
        (push_pull(1, 0), 178),
        (push_pull(1, 1), 220),
        (push_pull(2, 2), 295),
        (bulk_sync(), 125),
        (bulk_sync(185), 299),
        (bulk_sync(185, 185), 437),
    ],
)
def test_the_message_of_a_stream_is_as_long_as_on_a_real_wire_to_a_tenth(message: Any, captured: int) -> None:
    assert abs(message.size + ENCRYPTION_OVERHEAD + STREAM_HEADER - captured) < captured / 10


def test_all_that_a_network_of_thirty_tasks_knows_is_as_long_as_on_a_real_wire_to_a_tenth() -> None:
    # Two load balancers on either network, and 30 tasks on the other, with two entries each: 209 bytes per event on
    # average.
    size = bulk_sync_size(NODE, 70, {NETWORK: (2, 185), "m" * 25: (62, 209)})
    assert abs(size + ENCRYPTION_OVERHEAD + STREAM_HEADER - 7268) < 7268 / 10


def test_a_packet_full_of_members_has_no_room_for_an_attachment() -> None:
    members = Cluster(2).dbs[0].members
    for number in range(30):
        members.queue.queue(Member(f"{number:012x}", ADDRESS, 7946, 1))
    members.delegate.queues[0].queue(attachment())
    for count in (19, 11):
        assert [type(message) for message in members._get_broadcasts(0)][:count] == [Member] * count
    assert isinstance(members._get_broadcasts(0)[-1], Member)


@pytest.mark.parametrize(("size", "sent"), [(100, 100 + ENCRYPTION_OVERHEAD), (65_507, 65_536), (200_000, 65_536)])
def test_a_message_of_a_stream_occupies_64_kib_at_most(size: int, sent: int) -> None:
    cluster = Cluster(1)
    pieces: list[bytes] = []
    socket = cast("Any", SimpleNamespace(send=pieces.append))
    Stream(cluster.dbs[0].context.members.transport, socket).send(SimpleNamespace(size=size))
    assert [len(piece) for piece in pieces] == [STREAM_HEADER + sent]
    assert pieces[0][:5] == b"\x0a" + sent.to_bytes(4)
