"""Diagnose a probe that received no answer: the drop, the error or the silence that ended it."""

from __future__ import annotations

import errno

from cnmsim.observe.diagnosis.causes.silence import (
    DroppedWithError,
    IcmpErrorReceived,
    NothingAnswered,
    ReceivedWithoutReply,
    StackError,
)
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext
from cnmsim.observe.diagnosis.drops import diagnose_drop, no_route_from_source
from cnmsim.observe.diagnosis.finding import Finding
from cnmsim.observe.diagnosis.overlay import tunnel_into_silence
from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.observe.fixes.changes import Manual
from cnmsim.observe.fixes.tasks import Task


def unreachable(context: DiagnosisContext, verdict: Verdict) -> Finding:
    """Return the finding, with the given verdict, for a probe that ended with an error other than a refusal."""
    outcome, source = context.outcome, context.source
    errors = [hop for hop in context.attempt if hop.layer4.is_icmp_error]
    reporter = context.sender(errors[-1]) if errors else ""
    if context.drops:
        hop = context.drops[-1]
        result = diagnose_drop(context, hop)
        cause = result.cause
        # If the source itself has no route, its stack returns an error to the program and sends no ICMP message.
        if errors and reporter != source.namespace.name:
            cause = DroppedWithError(cause, reporter, errors[-1].packet)
        return Finding(verdict, cause, result.changes, (), hop)
    if outcome.error in {errno.ENETUNREACH, errno.EADDRNOTAVAIL}:
        result = no_route_from_source(context)
        return Finding(verdict, result.cause, result.changes)
    if errors:
        change = Manual(Task.CHECK_PLACE, reporter)
        return Finding(verdict, IcmpErrorReceived(reporter, errors[-1].packet), (change,), (), errors[-1])
    text = outcome.text or errno.errorcode.get(outcome.error, "error")
    return Finding(verdict, StackError(source.name, text.lower()), (Manual(Task.CHECK_ROUTES),))


def timed_out(context: DiagnosisContext, verdict: Verdict) -> Finding:
    """Return the finding, with the given verdict, for a probe that received no answer in time."""
    if context.drops:
        hop = context.drops[-1]
        result = diagnose_drop(context, hop)
        return Finding(verdict, result.cause, result.changes, (), hop)
    delivery = context.delivery
    if delivery is not None:
        change = Manual(Task.CHECK_PAUSED, delivery.place)
        return Finding(verdict, ReceivedWithoutReply(delivery.place), (change,), (), delivery)
    last = context.attempt[-1] if context.attempt else None
    silent = tunnel_into_silence(context)
    if silent is not None:
        return Finding(verdict, silent.cause, silent.changes, (), last)
    where, what = (last.where, last.what) if last else ("", "")
    cause = NothingAnswered(context.endpoint_text, where, what)
    return Finding(verdict, cause, (Manual(Task.CHECK_BEYOND),), (), last)
