"""Views of one pool: their differences are found, whatever they contain and however old they are."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from cnmsim.libnetwork.networkdb.messages import TableEvent, TableEventBatch, TableOperation
from cnmsim.libnetwork.networkdb.store import EntryPool, EntryVersion, EntryView

#: More slots than are compared at once.
SLOTS = 600
PUTS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, SLOTS - 1), st.integers(0, 3)), max_size=40)


@given(PUTS, st.integers(0, SLOTS))
def test_what_two_views_have_otherwise_is_found(puts: list[tuple[int, int, int]], alike: int) -> None:
    space = EntryPool()
    versions = [[space.version((str(slot), ""), ltime, "", None) for ltime in range(3)] for slot in range(SLOTS)]
    views = EntryView(space), EntryView(space)
    models: list[list[EntryVersion | None]] = [[None] * SLOTS, [None] * SLOTS]

    def put(number: int, slot: int, version: EntryVersion | None) -> None:
        if version is None:
            views[number].discard(slot)
        else:
            views[number].set(version)
        models[number][slot] = version

    for slot in range(alike):
        for number in (0, 1):
            put(number, slot, versions[slot][0])
    for number, slot, ltime in puts:
        put(number, slot, versions[slot][ltime] if ltime < 3 else None)
    one, other = views
    pairs = list(zip(*models, strict=True))
    assert list(one.differences(other)) == [pair for pair in pairs if pair[0] is not pair[1]]
    snapshot = other.snapshot()
    assert one.unseen_in(snapshot) == [theirs for ours, theirs in pairs if theirs is not None and theirs is not ours]


#: Which of three views changes, at which of three slots, and how: the version that it gets, none, or all of it
#: cleared.
CHANGES = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2), st.sampled_from((0, 0, 1, "none", "cleared"))), max_size=4
)
TOLD = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from((0, 0, 0, 1))),
    min_size=1,
    max_size=3,
    unique_by=lambda part: part[0],
)


@settings(max_examples=500)
@given(CHANGES, TOLD, st.booleans(), CHANGES)
def test_news_is_redundant_for_to_those_who_have_all_of_it(
    before: list[tuple[int, int, int | str]],
    told: list[tuple[int, int]],
    looks: bool,
    after: list[tuple[int, int, int | str]],
) -> None:
    space = EntryPool()
    versions = [[space.version((str(slot), ""), ltime, "", None) for ltime in range(2)] for slot in range(3)]
    views = [EntryView(space) for _ in range(3)]

    def change(view: EntryView, slot: int, to: int | str) -> None:
        if to == "cleared":
            view.clear()
        elif to == "none":
            view.discard(slot)
        else:
            view.set(versions[slot][int(to)])

    def has_all(view: EntryView) -> bool:
        return all(view.at(slot) is versions[slot][ltime] for slot, ltime in told)

    for view in views:
        for slot in range(3):
            change(view, slot, 0)
    for number, slot, to in before:
        change(views[number], slot, to)
    parts = [TableEvent(TableOperation.CREATE, "", versions[slot][ltime]) for slot, ltime in told]
    news = TableEventBatch("", parts, space)
    assert [news.is_redundant_for(view) for view in views if looks] == [has_all(view) for view in views if looks]
    for number, slot, to in after:
        change(views[number], slot, to)
        # One that nobody had meanwhile may be taken for news.
        assert not any(news.is_redundant_for(view) and not has_all(view) for view in views)
