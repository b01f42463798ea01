"""The queue of gossip sends in memberlist's order, whatever comes in and however large the packets are."""

from types import SimpleNamespace

from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from cnmsim.libnetwork.networkdb.broadcast import BroadcastQueue, Names, Slots, retransmit_limit

NODES, OVERHEAD = 30, 2


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
    """What `TransmitLimitedQueue.GetBroadcasts` does, message by message (memberlist `queue.go`, v0.5.4)."""

    def __init__(self):
        self.waiting = []

    def queue(self, message):
        self.waiting = [each for each in self.waiting if each[1].name != message.name]
        self.waiting.append([0, message])

    def take(self, limit):
        taken, used = [], 0
        for transmits in sorted({each[0] for each in self.waiting}):
            while True:
                fits = [
                    each
                    for each in self.waiting
                    if each[0] == transmits and each not in taken and each[1].size <= limit - used - OVERHEAD
                ]
                if not fits:
                    break
                best = max(fits, key=lambda each: (each[1].size, each[1].number))
                taken.append(best)
                used += OVERHEAD + best[1].size
        messages = [each[1] for each in taken]
        for each in taken:
            each[0] += 1
        self.waiting = [each for each in self.waiting if each[0] < retransmit_limit(NODES)]
        return messages


STEP = st.one_of(
    st.tuples(st.integers(0, 12), st.sampled_from((20, 21, 40, 75))),
    st.integers(10, 300),
)


@given(st.lists(STEP, max_size=60), st.sampled_from([Names, Slots]))
def test_packets_hold_what_memberlist_would_put_into_them(steps, kind):
    subjects = kind()
    queue, plain = BroadcastQueue(lambda: NODES, lambda: None, subjects), Plain()
    for number, step in enumerate(steps):
        if isinstance(step, tuple):
            message = Message(step[0], number, step[1])
            queue.queue(message)
            plain.queue(message)
        else:
            assert queue.take(OVERHEAD, step) == plain.take(step)
        assert len(queue) == len(plain.waiting)
        assert bool(queue) == bool(plain.waiting)
