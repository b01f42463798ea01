"""Messages are as long as those of a real swarm: lengths of datagrams' payloads on port 7946, captured between engines 26.1.5.

A packet carries 29 bytes of encryption, and 5 of a checksum unless it is a probe. What is looked at here is too short to be compressed.
"""

from __future__ import annotations

from typing import Any

import pytest
from gossip import Cluster

from cnmsim.kernel.address import parse_ip, parse_mac
from cnmsim.libnetwork.drivers.overlay.records import PEER_TABLE, Peer
from cnmsim.libnetwork.networkdb import TableOperation
from cnmsim.libnetwork.networkdb.messages import (
    ENCRYPTION_OVERHEAD,
    Ack,
    Member,
    NetworkEvent,
    Ping,
    TableEvent,
    TableNews,
)
from cnmsim.libnetwork.networkdb.store import Space

CHECKSUM = 5
NODE, NETWORK, ENDPOINT = "a" * 12, "n" * 25, "e" * 64
ADDRESS = parse_ip("192.168.56.11")
PEER = Peer(ENDPOINT, parse_ip("10.0.0.2"), 24, parse_mac("02:42:0a:00:00:02"), ADDRESS)


def attachment() -> NetworkEvent:
    return NetworkEvent(Space().version((NODE, NETWORK), 1, NODE, None))


def news_of_a_peer() -> TableNews:
    version = Space().version((PEER_TABLE, ENDPOINT), 1, NODE, PEER)
    return TableNews(NETWORK, [TableEvent(TableOperation.CREATE, NETWORK, version)])


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


def test_a_packet_full_of_members_has_no_room_for_an_attachment() -> None:
    members = Cluster(2).dbs[0].members
    for number in range(30):
        members.queue.queue(Member(f"{number:012x}", ADDRESS, 7946, 1))
    members.delegate.queues[0].queue(attachment())
    for count in (19, 11):
        assert [type(message) for message in members._pending(0)][:count] == [Member] * count
    assert isinstance(members._pending(0)[-1], Member)
