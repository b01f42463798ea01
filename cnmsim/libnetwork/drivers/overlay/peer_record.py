"""The table entry that overlay drivers exchange for an endpoint (moby `drivers/overlay/overlay.proto`)."""

from __future__ import annotations

from attrs import frozen

from cnmsim.kernel.address import Address, Mac, format_ip

PEER_TABLE = "overlay_peer_table"
_MAC_TEXT = 17


@frozen
class Peer:
    """A peer: an endpoint's id, its address and prefix length, its MAC address, and its VTEP.

    Peers on this node have no `vtep`. The id is the key of the table entry.
    """

    endpoint_id: str
    address: Address
    length: int
    mac: Mac
    vtep: Address | None

    def __len__(self) -> int:
        """Return the length of the protobuf encoding (`PeerRecord`), which excludes the id."""
        assert self.vtep is not None
        return 6 + len(format_ip(self.address)) + len(str(self.length)) + 1 + _MAC_TEXT + len(format_ip(self.vtep))
