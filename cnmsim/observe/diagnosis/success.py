"""Diagnose a probe that succeeded: the server that received the packet, the path, and remarks."""

from __future__ import annotations

import re

from cnmsim.kernel.address import format_ip
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.events import Reporter, Step
from cnmsim.observe.diagnosis.causes.base import Cause, Fact, Remark
from cnmsim.observe.diagnosis.causes.remarks import (
    ClientSeenAs,
    ConnectionReused,
    LateSuccess,
    LookupQueries,
    NameShared,
    RuleNotVisited,
    ServerPaused,
)
from cnmsim.observe.diagnosis.causes.success import (
    Answered,
    ByProxy,
    DatagramReceived,
    DestinationRewritten,
    OwnHost,
    SharedNetwork,
    SourceRewritten,
)
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext
from cnmsim.observe.diagnosis.finding import Finding
from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.observe.location import Location, shared_networks
from cnmsim.observe.trace.hops import Hop
from cnmsim.observe.trace.packet_summary import endpoint_text

#: iptables targets and nft statements that rewrite the destination, and those that rewrite the source.
REWRITES_DESTINATION = re.compile(r"\b(DNAT|REDIRECT|dnat|redirect)\b")
_REWRITES_SOURCE = re.compile(r"\b(MASQUERADE|SNAT|masquerade|snat)\b")


def success(context: DiagnosisContext, verdict: Verdict) -> Finding:
    """Return the finding, with the given verdict, for a probe whose packet was answered or received."""
    hop = context.delivery
    server = context.location_at(hop.place) if hop else context.destination
    name = server.name if server else context.address_text
    endpoint = context.endpoint_text
    if hop is not None and hop.destination is not None:
        endpoint = endpoint_text(hop.destination, hop.destination_port)
    if server is not None and (server.stands_for_internet or server.stands_for_machine):
        endpoint = (
            context.endpoint_text
        )  # its servers listen on its own address; packets to public addresses are redirected there
    path = _path(context, server)
    if verdict is Verdict.DELIVERED:
        cause: Cause = DatagramReceived(name, endpoint, path)
    else:
        cause = Answered(name, endpoint, path, is_echo=context.target.protocol == "icmp")
    return Finding(verdict, cause, (), tuple(_remarks(context, hop, server)), hop)


def _path(context: DiagnosisContext, server: Location | None) -> Cause | None:
    source = context.source
    proxy = proxy_note(context)
    if proxy is not None:
        return ByProxy(proxy.place)
    is_stand_in = server is not None and (server.stands_for_internet or server.stands_for_machine)
    stand_in = server.namespace.name if server is not None and is_stand_in else None
    translations = [hop for hop in context.translations() if hop.place != stand_in]
    rewritten = [hop for hop in translations if REWRITES_DESTINATION.search(hop.decision)]
    if rewritten:
        return DestinationRewritten(rewritten[-1].place, rewritten[-1].decision)
    if server is None:
        return None
    if server.namespace is source.namespace:
        return Fact.SAME_STACK
    shared = shared_networks(source, server)
    if shared:
        return SharedNetwork(shared[0])
    if source.is_container and server.name == source.host:
        return OwnHost(source.name)
    masqueraded = [hop for hop in translations if _REWRITES_SOURCE.search(hop.decision)]
    if masqueraded:
        return SourceRewritten(masqueraded[-1].place, masqueraded[-1].decision)
    return Fact.ROUTED_PATH if any(_is_forwarded(context, hop) for hop in context.attempt) else Fact.ONE_LINK


def _is_forwarded(context: DiagnosisContext, hop: Hop) -> bool:
    """Return True if, at the hop, a machine routed a packet that another machine sent."""
    return hop.step is Step.ROUTED and hop.place != context.sender(hop)


def proxy_note(context: DiagnosisContext) -> Hop | None:
    """Return the hop at which docker-proxy connected to the container; `None` if docker-proxy was not involved."""
    return next((hop for hop in context.attempt if hop.detail is Reporter.PROXY), None)


