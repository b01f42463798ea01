"""The results of several packets that were sent by one call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from attrs import define, field

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.observe.display import Displayable
from cnmsim.observe.packets.walk import Walk
from cnmsim.observe.trace.table import plain_grid

#: The number of packets that the text shows one by one.
_SHOWN = 40


@define(eq=False, repr=False)
class Walks(Displayable):
    """The results (`Walk`) of several packets, in the order of sending. It is a sequence and prints as a table."""

    walks: list[Walk] = field(factory=list)

    def __len__(self) -> int:
        return len(self.walks)

    def __iter__(self) -> Iterator[Walk]:
        return iter(self.walks)

    def __getitem__(self, index: int) -> Walk:
        return self.walks[index]

    @property
    def counts(self) -> Counter[str]:
        """The number of packets by outcome: the verdict, with the reason of a drop (`timeout: no route`)."""
        return Counter(_outcome(walk) for walk in self.walks)

    def rows(self) -> list[tuple[str, ...]]:
        """Return the rows of the table: (time in seconds since the first packet, packet, conclusion)."""
        start_ns = self.walks[0].start_ns if self.walks else 0
        return [
            (f"{(walk.start_ns - start_ns) / NS_PER_S:.6f}", walk.sent.summary(), walk.conclusion)
            for walk in self.walks[:_SHOWN]
        ]

    def __repr__(self) -> str:
        listed = ", ".join(f"{count} {outcome}" for outcome, count in self.counts.most_common())
        return f"<Walks of {len(self.walks)} packet{'s' * (len(self.walks) != 1)}{': ' if listed else ''}{listed}>"

    def __str__(self) -> str:
        more = len(self.walks) - _SHOWN
        tail = [f"({more} more packets)"] if more > 0 else []
        return "\n".join([repr(self), plain_grid(("TIME", "PACKET", "OUTCOME"), self.rows()), *tail])


def _outcome(walk: Walk) -> str:
    reason = walk.reason if not walk.is_reachable else None
    return f"{walk.verdict.value}: {reason.value}" if reason is not None else walk.verdict.value
