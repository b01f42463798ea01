"""Diagnose a probe that failed: which cause ended it, and which changes may help."""

from __future__ import annotations

import errno

from attrs import evolve

from cnmsim.kernel.address import format_ip
from cnmsim.observe.diagnosis.causes.lookups import OtherAddressInHostsFile
from cnmsim.observe.diagnosis.causes.silence import (
    DroppedWithError,
    IcmpErrorReceived,
    NothingAnswered,
    ReceivedWithoutReply,
    StackError,
)
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext
from cnmsim.observe.diagnosis.dns import name_not_found
from cnmsim.observe.diagnosis.drops import diagnose_drop, no_route_from_source
from cnmsim.observe.diagnosis.finding import Finding
from cnmsim.observe.diagnosis.overlay import tunnel_into_silence
from cnmsim.observe.diagnosis.refused import refused
from cnmsim.observe.diagnosis.sandboxes import for_sandboxes
from cnmsim.observe.diagnosis.service_updates import for_services
from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.observe.fixes.changes import ContainerOption, Manual, RecreateContainer
from cnmsim.observe.fixes.tasks import Task
from cnmsim.observe.trace.lookup import HOSTS_FILE


def failure(context: DiagnosisContext, verdict: Verdict) -> Finding:
    """Return the finding, with the given verdict, for a probe that failed."""
    finding = {
        Verdict.REFUSED: refused,
        Verdict.UNREACHABLE: _unreachable,
        Verdict.TIMEOUT: _timed_out,
        Verdict.NAME_NOT_FOUND: name_not_found,
    }[verdict](context, verdict)
    if not finding.verdict.is_reachable:
        finding = _by_hosts_file(context, finding)
    changes = for_sandboxes(finding.changes, context.directory)
    return evolve(finding, changes=for_services(changes, context.directory, context.target.host))


def _by_hosts_file(context: DiagnosisContext, finding: Finding) -> Finding:
    """If the source's /etc/hosts maps a container's name to a wrong address, return a finding with this as its cause.

    Otherwise return `finding` unchanged.
    """
    lookup, name, source = context.outcome.lookup, context.target.host, context.source
    if lookup is None or context.outcome.address is None or lookup.queries[-1].server != HOSTS_FILE:
        return finding
    owners = [item for item in context.directory.matching(name) if item is not source and item.addresses]
    if len(owners) != 1 or context.outcome.address in owners[0].addresses:
        return finding
    other = format_ip(owners[0].addresses[0])
    cause = OtherAddressInHostsFile(finding.cause, name, context.address_text, source.name, owners[0].name, other)
    change = RecreateContainer(source.host, source.name, ContainerOption.NO_EXTRA_HOSTS)
    return evolve(finding, cause=cause, changes=(change,))


def _unreachable(context: DiagnosisContext, verdict: Verdict) -> Finding:
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


def _timed_out(context: DiagnosisContext, verdict: Verdict) -> Finding:
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
