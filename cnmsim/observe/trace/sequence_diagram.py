"""Draw a trace as a mermaid sequence diagram."""

from __future__ import annotations

from collections.abc import Sequence

from cnmsim.kernel.events import Step
from cnmsim.observe.trace.hops import Hop

_ENTITIES = {"#": "#35;", ";": "#59;", '"': "#quot;", "\n": " ", "<": "#lt;", ">": "#gt;"}


def mermaid_text(text: str) -> str:
    """Escape text for a mermaid label: characters with a meaning in mermaid become entities."""
    return "".join(_ENTITIES.get(letter, letter) for letter in text)


def _aliases(hops: Sequence[Hop]) -> dict[str, str]:
    places = dict.fromkeys(hop.place for hop in hops)
    return {place: f"p{number}" for number, place in enumerate(places)}


def sequence_diagram(hops: Sequence[Hop]) -> str:
    """Return a mermaid sequence diagram of the hops.

    It has one column for each place, an arrow where a packet reaches another place, and notes for NAT, deliveries and
    other decisions.
    """
    shown = [hop for hop in hops if not hop.is_plain or hop.step in {Step.RECEIVED, Step.TRANSMITTED}]
    aliases = _aliases(shown)
    lines = ["sequenceDiagram"]
    lines += [f"    participant {alias} as {mermaid_text(place)}" for place, alias in aliases.items()]
    last_place: dict[int, str] = {}
    for hop in shown:
        here = aliases[hop.place]
        before = last_place.get(hop.message)
        if before is not None and before != here:
            label = mermaid_text(f"{hop.packet} {hop.addresses}".strip())
            lines.append(f"    {before}->>{here}: {label}")
        last_place[hop.message] = here
        if hop.is_drop:
            lines.append(f"    {here}-x{here}: {mermaid_text(_reason(hop))}")
        elif hop.step in {Step.TRANSLATED, Step.NOTE} and not hop.is_plain:
            lines.append(f"    Note over {here}: {mermaid_text(hop.what or hop.decision)}")
        elif hop.step is Step.DELIVERED and not hop.is_plain:
            lines.append(f"    Note over {here}: {mermaid_text(hop.what or 'delivered')}")
    return "\n".join(lines) + "\n"


def _reason(hop: Hop) -> str:
    reason = hop.reason.value if hop.reason else hop.what
    return f"{reason}: {hop.decision}" if hop.decision else reason
