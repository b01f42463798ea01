"""Names that were not found: what each name server said, and what the name would have been known as, and where."""

from __future__ import annotations

import difflib

from cnmsim.kernel.events import DropReason, Step
from cnmsim.observe.diagnosis.advice import join_a_network
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext, destination_of
from cnmsim.observe.diagnosis.finding import Finding, Verdict
from cnmsim.observe.diagnosis.service import unknown_service
from cnmsim.observe.location import Location, shared_networks, stack_owner
from cnmsim.observe.trace.hops import Hop


def no_name(context: DiagnosisContext, verdict: Verdict) -> Finding:
    """Give the finding on a name that nobody resolved."""
    name, source = context.target.host, context.source
    queries = context.outcome.queries
    lookup = context.outcome.lookup
    hop = next((hop for hop in reversed(context.hops) if hop.packet.startswith("DNS ")), None)
    if lookup is None or lookup.is_silent:
        return _silent_resolver(context, verdict, hop)
    said = queries[-1]
    of_swarm = unknown_service(context, name)
    if of_swarm is not None:
        cause = f"{said.server} says {said.result} for {said.name}: {of_swarm[0]}"
        return Finding(verdict, cause, of_swarm[1], _asked(context), hop)
    head = f"{said.server} says {said.result} for {said.name}"
    is_known = context.directory.matching(name) or name in context.directory.stopped
    if said.result in {"SERVFAIL", "REFUSED"} and not is_known:
        where = context.lookup_losses[-1] if context.lookup_losses else hop
        return Finding(verdict, head + _behind_resolver(context), _reach_a_server(source), _asked(context), where)
    cause, fix = _why_unknown(context, source, name)
    return Finding(verdict, f"{head}: {cause}", fix, _asked(context), hop)


def _behind_resolver(context: DiagnosisContext) -> str:
    """Say what became of the question behind the resolver that was asked."""
    notes = [hop.what for hop in context.hops if hop.step is Step.NOTE and hop.what.startswith("resolver: ")]
    lost = sorted({destination_of(loss) for loss in context.lookup_losses})
    if lost:
        loss = context.lookup_losses[-1]
        by = f": the question was lost on {loss.place} by {loss.decision}" if loss.decision else f" from {loss.place}"
        return f"; its upstream {', '.join(lost)} was not reached{by}"
    if not notes:
        return ""
    _, unasked, why = notes[-1].partition("not asked, ")
    return f"; it asked no other server, {why}" if unasked else f"; {notes[-1].removeprefix('resolver: ')}"


def _reach_a_server(source: Location) -> str:
    if source.attachments and all(item.is_internal for item in source.attachments):
        return f"attach {source.name} to a network without --internal as well"
    return "set name servers that can be reached (dns)"


def _asked(context: DiagnosisContext) -> tuple[str, ...]:
    queries = context.outcome.queries
    return (f"asked: {'; '.join(map(str, queries))}",) if len({query.name for query in queries}) > 1 else ()


def _silent_resolver(context: DiagnosisContext, verdict: Verdict, hop: Hop | None) -> Finding:
    servers = ", ".join(dict.fromkeys(query.server for query in context.outcome.queries)) or "its name server"
    source, name = context.source, context.target.host
    knows_none = not source.is_container or (
        bool(source.attachments) and all(item.is_default for item in source.attachments)
    )
    if knows_none and any(item.is_container for item in context.directory.matching(name)):
        why, fix = _why_unknown(context, source, name)
        return Finding(
            verdict, f"{servers} gave no answer (and would know no container): {why}", fix, _asked(context), hop
        )
    if context.lookup_losses:
        loss = context.lookup_losses[-1]
        if loss.reason is DropReason.PORT_CLOSED:
            cause = f"{context.source.name} asks {servers} for names, and no name server listens there ({loss.place})"
            return Finding(verdict, cause, "name a server in its resolv.conf (dns)", _asked(context), loss)
        reason = loss.reason.value if loss.reason else loss.what
        by = f" by {loss.decision}" if loss.decision else ""
        cause = f"{servers} gave no answer: the question was lost on {loss.place}{by} ({reason})"
        return Finding(verdict, cause, "name a server that can be reached (dns)", _asked(context), loss)
    results = {query.result for query in context.outcome.queries}
    if len(results) == 1 and not any(result.startswith("no answer") for result in results):
        cause = f"{context.source.name} cannot ask its name server {servers}: {results.pop()}"
        if context.source.is_container and not context.source.attachments:
            return Finding(verdict, cause, join_a_network(context.source), (), hop)
        return Finding(verdict, cause, "name a server that can be reached (dns)", _asked(context), hop)
    return Finding(
        verdict, f"{servers} gave no answer", "name a server that can be reached (dns)", _asked(context), hop
    )


