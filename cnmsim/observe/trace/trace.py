"""The trace: every event that one probe caused in any network namespace, as hops, with a finding.

A `Trace` is an observer in the sense of `kernel.events`. While the first packet is sent, `Clock.context` is the
trace. The clock restores this value for every later event that the packet causes, so that all are reported to the
trace.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field, frozen

from cnmsim.errors import Unavailable
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.events import Event, Observer
from cnmsim.observe.diagnosis.file_names import in_file_names, json_in_file_names, names_of
from cnmsim.observe.diagnosis.finding import Finding
from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.observe.display import Displayable, views, wrapped
from cnmsim.observe.trace.hops import Hop, hops_of
from cnmsim.observe.trace.path import Station, path_line, path_lines, stations
from cnmsim.observe.trace.sequence_diagram import sequence_diagram
from cnmsim.observe.trace.short_rules import short_rules
from cnmsim.observe.trace.table import HEADERS, RichTable, text_table, what_of
from cnmsim.printable import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from scapy.packet import Packet

    from cnmsim.kernel.clock import Clock
    from cnmsim.observe.directory import Directory
    from cnmsim.observe.fixes.fix import Fix
    from cnmsim.observe.fixes.search import FixSearch
    from cnmsim.observe.trace.probe import Outcome

#: The version of the format of `to_json`. It is incremented if a field changes its meaning.
SCHEMA_VERSION = 1
_ADVICE = "advice (not tried)"
_FIRST_STEP = "first step"


@frozen
class _Conclusion:
    """A label and a sentence for a rich console, wrapped to its width."""

    label: str
    sentence: str
    style: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        first, *rest = wrapped(self.label + self.sentence, options.max_width)
        yield Text.assemble((self.label, self.style), printable(first.removeprefix(self.label.rstrip()).lstrip()))
        yield from (Text(printable(line), no_wrap=True) for line in rest)


@define(eq=False, repr=False)
class Trace(Displayable):
    """The trace of a probe. It prints as a table; notebooks show it as HTML.

    `title` says what was probed (`web → db:5432 (tcp)`), `question` the same as plain values. `finding` and `outcome`
    are `None` until the probe has ended. After `close` no event is recorded.
    """

    title: str = ""
    start_ns: int = 0
    question: dict[str, Any] = field(factory=dict)
    events: list[Event] = field(factory=list)
    outcome: Outcome | None = None
    finding: Finding | None = None
    #: The locations of the lab, needed to draw the trace on a picture of the lab.
    directory: Directory | None = None
    #: The search for fixes; `None` if the probe cannot be repeated, e.g. for packets that a user sent.
    fix_search: FixSearch | None = None
    _is_closed: bool = False
    _outer: Observer | None = None
    _hops: tuple[Hop, ...] = ()

    def report(self, event: Event) -> None:
        """Record an event, unless the trace is closed. The kernel calls this for every event."""
        if not self._is_closed:
            self.events.append(event)
        if self._outer is not None:
            self._outer.report(event)

    def close(self) -> None:
        """Stop recording: later events of the probe's connection are not part of the trace."""
        self._is_closed = True

    @contextmanager
    def watching(self, clock: Clock) -> Iterator[None]:
        """Record all events that actions inside the `with` block cause, even if they happen after the block.

        If another observer was set before, it still receives these events too.
        """
        before = self._outer = clock.context
        clock.context = self
        try:
            yield
        finally:
            clock.context = before

    @property
    def hops(self) -> tuple[Hop, ...]:
        """All hops, in order."""
        if len(self._hops) != len(self.events):
            self._hops = hops_of(self.events, self.start_ns)
        return self._hops

    def packet(self, hop: int | Hop, *, inner: bool = False) -> Packet:
        """Return the packet at a hop as a scapy packet: an Ethernet frame or an IP packet, with its tunnel headers.

        `hop` is a hop or its index in `hops`. With `inner`, return the packet inside the tunnel: for VXLAN the inner
        frame; for ESP, whose payload is encrypted, the packet as it was before encryption. Raises `InvalidParameter`
        for a hop that is not in the trace or that has no packet.
        """
        from cnmsim.observe.packets.codec import at_hop

        return at_hop(self, hop, inner=inner)

    @property
    def drops(self) -> tuple[Hop, ...]:
        """The hops at which packets were dropped."""
        return tuple(hop for hop in self.hops if hop.is_drop)

    @property
    def verdict(self) -> Verdict:
        """The verdict. Raises `Unavailable` while the probe has not ended; `finding` is `None` until then."""
        if self.finding is None:
            raise Unavailable(f"{self.title or 'the trace'} has no verdict: no probe of it has ended")
        return self.finding.verdict

    @property
    def is_reachable(self) -> bool:
        """Whether the verdict is that the destination received the probe; False until the probe has ended."""
        return self.finding is not None and self.finding.verdict.is_reachable

    @property
    def fixes(self) -> tuple[Fix, ...]:
        """The fixes, the best first; empty if the probe succeeded.

        `fixes[0].apply()` returns the explanation after that fix. On the first access each fix is tried on a fork of
        the lab in its present state. If the lab cannot be forked, the fixes are not tried (`was_tried` is False).
        """
        return () if self.is_reachable or self.fix_search is None else self.fix_search.fixes

    def fix_text(self) -> tuple[str, str]:
        """Return (label, text) for the best fix: its sentence and the lines of the file that it changes.

        The label is `fix` if the fix was tried on a fork of the lab, else `advice (not tried)`. If no fix works, the
        text is advice for the user, such as to start a program. Without such advice, the label is `first step`, and
        the text is a change after which the probe fails for another reason, or "" if there is none.
        """
        finding = self.finding
        if finding is None:
            return _ADVICE, ""
        if self.is_reachable or self.fix_search is None:
            return _ADVICE, finding.advice
        first = self.fix_search.first
        if first is not None:
            return ("fix", first.outline) if first.was_tried else (_ADVICE, finding.advice)
        parts = self.fix_search.partial_fixes
        if finding.tasks or not parts:
            return _ADVICE, finding.tasks
        return _FIRST_STEP, parts[0].text

    def __bool__(self) -> bool:
        return self.is_reachable

    def __repr__(self) -> str:
        verdict = self.finding.verdict.value if self.finding else "running"
        return f"<Trace {self.title}: {verdict}, {len(self.events)} events>"

    def __str__(self) -> str:
        return self.text()

    def shown(self, *, verbose: bool = False) -> tuple[Hop, ...]:
        """Return the hops of the short view, or all hops with `verbose`."""
        return self.hops if verbose else tuple(hop for hop in self.hops if not hop.is_plain)

    @property
    def file_names(self) -> Mapping[str, str]:
        """The mapping from the engine's names to the names in the Compose file or stack file of the lab."""
        return names_of(self.directory) if self.directory is not None else {}

    def in_file_names(self, hops: Iterable[Hop]) -> list[Hop]:
        """Return copies of the hops with the engine's names replaced by the names in the Compose file.

        If the lab has no Compose file, the hops are returned unchanged.
        """
        names = self.file_names
        return [
            evolve(
                hop, place=in_file_names(hop.place, names), decision=in_file_names(hop.decision, names),
                what=in_file_names(hop.what, names), packet=in_file_names(hop.packet, names),
            )
            for hop in hops
        ]  # fmt: skip

    def _left_out(self, *, verbose: bool) -> str:
        count = len(self.hops) - len(self.shown(verbose=verbose))
        return f"{count} plain steps not shown" if count else ""

    def text(self, *, verbose: bool = False, width: int = 100) -> str:
        """Render the table and the finding as plain text.

        Lines have at most `width` columns, if `width` is 80 or more. With `verbose` the table has all hops.
        """
        lines = [self.title, ""] if self.title else []
        shown = self.shown(verbose=verbose)
        if shown:
            lines += [text_table(self.in_file_names(shown), width, verbose=verbose)]
        left_out = self._left_out(verbose=verbose)
        lines += [f"({left_out})"] if left_out else []
        lines += [""] if shown else []
        for line in self.conclusion_lines():
            label, _, rest = line.partition(": ")
            lines += textwrap.wrap(
                f"{label.upper()}: {rest}", max(40, width), subsequent_indent="    ", break_on_hyphens=False
            )
        return "\n".join(lines)

    @property
    def path(self) -> tuple[Station, ...]:
        """The places that the probe passed, in order, with what changed at each; empty if it was not sent."""
        is_open = self.finding is not None and self.finding.verdict is Verdict.PATH_OPEN
        return stations(self.hops, self.directory, self.question, is_open=is_open)

    def summary(self, width: int = 100) -> str:
        """Return the answer in a few lines: the verdict, its cause, the fix, the remarks and the path.

        Lines have at most `width` columns (80 or more); only lines of a file that a fix changes may be longer. Return
        "" until the probe has ended.
        """
        return "\n".join(self.summary_parts(width))

    def summary_parts(self, width: int = 100, *, has_path: bool = True) -> Iterator[str]:
        """Yield the parts of `summary`, each as soon as it is known: the answer, the fix, then notes and the path.

        The fix comes later than the answer because it is first tried on a fork of the lab. The path is left out if
        `has_path` is False.
        """
        finding, outcome = self.finding, self.outcome
        if finding is None:
            return

        wrap = partial(wrapped, width=width)
        waited = ""
        if finding.verdict is Verdict.TIMEOUT and outcome is not None:
            waited = f" after {outcome.elapsed_ns / NS_PER_S:g} s"
        if finding.verdict is Verdict.PATH_OPEN:
            answer = "open"
        else:
            answer = f"{'yes' if self.is_reachable else 'no'}, {finding.verdict.value}"
            answer += " (assumed)" if finding.assumptions else ""
        shorten = partial(short_rules, hops=self.hops, directory=self.directory, names=self.file_names)
        lines = wrap(f"{answer}{waited}: {self.title}") + wrap(f"cause: {shorten(finding.cause_text)}")
        for text in finding.assumption_texts:
            lines += wrap(f"assumes: {text}")
        yield "\n".join(lines)
        label, fix = self.fix_text()
        if fix:
            text, *changed = fix.splitlines()
            yield "\n".join([*wrap(f"{label}: {text}"), *(f"    {line}" for line in changed)])
        lines = [line for remark in finding.remark_texts for line in wrap(f"note: {shorten(remark)}")]
        path = self.path if has_path else ()
        lines += wrap(f"path: {path_line(path)}") if path else []
        for line in path_lines(path):
            lines += wrap(shorten(line), first="  ", rest="      ")
        if lines:
            yield "\n".join(lines)

    @property
    def deciding_hop(self) -> Hop | None:
        """The hop that decided the verdict; `None` if the verdict follows from no single hop."""
        return self.finding.hop if self.finding is not None else None

    def conclusion_lines(self) -> list[str]:
        """Return the verdict, the advice and the remarks, each as a line `label: sentence`.

        Return an empty list until the probe has ended.
        """
        if self.finding is None:
            return []
        label, text = self.fix_text()
        fix = [f"{label}: {text.splitlines()[0]}"] if text else []
        lines = str(self.finding).splitlines()
        notes = next((at for at, line in enumerate(lines) if line.startswith("note: ")), len(lines))
        return lines[:notes] + fix + lines[notes:]

    def rich(self, *, verbose: bool = False) -> RenderableType:
        """Render the table and the finding for a rich console. With `verbose` the table has all hops."""
        from rich.console import Group
        from rich.text import Text

        parts: list[RenderableType] = [Text(printable(self.title), style="bold"), Text("")] if self.title else []
        shown = self.shown(verbose=verbose)
        if shown:
            parts.append(RichTable(self.in_file_names(shown), verbose))
        left_out = self._left_out(verbose=verbose)
        if left_out:
            parts += [Text(f"({left_out})", style="dim"), Text("")]
        colour = "bold green" if self.is_reachable else "bold red"
        for number, line in enumerate(self.conclusion_lines()):
            label, _, rest = line.partition(": ")
            parts.append(_Conclusion(f"{label.upper()}: ", rest, colour if number == 0 else "bold"))
        return Group(*parts)

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values, in the format that `trace.schema.json` in this directory describes."""
        finding, outcome = self.finding, self.outcome
        label, fix = self.fix_text()
        fix = fix.partition("\n")[0]
        shown = {
            "schema": SCHEMA_VERSION,
            "question": dict(self.question),
            "verdict": finding.verdict.value if finding else None,
            "reachable": self.is_reachable,
            "cause": finding.cause_text if finding else "",
            "fix": fix if label == "fix" else "",
            "advice": fix if label != "fix" else "",
            "assumptions": list(finding.assumption_texts) if finding else [],
            "remarks": list(finding.remark_texts) if finding else [],
            "decided_at": _hop_json(finding.hop) if finding and finding.hop else None,
            "elapsed_s": outcome.elapsed_ns / NS_PER_S if outcome else None,
            "lookups": [
                {"name": query.name, "record": query.record, "server": query.server, "result": query.result}
                for query in (outcome.queries if outcome else ())
            ],
            "hops": [_hop_json(hop) for hop in self.hops],
        }
        return json_in_file_names(shown, self.file_names)

    def to_frame(self) -> Any:
        """Return the hops as a pandas `DataFrame`. Raises `ImportError` if pandas is not installed."""
        return import_module("pandas").DataFrame(
            [
                (hop.time_ns / NS_PER_S, hop.place, hop.device, what_of(hop), hop.decision, hop.addresses, hop.packet)
                for hop in self.in_file_names(self.hops)
            ],
            columns=[*(header.lower().replace(" ", "_") for header in HEADERS), "packet"],
        )

    def picture(self) -> Any:
        """Return a `views.Picture` of the lab with the trace drawn on it. Its steps have the numbers of the table.

        Raises `InvalidParameter` if the trace does not belong to a lab.
        """
        return views().picture_of(self)

    def save_html(self, path: str | Path) -> Path:
        """Write one HTML file that shows the trace step by step, with packet headers beside the picture.

        The file is self-contained. Return its path. Raises `OSError` if it cannot be written, `InvalidParameter` if
        the trace has no lab.
        """
        return Path(views().save_walk(self, path))

    def widget(self) -> Any:
        """Return a notebook widget that shows the HTML page of `save_html`.

        Raises `ImportError` if the extra `cnmsim[notebook]` is not installed.
        """
        return views().walk_widget(self)

    def to_mermaid(self) -> str:
        """Return the trace as a mermaid sequence diagram.

        It has one column for each place, and an arrow wherever a packet reaches another place.
        """
        return sequence_diagram(self.in_file_names(self.hops))


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
