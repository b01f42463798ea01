"""Diagnose a probe that failed: which cause ended it, and which changes may help."""

from __future__ import annotations

from attrs import evolve

from cnmsim.kernel.address import format_ip
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext
from cnmsim.observe.diagnosis.finding import Finding
from cnmsim.observe.diagnosis.sandboxes import for_sandboxes
from cnmsim.observe.diagnosis.service_updates import for_services
from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.observe.fixes.changes import ContainerOption, RecreateContainer
from cnmsim.observe.trace.lookup import HOSTS_FILE


def failure(context: DiagnosisContext, verdict: Verdict) -> Finding:
    """Return the finding, with the given verdict, for a probe that failed."""
    finding = _by_verdict(context, verdict)
    if not finding.verdict.is_reachable:
        finding = _by_hosts_file(context, finding)
    changes = for_sandboxes(finding.changes, context.directory)
    return evolve(finding, changes=for_services(changes, context.directory, context.target.host))


def _by_verdict(context: DiagnosisContext, verdict: Verdict) -> Finding:
    # Only the module for this verdict is imported: all of them together delay the first line of an answer.
    match verdict:
        case Verdict.REFUSED:
            from cnmsim.observe.diagnosis.refused import refused

            return refused(context, verdict)
        case Verdict.NAME_NOT_FOUND:
            from cnmsim.observe.diagnosis.dns import name_not_found

            return name_not_found(context, verdict)
    from cnmsim.observe.diagnosis.unanswered import timed_out, unreachable

    return (unreachable if verdict is Verdict.UNREACHABLE else timed_out)(context, verdict)


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
    from cnmsim.observe.diagnosis.causes.lookups import OtherAddressInHostsFile

    cause = OtherAddressInHostsFile(finding.cause, name, context.address_text, source.name, owners[0].name, other)
    change = RecreateContainer(source.host, source.name, ContainerOption.NO_EXTRA_HOSTS)
    return evolve(finding, cause=cause, changes=(change,))