def _why_unknown(context: DiagnosisContext, source: Location, name: str) -> tuple[str, str]:
    stopped = context.directory.stopped.get(name)
    if stopped:
        return f"{name} is not running ({stopped})", f"docker start {name}"
    owners = [item for item in context.directory.matching(name) if item is not source]
    if not owners:
        return _unknown(context, source, name)
    owner = owners[0]
    if not source.is_container:
        return f"a host's resolver knows no container names, and {name} is a container", _ask_published(
            context, owner
        )
    keeper = stack_owner(owner, context.directory)
    if keeper is not None:
        return _lodger(owner, keeper)
    if owner.is_container and not owner.attachments:
        return f"{owner.name} has no network (network_mode none)", f"start {owner.name} on a network of {source.name}"
    if not source.attachments:
        return f"{source.name} uses no Docker network, so no resolver of Docker's", _ask_published(context, owner)
    if owner.is_container and all(item.is_default for item in source.attachments):
        return (
            "the default bridge has no names, its containers ask the host's name server",
            f"attach both to a user-defined network: docker network create app; docker network connect app {owner.name}; "  # noqa: ISC004
            f"docker network connect app {source.name}",
        )
    namesakes = {item.network for item in source.attachments} & {item.network for item in owner.attachments}
    if namesakes and source.host != owner.host and not shared_networks(source, owner):
        name = min(namesakes)
        return (
            f"{owner.name} runs on {owner.host}, and network {name} of {owner.host} is not network {name} of {source.host}: a bridge ends at its host",
            _ask_published(context, owner).replace("or ask for its address", f"and ask {owner.host}")
            + ", or put both on an overlay network",
        )
    if owner.is_container and not shared_networks(source, owner):
        ours = " and ".join(item.network for item in source.attachments)
        theirs = " and ".join(item.network for item in owner.attachments) or "none"
        network = next((item.network for item in owner.attachments if not item.is_default), "NETWORK")
        return (
            f"the two share no network ({source.name} is on {ours}, {owner.name} on {theirs})",
            f"attach both to one network: docker network connect {network} {source.name}",
        )
    return f"{owner.label} exists, but not under that name on a network of {source.name}", f"use {owner.name}"


def _lodger(owner: Location, keeper: Location) -> tuple[str, str]:
    """Advise on the name of a container that lives in the network stack of `keeper`."""
    if not keeper.is_container:
        return f"{owner.name} uses the network stack of its host {keeper.name}, and has no name there", (
            "give the asking container extra_hosts host.docker.internal:host-gateway, and ask host.docker.internal"
        )
    return f"{owner.name} uses the network stack of {keeper.name}, and has no name of its own", (
        f"use {keeper.service or keeper.name}"
    )


def _ask_published(context: DiagnosisContext, owner: Location) -> str:
    for item in owner.published:
        if item.port == context.target.port and not item.is_loopback_only:
            return f"use the published port {owner.host}:{item.host_port}"
    return f"publish a port of {owner.name}, or ask for its address"


def _unknown(context: DiagnosisContext, source: Location, name: str) -> tuple[str, str]:
    known = {item.name for item in context.directory.locations if item is not source}
    known |= {item.service for item in context.directory.locations} - {""}
    close = difflib.get_close_matches(name, sorted(known), 1)
    if close:
        return "no container, service or host has that name", f"use {close[0]}"
    if "." in name:
        return "no container, service or host has that name", "check the spelling"
    return "no container, service or host has that name", (
        f"check the spelling; if {name} is short for a longer name, ask for that, or name its domain (dns_search)"
    )
