"""Views of one space: what two nodes have otherwise is found whatever they know, and however long ago they last heard of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cnmsim.libnetwork.networkdb.store import Space, Version, View

#: More slots than are compared at once.
SLOTS = 600
PUTS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, SLOTS - 1), st.integers(0, 3)), max_size=40)


@given(PUTS, st.integers(0, SLOTS))
def test_what_two_views_have_otherwise_is_found(puts: list[tuple[int, int, int]], alike: int) -> None:
    space = Space()
    versions = [[space.version((str(slot), ""), ltime, "", None) for ltime in range(3)] for slot in range(SLOTS)]
    views = View(space), View(space)
    models: list[list[Version | None]] = [[None] * SLOTS, [None] * SLOTS]

    def put(number: int, slot: int, version: Version | None) -> None:
        if version is None:
            views[number].drop(slot)
        else:
            views[number].put(version)
        models[number][slot] = version

    for slot in range(alike):
        for number in (0, 1):
            put(number, slot, versions[slot][0])
    for number, slot, ltime in puts:
        put(number, slot, versions[slot][ltime] if ltime < 3 else None)
    one, other = views
    pairs = list(zip(*models, strict=True))
    assert list(one.unlike(other)) == [pair for pair in pairs if pair[0] is not pair[1]]
    snapshot = other.snapshot()
    assert one.newer_in(snapshot) == [theirs for ours, theirs in pairs if theirs is not None and theirs is not ours]
