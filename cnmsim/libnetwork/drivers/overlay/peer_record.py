"""What the overlay driver tells its like on other nodes of an endpoint (moby `drivers/overlay/overlay.proto`)."""

from __future__ import annotations

from attrs import frozen

from cnmsim.kernel.address import Address, Mac, format_ip

PEER_TABLE = "overlay_peer_table"
_MAC_TEXT = 17


@frozen
class Peer:
    """An endpoint: its id, its address with the length of its subnet's prefix, its MAC, and the tunnel endpoint it is behind.

    One of this node has no `vtep`. The id is the key of its entry in the table.
    """

    endpoint_id: str
    address: Address
    length: int
    mac: Mac
    vtep: Address | None

    def __len__(self) -> int:
        """Tell how many bytes its protobuf encoding (`PeerRecord`) takes, which is without the id."""
        assert self.vtep is not None
        return 6 + len(format_ip(self.address)) + len(str(self.length)) + 1 + _MAC_TEXT + len(format_ip(self.vtep))
