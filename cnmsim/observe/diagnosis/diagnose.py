"""Derive one finding from the outcome of a probe, its trace and the lab.

The verdict follows from the outcome alone. The cause follows from the last drop on the path and from the lab: which
programs listen where, and which containers share a network.
"""

from __future__ import annotations

from attrs import evolve

from cnmsim.observe.diagnosis.address_conflicts import address_conflicts
from cnmsim.observe.diagnosis.assumptions import assumptions_of
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext
from cnmsim.observe.diagnosis.file_names import names_of
from cnmsim.observe.diagnosis.finding import Finding
from cnmsim.observe.diagnosis.success import success
from cnmsim.observe.diagnosis.verdict import REFUSALS, Verdict
from cnmsim.observe.trace.probe import Ending


def diagnose(context: DiagnosisContext) -> Finding:
    """Return the finding (verdict, cause, changes and remarks) for a probe that has ended."""
    verdict = verdict_of(context)
    if verdict in {Verdict.ANSWERED, Verdict.DELIVERED}:
        finding = success(context, verdict)
    else:
        from cnmsim.observe.diagnosis.failure import failure

        finding = failure(context, verdict)
    remarks = [*finding.remarks, *address_conflicts(context)]
    if context.directory.swarms:
        from cnmsim.observe.diagnosis.service import down_remarks

        remarks += down_remarks(context)
    return evolve(
        finding,
        remarks=tuple(remarks),
        assumptions=assumptions_of(context, finding),
        names=names_of(context.directory),
    )


def verdict_of(context: DiagnosisContext) -> Verdict:
    """Return the verdict for a probe that has ended."""
    ending = context.outcome.ending
    if ending is Ending.CLOSED:
        # docker-proxy accepts the client before it connects to the container, so the result is the container's
        # refusal.
        return Verdict.REFUSED if any(hop.reason in REFUSALS for hop in context.drops) else Verdict.ANSWERED
    is_udp = context.target.protocol == "udp"
    if ending is Ending.SILENCE and is_udp and context.delivery is not None and not context.drops:
        return Verdict.DELIVERED
    return {
        Ending.ANSWERED: Verdict.ANSWERED,
        Ending.REFUSED: Verdict.REFUSED,
        Ending.ERROR: Verdict.UNREACHABLE,
        Ending.SILENCE: Verdict.TIMEOUT,
        Ending.NO_NAME: Verdict.NAME_NOT_FOUND,
    }[ending]
