"""From what a probe saw and where its packets ended to one finding: verdict, cause, fix.

The verdict follows from the outcome alone. The cause follows from the last loss on the way and from what the lab
looks like: who listens where, who shares a network with whom.
"""

from __future__ import annotations

import errno

from attrs import evolve

from cnmsim.kernel.address import format_ip
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext
from cnmsim.observe.diagnosis.dns import no_name
from cnmsim.observe.diagnosis.drops import advice_on, no_route_from
from cnmsim.observe.diagnosis.finding import Finding, Verdict
from cnmsim.observe.diagnosis.link import clashes
from cnmsim.observe.diagnosis.overlay import never_arrived
from cnmsim.observe.diagnosis.refused import REFUSALS, refused
from cnmsim.observe.diagnosis.service import down_remarks
from cnmsim.observe.diagnosis.success import arrived
from cnmsim.observe.trace.hops import Hop
from cnmsim.observe.trace.probe import Ending


def diagnose(context: DiagnosisContext) -> Finding:
    """Give the finding on a probe that has ended."""
    verdict = verdict_of(context)
    finding = {
        Verdict.ANSWERED: arrived,
        Verdict.DELIVERED: arrived,
        Verdict.REFUSED: refused,
        Verdict.UNREACHABLE: _unreachable,
        Verdict.TIMEOUT: _timed_out,
        Verdict.NAME_NOT_FOUND: no_name,
    }[verdict](context, verdict)
    if not verdict.is_reachable:
        finding = _by_hosts_file(context, finding)
    return evolve(finding, remarks=(*finding.remarks, *clashes(context), *down_remarks(context)))


def _by_hosts_file(context: DiagnosisContext, finding: Finding) -> Finding:
    """Point to /etc/hosts where it gives a container's name another address."""
    lookup, name = context.outcome.lookup, context.target.host
    if lookup is None or context.outcome.address is None or lookup.queries[-1].server != "/etc/hosts":
        return finding
    owners = [item for item in context.directory.matching(name) if item is not context.source and item.addresses]
    if len(owners) != 1 or context.outcome.address in owners[0].addresses:
        return finding
    other = format_ip(owners[0].addresses[0])
    cause = f"{finding.cause}; {name} is {context.address} by the hosts file of {context.source.name}, while {owners[0].name} has {other}"
    return evolve(
        finding, cause=cause, fix=f"take {name} out of the extra_hosts (--add-host) of {context.source.name}"
    )


def verdict_of(context: DiagnosisContext) -> Verdict:
    """Say which of the six it is."""
    ending = context.outcome.ending
    if ending is Ending.CLOSED:
        # A userland proxy accepts first and asks the container afterwards: its refusal is the answer.
        return Verdict.REFUSED if any(hop.reason in REFUSALS for hop in context.losses) else Verdict.ANSWERED
    if (
        ending is Ending.SILENCE
        and context.target.protocol == "udp"
        and context.taken is not None
        and not context.losses
    ):
        return Verdict.DELIVERED
    return {
        Ending.ANSWERED: Verdict.ANSWERED,
        Ending.REFUSED: Verdict.REFUSED,
        Ending.ERROR: Verdict.UNREACHABLE,
        Ending.SILENCE: Verdict.TIMEOUT,
        Ending.NO_NAME: Verdict.NAME_NOT_FOUND,
    }[ending]


# ---- unreachable


def _unreachable(context: DiagnosisContext, verdict: Verdict) -> Finding:
    outcome = context.outcome
    errors = [hop for hop in context.attempt if "ICMP" in hop.packet and not _is_echo(hop)]
    reporter = context.sender(errors[-1]) if errors else ""
    if context.losses:
        loss = context.losses[-1]
        cause, fix = advice_on(context, loss)
        # A stack that finds no way itself needs no message to tell its own program.
        told = (
            f"; {reporter} answers with {errors[-1].packet}"
            if errors and reporter != context.source.namespace.name
            else ""
        )
        return Finding(verdict, cause + told, fix, (), loss)
    if outcome.error in {errno.ENETUNREACH, errno.EADDRNOTAVAIL}:
        return Finding(verdict, *no_route_from(context))
    if errors:
        who = errors[-1]
        return Finding(verdict, f"{reporter} answers with {who.packet}", f"look at {reporter}", (), who)
    text = outcome.text or errno.errorcode.get(outcome.error, "error")
    return Finding(verdict, f"{context.source.name}'s own network stack says: {text.lower()}", "check its routes")


def _is_echo(hop: Hop) -> bool:
    return "echo" in hop.packet


# ---- silence


def _timed_out(context: DiagnosisContext, verdict: Verdict) -> Finding:
    if context.losses:
        loss = context.losses[-1]
        cause, fix = advice_on(context, loss)
        return Finding(verdict, cause, fix, (), loss)
    hop = context.taken
    if hop is not None:
        return Finding(
            verdict, f"{hop.place} took it, and no answer ever came", f"check that {hop.place} is not paused", (), hop
        )
    last = context.attempt[-1] if context.attempt else None
    stale = never_arrived(context)
    if stale is not None:
        return Finding(verdict, *stale, (), last)
    where = f" (last seen at {last.where}: {last.what})" if last else ""
    return Finding(
        verdict, f"nothing answered from {context.goal}{where}", "check the way behind that point", (), last
    )
