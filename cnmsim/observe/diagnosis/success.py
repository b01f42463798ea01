"""What arrived: who took it, what carried it there, and what is worth a remark on the way."""

from __future__ import annotations

import re

from cnmsim.kernel.address import Address, format_ip
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.events import Step
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext, source_of
from cnmsim.observe.diagnosis.drops import advice_on
from cnmsim.observe.diagnosis.finding import Finding, Verdict
from cnmsim.observe.diagnosis.overlay import mtu_remarks
from cnmsim.observe.diagnosis.service import service_remarks
from cnmsim.observe.location import Location, shared_networks
from cnmsim.observe.trace.hops import Hop
from cnmsim.observe.trace.lookup import Lookup


def arrived(context: DiagnosisContext, verdict: Verdict) -> Finding:
    """Give the finding on a packet that was answered or taken."""
    hop = context.taken
    server = context.location(hop.place) if hop else context.destination
    name = server.name if server else context.address
    at = f" at {hop.addresses.partition(' > ')[2]}" if hop else f" at {context.goal}"
    if verdict is Verdict.DELIVERED:
        cause = f"{name} received the datagram{at} and, as UDP programs may, said nothing"
    else:
        verb = "answers the echo request" if context.target.protocol == "icmp" else "answers"
        cause = f"{name} {verb}{at}"
    return Finding(verdict, cause + _way(context, server), "", tuple(_remarks(context, hop, server)), hop)


#: The targets and statements that rewrite the destination, and those that rewrite the source.
_TO_ANOTHER = re.compile(r"\b(DNAT|REDIRECT|dnat|redirect)\b")
_FROM_ANOTHER = re.compile(r"\b(MASQUERADE|SNAT|masquerade|snat)\b")


def _way(context: DiagnosisContext, server: Location | None) -> str:
    """Say what carried it there."""
    source = context.source
    proxy = proxy_note(context)
    if proxy is not None:
        return f"; docker-proxy on {proxy.place} carries it: a second connection starts there"
    rewritten = [hop for hop in context.translations() if _TO_ANOTHER.search(hop.decision)]
    if rewritten:
        return f"; {rewritten[-1].place} rewrote the destination by {rewritten[-1].decision}"
    if server is None or server is source:
        return "; it never left its own network stack" if server is source else ""
    shared = shared_networks(source, server)
    if shared:
        return f"; both are on network {shared[0]}"
    if source.is_container and server.name == source.host:
        return f"; it is the host {source.name} runs on"
    masked = [hop for hop in context.translations() if _FROM_ANOTHER.search(hop.decision)]
    if masked:
        return f"; {masked[-1].place} rewrote the source by {masked[-1].decision}"
    is_routed = any(hop.step is Step.ROUTED and not hop.what.startswith("sent by") for hop in context.attempt)
    return "; routed all the way" if is_routed else "; they are neighbours on one wire"


def proxy_note(context: DiagnosisContext) -> Hop | None:
    """Give where docker-proxy says that it carries the connection, if it does."""
    return next((hop for hop in context.attempt if hop.step is Step.NOTE and "proxy" in hop.what), None)


def _remarks(context: DiagnosisContext, hop: Hop | None, server: Location | None) -> list[str]:
    remarks = []
    sent = next((other for other in context.attempt if other.step is Step.SENT), None)
    if hop is not None and server is not None and sent is not None and source_of(hop) != source_of(sent):
        remarks.append(f"{server.name} sees the client as {source_of(hop)}, not as {source_of(sent)}")
    for translation in context.translations():
        host = context.location(translation.place)
        if host is not None and "DNAT" in translation.decision and not host.is_container:
            remarks += _rules_never_visited(context, host, translation.decision)
    if server is not None and server.is_paused and context.target.protocol != "icmp":
        taken = "connections" if context.target.protocol == "tcp" else "datagrams"
        remarks.append(f"{server.name} is paused: its kernel takes {taken}, its program answers nothing")
    remarks += [*_second_try(context), *_rivals(context), *service_remarks(context), *mtu_remarks(context)]
    if len(context.outcome.queries) > 1:
        asked = "; ".join(str(query) for query in context.outcome.queries)
        remarks.append(f"the name took {len(context.outcome.queries)} questions: {asked}")
    return remarks


def _second_try(context: DiagnosisContext) -> list[str]:
    """Tell of a connection that came about only when its first packet was sent again."""
    place = context.source.namespace.name
    tries = [
        hop for hop in context.attempt if hop.step is Step.SENT and hop.packet == "TCP SYN" and hop.place == place
    ]
    lost = [hop for hop in context.losses if len(tries) > 1 and hop.time_ns < tries[1].time_ns]
    if not lost:
        return []
    seconds = (tries[-1].time_ns - context.connect_started_ns) / NS_PER_S
    return [
        f"only try {len(tries)} came through, after {seconds:.0f} s; the first one: {advice_on(context, lost[-1])[0]}"
    ]


def _rivals(context: DiagnosisContext) -> list[str]:
    """Tell of a name that several containers have which are no replicas of one service."""
    lookup = context.outcome.lookup
    owners = [context.directory.owner(address) for address in lookup.addresses] if lookup else []
    found = list(dict.fromkeys(owner for owner in owners if owner is not None))
    if len({(owner.project, owner.service or owner.name) for owner in found}) < 2:
        return []
    texts = [f"{owner.name} ({format_ip(address)})" for owner, address in _with_addresses(owners, lookup)]
    who = f"{len(found)} containers answer to the name {context.target.host}: {', '.join(sorted(texts))}"
    return [f"{who}; which of them is asked changes from one lookup to the next"]


def _with_addresses(owners: list[Location | None], lookup: Lookup | None) -> list[tuple[Location, Address]]:
    addresses = lookup.addresses if lookup else ()
    return [(owner, address) for owner, address in zip(owners, addresses, strict=True) if owner is not None]


def _rules_never_visited(context: DiagnosisContext, host: Location, rule: str) -> list[str]:
    """Find INPUT rules that name the published port: translated packets go through FORWARD and never meet them."""
    wanted = re.compile(rf"--dports? (\d+,)*{context.target.port}(,\d+)*\b.* -j (DROP|REJECT|ufw\S*deny)")
    family = 6 if ":" in context.address else 4
    found = [
        line
        for line in host.namespace.netfilter.iptables(family).save("filter").splitlines()
        if re.match(r"-A (INPUT|ufw6?-\S*input)\b", line) and wanted.search(line)
    ]
    del rule
    return [
        f"{line} on {host.name} was never visited: a published port goes through FORWARD, not INPUT; "
        "filter it in DOCKER-USER, or publish it on 127.0.0.1"
        for line in found
    ]