def _remarks(context: DiagnosisContext, hop: Hop | None, server: Location | None) -> list[Remark]:
    remarks: list[Remark] = []
    sent = next((other for other in context.attempt if other.step is Step.SENT), None)
    if hop is not None and server is not None and sent is not None and hop.source != sent.source:
        remarks.append(ClientSeenAs(server.name, hop.source_text, sent.source_text))
    for translation in context.translations():
        host = context.location_at(translation.place)
        if host is not None and "DNAT" in translation.decision and not host.is_container:
            remarks += _rules_not_visited(context, host)
    if server is not None and server.is_paused and context.target.protocol != "icmp":
        remarks.append(ServerPaused(server.name, context.target.protocol))
    remarks += [*_late_success(context), *_name_sharing(context)]
    if context.directory.swarms:
        from cnmsim.observe.diagnosis.service import virtual_address_remarks

        remarks += virtual_address_remarks(context)
    remarks += [_reused(context, hop) for hop in context.attempt if hop.decision.endswith("vs.conn_reuse_mode = 0")]
    if any(hop.step is Step.ENCAPSULATED for hop in context.attempt):
        from cnmsim.observe.diagnosis.overlay import mtu_remarks

        remarks += mtu_remarks(context)
    if len(context.outcome.queries) > 1:
        remarks.append(LookupQueries(tuple(map(str, context.outcome.queries))))
    return remarks


def _late_success(context: DiagnosisContext) -> list[Remark]:
    """Return a remark, in a list, if the connection was established only after a retransmission."""
    place = context.source.namespace.name
    tries = [hop for hop in context.attempt if hop.step is Step.SENT and hop.layer4.is_syn and hop.place == place]
    drops = [hop for hop in context.drops if len(tries) > 1 and hop.time_ns < tries[1].time_ns]
    if not drops:
        return []
    from cnmsim.observe.diagnosis.drops import diagnose_drop

    seconds = (tries[-1].time_ns - context.connect_started_ns) / NS_PER_S
    return [LateSuccess(len(tries), round(seconds), diagnose_drop(context, drops[-1]).cause)]


def _name_sharing(context: DiagnosisContext) -> list[Remark]:
    """Return a remark, in a list, if the name that was looked up belongs to containers of different services."""
    addresses = context.outcome.lookup.addresses if context.outcome.lookup else ()
    owners = [(context.directory.owner(address), address) for address in addresses]
    known = [(owner, address) for owner, address in owners if owner is not None]
    if len({(owner.project, owner.service or owner.name) for owner, _ in known}) < 2:
        return []
    count = len({id(owner) for owner, _ in known})
    texts = sorted(f"{owner.name} ({format_ip(address)})" for owner, address in known)
    return [NameShared(context.target.host, count, tuple(texts))]


def _reused(context: DiagnosisContext, hop: Hop) -> Remark:
    """Return a remark on a new connection that IPVS sent to the task of an earlier connection without balancing it.

    `hop` is where IPVS did so. Source: net/netfilter/ipvs/ip_vs_core.c (is_new_conn_expected).
    """
    task = context.location_at(context.delivery.place) if context.delivery is not None else None
    name = task.name if task is not None else ""
    return ConnectionReused(hop.place, hop.source_port, hop.source_text, name, hop.decision)


def _rules_not_visited(context: DiagnosisContext, host: Location) -> list[Remark]:
    """Return a remark for each INPUT rule of `host` that would block the port but does not apply.

    Packets to a published port traverse FORWARD, not INPUT.
    """
    pattern = re.compile(rf"--dports? (\d+,)*{context.target.port}(,\d+)*\b.* -j (DROP|REJECT|ufw\S*deny)")
    is_ipv6 = context.outcome.address is not None and len(context.outcome.address) == 16
    lines = host.namespace.netfilter.iptables(6 if is_ipv6 else 4).save("filter").splitlines()
    return [
        RuleNotVisited(line, host.name)
        for line in lines
        if re.match(r"-A (INPUT|ufw6?-\S*input)\b", line) and pattern.search(line)
    ]
