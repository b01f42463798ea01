"""The table entry that overlay drivers exchange for an endpoint (moby `drivers/overlay/overlay.proto`)."""

from __future__ import annotations

from attrs import frozen

from cnmsim.kernel.address import Address, Mac, format_ip

PEER_TABLE = "overlay_peer_table"
_MAC_TEXT = 17


@frozen
class Peer:
    """A peer: an endpoint on an overlay network, with the data in its table entry.

    `length` is the prefix length of its address. `vtep` is the tunnel endpoint of the peer's node, `None` for an
    endpoint of this node. The endpoint's id is the key of the table entry.
    """

    endpoint_id: str
    address: Address
    length: int
    mac: Mac
    vtep: Address | None

    def __len__(self) -> int:
        """Return the length in bytes of the entry's protobuf encoding (`PeerRecord`).

        `endpoint_id` does not count, because it is the entry's key.
        """
        assert self.vtep is not None
        return 6 + len(format_ip(self.address)) + len(str(self.length)) + 1 + _MAC_TEXT + len(format_ip(self.vtep))
