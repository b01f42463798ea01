"""Options of nft that control listings."""

from __future__ import annotations

from attrs import frozen


@frozen
class ListOptions:
    """Options of nft for listings: show handles (-a), hide counters (-s), hide set elements (-t), print JSON (-j)."""

    show_handles: bool = False
    show_counters: bool = True
    show_elements: bool = True
    as_json: bool = False


PLAIN = ListOptions()
