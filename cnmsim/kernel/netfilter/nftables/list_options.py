"""How nft lists: what its options leave out or add."""

from __future__ import annotations

from attrs import frozen


@frozen
class ListOptions:
    """With `handles` (-a), without what counters say (-s: not `counts`), without what sets hold (-t: not `elements`), in JSON (-j)."""

    show_handles: bool = False
    show_counters: bool = True
    show_elements: bool = True
    as_json: bool = False


PLAIN = ListOptions()
