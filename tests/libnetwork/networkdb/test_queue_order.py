"""The queue sends in memberlist's order, whatever is queued, for packets and clusters of any size."""

from types import SimpleNamespace

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from cnmsim.libnetwork.networkdb.broadcast import (
    BroadcastQueue,
    NameIndex,
    SlotIndex,
    get_broadcasts,
    retransmit_limit,
)

OVERHEAD = 2


@frozen
class Message:
    name: int
    number: int
    size: int

    @property
    def version(self):
        """What a message about an entry has: `version.slot.number`."""
        return SimpleNamespace(slot=SimpleNamespace(number=self.name))


class Plain:
    """What `TransmitLimitedQueue` does, message by message (memberlist `queue.go`, v0.5.4)."""

    def __init__(self, are_replaced):
        self.messages, self.finished = [], []
        self.are_replaced = are_replaced

    def queue(self, message):
        for each in list(self.messages):
            if self.are_replaced and each[1].name == message.name:
                self.messages.remove(each)
                self.finished.append(each[1])
        self.messages.append([0, message])

    def take(self, limit, nodes):
        taken, used = [], 0
        for transmits in sorted({each[0] for each in self.messages}):
            while True:
                fits = [
                    each
                    for each in self.messages
                    if each[0] == transmits and each not in taken and each[1].size <= limit - used - OVERHEAD
                ]
                if not fits:
                    break
                best = max(fits, key=lambda each: (each[1].size, each[1].number))
                taken.append(best)
                used += OVERHEAD + best[1].size
        for each in taken:
            each[0] += 1
            if each[0] >= retransmit_limit(nodes):
                self.messages.remove(each)
                self.finished.append(each[1])
        return [each[1] for each in taken], used


#: A message is queued, packets of some size are filled, or the number of nodes changes.
QUEUED = st.tuples(st.just("queue"), st.integers(0, 40), st.sampled_from((20, 21, 40, 75)))
TAKEN = st.tuples(st.just("take"), st.integers(10, 300), st.integers(1, 30))
COUNTED = st.tuples(st.just("nodes"), st.sampled_from((0, 1, 9, 10, 99, 150)), st.just(0))
STEPS = st.lists(st.one_of(QUEUED, QUEUED, TAKEN, COUNTED), max_size=80)


@pytest.mark.parametrize("kind", [NameIndex, SlotIndex, None])
@given(steps=STEPS)
@settings(max_examples=300)
def test_packets_hold_what_memberlist_would_put_into_them(kind, steps):
    nodes, finished = 30, []
    queue = BroadcastQueue(lambda: nodes, lambda: None, kind and kind())
    plain = Plain(kind is not None)
    for number, (step, first, second) in enumerate(steps):
        if step == "queue":
            message = Message(first, number, second)
            queue.queue(message, lambda message=message: finished.append(message))
            plain.queue(message)
        elif step == "take":
            for _ in range(second):
                assert queue.get_broadcasts(OVERHEAD, first) == plain.take(first, nodes)
        else:
            nodes = first
        assert finished == plain.finished
        assert len(queue) == len(plain.messages)
        assert bool(queue) == bool(plain.messages)


@given(st.lists(st.lists(st.sampled_from((20, 21, 40, 75)), max_size=6), max_size=3), st.integers(10, 300))
def test_a_packet_is_filled_from_one_queue_after_the_other(sizes, limit):
    queues = [BroadcastQueue(lambda: 30, lambda: None) for _ in sizes]
    expected, left = [], limit
    for number, (queue, contents) in enumerate(zip(queues, sizes, strict=True)):
        plain = Plain(are_replaced=False)
        for place, size in enumerate(contents):
            message = Message(number, place, size)
            queue.queue(message)
            plain.queue(message)
        taken, used = plain.take(left, 30)
        expected += taken
        left -= used
    assert get_broadcasts(queues, OVERHEAD, limit) == expected
