"""Options of nft that control listings."""

from __future__ import annotations

from attrs import frozen


@frozen
class ListOptions:
    """Show handles (-a), hide counters (-s) or set elements (-t), print JSON (-j)."""

    show_handles: bool = False
    show_counters: bool = True
    show_elements: bool = True
    as_json: bool = False


PLAIN = ListOptions()
