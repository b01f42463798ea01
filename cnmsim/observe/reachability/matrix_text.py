"""A reachability matrix as text for a terminal: a table if it fits the width, else a list for each source."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.observe.display import wrapped
from cnmsim.observe.reachability.matrix import Reachability
from cnmsim.observe.trace.table import plain_grid

#: The width of sentences where the output has no width of its own (a pipe).
_SENTENCE_WIDTH = 100


def matrix_text(matrix: Reachability, width: int = 0, *, verbose: bool = False) -> str:
    """Return the verdicts of all pairs as text of at most `width` columns (0: no limit for the list).

    Sources with equal verdicts share their lines in the list. Services whose answers are assumed are named below, and
    containers that are not probed because none of their ports is known. With `verbose` the causes of failures and the
    assumptions follow, one sentence each.
    """
    unknown = [
        f"not probed: it is not known where {name} listens (--listen {name}:PORT)" for name in _unknown(matrix)
    ]
    if not matrix.sources or not matrix.services:
        return "\n".join(["nothing to probe: no container listens on a port of this protocol (--udp: UDP)", *unknown])
    table = str(matrix)
    sentence_width = width or _SENTENCE_WIDTH
    if max(map(len, table.splitlines())) > sentence_width and not matrix.is_large:
        table = plain_grid(("FROM", "VERDICT", "TO"), list(_listed(matrix)), width)
    lines = table.splitlines()
    assumed = _assumptions(matrix)
    if assumed and not verbose:
        services = ", ".join(dict.fromkeys(service for service in matrix.services if service in assumed))
        lines += ["", *wrapped(f"assumes: what listens on {services} (-v: why)", sentence_width)]
    elif verbose:
        sentences = [f"assumes: {text}" for text in dict.fromkeys(chain.from_iterable(assumed.values()))]
        sentences += [f"{', '.join(sources)} → {failure}" for failure, sources in _failures(matrix).items()]
        lines += ["", *(line for text in sentences for line in wrapped(text, sentence_width))]
    if unknown:
        lines += ["", *(line for text in unknown for line in wrapped(text, sentence_width))]
    return "\n".join(lines)


def _unknown(matrix: Reachability) -> list[str]:
    """Return the sources that listen on no known port, though a program in them may listen on one."""
    probed = {matrix.service(name)[0].name for name in matrix.services}
    places = {name: matrix.source(name) for name in matrix.sources}
    return [
        name
        for name, place in places.items()
        if place.is_container and place.name not in probed and any(not item.is_complete for item in place.stand_ins)
    ]


def _listed(matrix: Reachability) -> Iterator[tuple[str, str, str]]:
    """Yield rows (sources, verdict, services), one for each verdict of sources whose verdicts are equal."""
    alike: dict[tuple[Verdict, ...], list[str]] = {}
    for source in matrix.sources:
        alike.setdefault(tuple(matrix.verdict(source, service) for service in matrix.services), []).append(source)
    for verdicts, sources in alike.items():
        shown = ", ".join(sources)
        for verdict in dict.fromkeys(verdicts):
            services = (name for name, own in zip(matrix.services, verdicts, strict=True) if own is verdict)
            yield shown, verdict.value, ", ".join(services)
            shown = ""


def _assumptions(matrix: Reachability) -> dict[str, list[str]]:
    """Return the assumptions behind the answers, by service."""
    found: dict[str, list[str]] = {}
    for source, service, verdict in matrix.pairs():
        finding = matrix[source, service].finding
        if verdict.is_reachable and finding is not None and finding.assumptions:
            found.setdefault(service, []).extend(finding.assumption_texts)
    return found


def _failures(matrix: Reachability) -> dict[str, list[str]]:
    """Return the sources of failed pairs by a text of service, verdict and cause."""
    found: dict[str, list[str]] = {}
    for source, service, verdict in matrix.pairs():
        finding = matrix[source, service].finding
        if not verdict.is_reachable and finding is not None:
            found.setdefault(f"{service}: {verdict.value}: {finding.cause_text}", []).append(source)
    return found
