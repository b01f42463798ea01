"""The trace: everything that one probe caused, in every namespace, told hop by hop, with a verdict at its end.

It is an observer in the sense of `kernel.events`: whoever sends the first packet does so with `Clock.context` set to
it, and the clock carries it on to all that the packet causes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, field

from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.events import Event
from cnmsim.observe.diagnosis.finding import Finding, Verdict
from cnmsim.observe.display import Displayable, views
from cnmsim.observe.trace.hops import Hop, hops_of
from cnmsim.observe.trace.sequence_diagram import sequence_diagram
from cnmsim.observe.trace.table import HEADERS, RichTable, text_table, what_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cnmsim.kernel.clock import Clock
    from cnmsim.observe.location import Directory
    from cnmsim.observe.trace.probe import Outcome

#: Version of what `to_json` gives; it grows when a field changes its meaning.
SCHEMA_VERSION = 1


@define(eq=False, repr=False)
class Trace(Displayable):
    """The walk of a probe. Print it, or let a notebook show it.

    `title` tells the question ("web → db:5432"); `finding` and `outcome` are `None` until the probe has ended.
    After `close` nothing more is taken down.
    """

    title: str = ""
    start_ns: int = 0
    question: dict[str, Any] = field(factory=dict)
    events: list[Event] = field(factory=list)
    outcome: Outcome | None = None
    finding: Finding | None = None
    #: Where it walked: the stations of the lab, for pictures of the walk.
    directory: Directory | None = None
    _is_closed: bool = False
    _hops: tuple[Hop, ...] = ()

    def report(self, event: Event) -> None:
        """Take note of an event (called by the kernel)."""
        if not self._is_closed:
            self.events.append(event)

    def close(self) -> None:
        """Take no more notes: what the probe's connection does later is no part of the answer."""
        self._is_closed = True

    @contextmanager
    def watching(self, clock: Clock) -> Iterator[None]:
        """Make what is asked of `clock` inside the `with` block part of this trace."""
        before = clock.context
        clock.context = self
        try:
            yield
        finally:
            clock.context = before

    @property
    def hops(self) -> tuple[Hop, ...]:
        """Everything that happened, in order."""
        if len(self._hops) != len(self.events):
            self._hops = hops_of(self.events, self.start_ns)
        return self._hops

    @property
    def drops(self) -> tuple[Hop, ...]:
        """Where packets were lost: each names place, rule and reason."""
        return tuple(hop for hop in self.hops if hop.is_drop)

    @property
    def verdict(self) -> Verdict | None:
        """How it ended, from the closed list."""
        return self.finding.verdict if self.finding else None

    @property
    def is_reachable(self) -> bool:
        """Whether the other end got what was sent to it."""
        return self.finding is not None and self.finding.verdict.is_reachable

    def __bool__(self) -> bool:
        return self.is_reachable

    def __repr__(self) -> str:
        verdict = self.verdict.value if self.verdict else "running"
        return f"<Trace {self.title}: {verdict}, {len(self.events)} events>"

    def __str__(self) -> str:
        return self.text()

    def shown(self, *, verbose: bool = False) -> tuple[Hop, ...]:
        """Give the hops of the short view, or with `verbose` all of them."""
        return self.hops if verbose else tuple(hop for hop in self.hops if not hop.is_plain)

    def _left_out(self, *, verbose: bool) -> str:
        count = len(self.hops) - len(self.shown(verbose=verbose))
        return f"{count} plain steps not shown" if count else ""

    def text(self, *, verbose: bool = False, width: int = 100) -> str:
        """Write table and finding as plain text of at most `width` columns (if that is 80 or more)."""
        lines = [self.title, ""] if self.title else []
        shown = self.shown(verbose=verbose)
        if shown:
            lines += [text_table(shown, width, verbose=verbose)]
        left_out = self._left_out(verbose=verbose)
        lines += [f"({left_out})"] if left_out else []
        lines += [""] if shown else []
        for line in self._conclusion():
            label, _, rest = line.partition(": ")
            lines += textwrap.wrap(
                f"{label.upper()}: {rest}", max(40, width), subsequent_indent="    ", break_on_hyphens=False
            )
        return "\n".join(lines)

    def _conclusion(self) -> list[str]:
        return str(self.finding).splitlines() if self.finding else []

    def rich(self, *, verbose: bool = False) -> RenderableType:
        """Give table and finding for a rich console."""
        from rich.console import Group
        from rich.text import Text

        parts: list[RenderableType] = [Text(self.title, style="bold"), Text("")] if self.title else []
        shown = self.shown(verbose=verbose)
        if shown:
            parts.append(RichTable(shown, verbose))
        left_out = self._left_out(verbose=verbose)
        if left_out:
            parts += [Text(f"({left_out})", style="dim"), Text("")]
        colour = "bold green" if self.is_reachable else "bold red"
        for number, line in enumerate(self._conclusion()):
            label, _, rest = line.partition(": ")
            style = colour if number == 0 else "bold"
            parts.append(Text.assemble((f"{label.upper()}: ", style), rest))
        return Group(*parts)

    def to_json(self) -> dict[str, Any]:
        """Give everything as plain values, as `trace.schema.json` beside this module describes them."""
        finding, outcome = self.finding, self.outcome
        return {
            "schema": SCHEMA_VERSION,
            "question": dict(self.question),
            "verdict": finding.verdict.value if finding else None,
            "reachable": self.is_reachable,
            "cause": finding.cause_text if finding else "",
            "fix": finding.fix if finding else "",
            "remarks": list(finding.remark_texts) if finding else [],
            "decided_at": _hop_json(finding.hop) if finding and finding.hop else None,
            "elapsed_s": outcome.elapsed_ns / NS_PER_S if outcome else None,
            "lookups": [
                {"name": query.name, "record": query.record, "server": query.server, "result": query.result}
                for query in (outcome.queries if outcome else ())
            ],
            "hops": [_hop_json(hop) for hop in self.hops],
        }

    def to_frame(self) -> Any:
        """Give the hops as a pandas data frame. Raises `ImportError` where pandas is not installed."""
        return import_module("pandas").DataFrame(
            [
                (hop.time_ns / NS_PER_S, hop.place, hop.device, what_of(hop), hop.decision, hop.addresses, hop.packet)
                for hop in self.hops
            ],
            columns=[*(header.lower().replace(" ", "_") for header in HEADERS), "packet"],
        )

    def picture(self) -> Any:
        """Draw the lab with the walk on it, its steps numbered as in the table. The lab is drawn as it is now.

        Raises `InvalidParameter` for a trace of no lab.
        """
        return views().picture_of(self)

    def save_html(self, path: str | Path) -> Path:
        """Write one HTML file, complete in itself, in which the walk can be stepped through, headers beside the picture.

        Raises `OSError` as any write, `InvalidParameter` for a trace of no lab.
        """
        return Path(views().save_walk(self, path))

    def widget(self) -> Any:
        """Give the same as a notebook widget. Raises `ImportError` without the extra `cnmsim[notebook]`."""
        return views().walk_widget(self)

    def to_mermaid(self) -> str:
        """Draw the walk as a mermaid sequence diagram: one column a place, one arrow a crossing."""
        return sequence_diagram(self.hops)


def _hop_json(hop: Hop) -> dict[str, Any]:
    return {
        "time_s": hop.time_ns / NS_PER_S,
        "place": hop.place,
        "device": hop.device,
        "step": hop.step.value,
        "what": hop.what,
        "decision": hop.decision,
        "reason": hop.reason.value if hop.reason else None,
        "packet": hop.packet,
        "message": hop.message,
        "addresses": hop.addresses,
        "plain": hop.is_plain,
    }
