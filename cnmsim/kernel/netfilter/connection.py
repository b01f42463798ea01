"""An entry of the connection table (nf_conn)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from cnmsim.kernel.netfilter.tuples import ConntrackTuple

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device


@define(eq=False)
class Connection:
    """One tracked connection.

    `original` is the tuple of its first packet, `reply` the tuple of the packets in the other direction. Without NAT
    `reply` is `original` inverted. `is_confirmed` is True once the connection is in the table, `is_dying` once it was
    removed from the table.

    `source_nat_done` is True once it was decided whether and how to translate the source, `has_source_nat` if the
    source is translated; `destination_nat_done` and `has_destination_nat` are the same for the destination.
    `masquerade` is the device whose address MASQUERADE uses, or None.
    """

    original: ConntrackTuple
    reply: ConntrackTuple
    expires_ns: int = 0
    mark: int = 0
    tcp_state: int = 0
    seen_reply: bool = False
    is_assured: bool = False
    is_confirmed: bool = False
    is_dying: bool = False
    has_source_nat: bool = False
    has_destination_nat: bool = False
    source_nat_done: bool = False
    destination_nat_done: bool = False
    masquerade: Device | None = None
    masquerade_index: int = 0
    began_ns: int = 0

    @property
    def family(self) -> int:
        """The address family, 4 or 6."""
        return 6 if len(self.original[1]) == 16 else 4

    @property
    def protocol(self) -> int:
        """The IP protocol number."""
        return self.original[0]
