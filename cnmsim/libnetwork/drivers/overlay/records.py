"""What the overlay driver tells its like on other nodes of an endpoint (moby `drivers/overlay/overlay.proto`)."""

from __future__ import annotations

from attrs import frozen

from cnmsim.kernel.address import Address, Mac, format_ip

PEER_TABLE = "overlay_peer_table"
_MAC_TEXT = 17


@frozen
class PeerRecord:
    """An endpoint: its address with the length of its subnet's prefix, its MAC, and the tunnel endpoint it is behind."""

    address: Address
    length: int
    mac: Mac
    vtep: Address

    def __len__(self) -> int:
        """Tell how many bytes its protobuf encoding takes."""
        return 6 + len(format_ip(self.address)) + len(str(self.length)) + 1 + _MAC_TEXT + len(format_ip(self.vtep))
