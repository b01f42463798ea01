"""Render every cause, remark and change as a sentence.

These sentences are written only here, and no code parses them: verdicts, causes and fixes are values.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch

from attrs import evolve

from cnmsim.engine.standins.knownport import KnownPort, PortSource
from cnmsim.kernel.events import DropReason
from cnmsim.observe.diagnosis import causes
from cnmsim.observe.diagnosis.causes import Drop, Fact, TaskStatus, TunnelPacket, UpstreamNotReached, UpstreamResult
from cnmsim.observe.fixes import changes
from cnmsim.observe.fixes.changes import Change, ContainerOption, NetworkSetting, Task, steps_of
from cnmsim.observe.fixes.commands import commands_of, network_option, publish_option

#: The maximum number of published ports that a sentence lists.
_MANY = 4
#: The maximum number of alternative changes that the advice of a finding contains.
ALTERNATIVES = 2


@singledispatch
def sentence(value: object) -> str:
    """Render a cause, a remark or a change as a sentence without full stop.

    Raises `KeyError` if there is no sentence for the value.
    """
    return _TEMPLATES[value if isinstance(value, Fact) else type(value)].format(value)


# ---- parts of sentences


def _dropped(drop: Drop, verb: str = "dropped") -> str:
    """Return where and by which rule a packet was dropped; `verb` may also be `rejected` or `refused`.

    Example: `the answer from web is dropped on node1 by filter FORWARD: …`.
    """
    by = f" by {drop.hop.decision}" if drop.hop.decision else ""
    return f"{_answer(drop)}{verb} on {drop.hop.place}{by}"


def _answer(drop: Drop) -> str:
    return f"the answer from {drop.replier} is " if drop.replier else ""


def _reason(drop: Drop) -> str:
    return drop.hop.reason.value if drop.hop.reason is not None else drop.hop.what


def _networks(names: Sequence[str]) -> str:
    return " and ".join(names) if names else "no network"


def _servers(servers: Sequence[str]) -> str:
    return ", ".join(servers) or "its name server"


def _packet(packet: TunnelPacket) -> str:
    kind = "ESP packet (IP protocol 50)" if packet.is_encrypted else f"VXLAN packet (UDP port {packet.port})"
    subject = "the answer: its" if packet.is_reply else "the"
    return f"{subject} {kind} from {packet.sender} to {packet.receiver} that carries network {packet.network}"


def _silent(host: str, endpoint: str) -> str:
    return f"{host} answers, but nothing listens on {endpoint}"


def _vlan(vlan: int) -> str:
    return f"VLAN {vlan}" if vlan else "no VLAN (untagged)"


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeio" else f"a {kind}"


# ---- programs that are not simulated

_SOURCES = {
    PortSource.USER: "stated by {0.evidence}",
    PortSource.COMMAND: "its command has {0.evidence}",
    PortSource.ENTRYPOINT: "its entrypoint has {0.evidence}",
    PortSource.ENVIRONMENT: "its environment has {0.evidence}",
    PortSource.HEALTH_CHECK: "its health check uses {0.evidence}",
    PortSource.EXPOSE: "it is exposed",
    PortSource.PORTS: "it is published",
    PortSource.REFERENCE: "{0.evidence} names it",
    PortSource.CATALOGUE: "as the image {0.evidence} does",
}


def _source(port: KnownPort) -> str:
    return _SOURCES[port.source].format(port)


@sentence.register(causes.PathOpen)
def _(cause: causes.PathOpen) -> str:
    known = f"; it is known to listen on {', '.join(cause.known)}" if cause.known else ""
    return (
        f"the packets arrive at {cause.server} ({cause.endpoint}); {cause.program} is not simulated, and whether it "
        f"listens there is not known{known}"
    )


@sentence.register(causes.ListenerAssumed)
def _(assumption: causes.ListenerAssumed) -> str:
    at = f" of {assumption.port.address}" if assumption.port.address else ""
    return (
        f"{assumption.program} in {assumption.server} listens on {assumption.port}{at} "
        f"({_source(assumption.port)}; the program is not simulated)"
    )


@sentence.register(causes.InternetAssumed)
def _(assumption: causes.InternetAssumed) -> str:
    return (
        f"{assumption.destination} exists and answers ({assumption.server} stands for every public name and address; "
        "--offline: for none)"
    )


@sentence.register(causes.NoOtherListenerAssumed)
def _(assumption: causes.NoOtherListenerAssumed) -> str:
    ports = ", ".join(f"{port} ({_source(port)})" for port in assumption.ports)
    return (
        f"{assumption.program} in {assumption.server} listens on {f'{ports} only' if ports else 'no port'}; "
        "the program is not simulated"
    )


@sentence.register(causes.StateListener)
def _(remark: causes.StateListener) -> str:
    return (
        f"if {remark.service} listens on {remark.port}, state it: --listen {remark.service}:{remark.port}, "
        f"or x-cnmsim: {{listens: [{remark.port}]}} in the file"
    )


# ---- success


@sentence.register(causes.Answered)
def _(cause: causes.Answered) -> str:
    verb = "answers the echo request" if cause.is_echo else "answers"
    path = f"; {sentence(cause.path)}" if cause.path is not None else ""
    return f"{cause.server} {verb} at {cause.endpoint}{path}"


@sentence.register(causes.DatagramReceived)
def _(cause: causes.DatagramReceived) -> str:
    path = f"; {sentence(cause.path)}" if cause.path is not None else ""
    return f"{cause.server} received the datagram at {cause.endpoint} and, as UDP programs may, said nothing{path}"


# ---- refusals


@sentence.register(causes.NothingListens)
def _(cause: causes.NothingListens) -> str:
    return _silent(cause.server, cause.endpoint) + (", nor on any other port" if cause.has_no_port else "")


@sentence.register(causes.ListensOnLoopback)
def _(cause: causes.ListensOnLoopback) -> str:
    return f"{_silent(cause.server, cause.endpoint)} (a program listens on {cause.listener} only)"


@sentence.register(causes.ListensElsewhere)
def _(cause: causes.ListensElsewhere) -> str:
    return f"{_silent(cause.server, cause.endpoint)} (only on {', '.join(cause.listeners)})"


@sentence.register(causes.ListensByOtherProtocol)
def _(cause: causes.ListensByOtherProtocol) -> str:
    return f"{_silent(cause.server, cause.endpoint)} by {cause.protocol}; it listens on {cause.port}/{cause.other}"


@sentence.register(causes.ListensOnOtherPorts)
def _(cause: causes.ListensOnOtherPorts) -> str:
    return f"{_silent(cause.server, cause.endpoint)}; it listens on {', '.join(cause.listeners)}"


@sentence.register(causes.PublishedOnInternalNetworks)
def _(cause: causes.PublishedOnInternalNetworks) -> str:
    networks = ", ".join(cause.networks)
    return (
        f"nothing listens on {cause.endpoint}: {cause.container} is to publish that port, but is on internal "
        f"networks only ({networks}), and Docker publishes no ports there"
    )


@sentence.register(causes.PublishedForOtherFamily)
def _(cause: causes.PublishedForOtherFamily) -> str:
    return (
        f"nothing listens on {cause.endpoint}: {cause.container} publishes port {cause.port} of {cause.host} on "
        f"{' and '.join(cause.addresses)} only, which is no IPv{cause.family} address"
    )


@sentence.register(causes.PublishedAsOtherPort)
def _(cause: causes.PublishedAsOtherPort) -> str:
    return (
        f"{_silent(cause.host, cause.endpoint)}; {cause.container}'s port {cause.port} is published as "
        f"{cause.host_port}"
    )


@sentence.register(causes.PublisherNotRunning)
def _(cause: causes.PublisherNotRunning) -> str:
    return (
        f"{_silent(cause.host, cause.endpoint)}: {cause.container}, which publishes the port, is not running "
        f"({cause.status})"
    )


@sentence.register(causes.ListenerNotPublished)
def _(cause: causes.ListenerNotPublished) -> str:
    return f"{_silent(cause.host, cause.endpoint)}; {cause.container} does, and does not publish it"


@sentence.register(causes.OtherPortsPublished)
def _(cause: causes.OtherPortsPublished) -> str:
    ports = ", ".join(f"{port} ({name})" for port, name in cause.published[:_MANY])
    more = ", …" if len(cause.published) > _MANY else ""
    return f"{_silent(cause.host, cause.endpoint)}; published there: {ports}{more}"


# ---- swarm services


@sentence.register(causes.ServiceHasNoNetwork)
def _(cause: causes.ServiceHasNoNetwork) -> str:
    return f"service {cause.service} is on no network with names, and {cause.source} on {_networks(cause.networks)}"


@sentence.register(causes.NoSharedServiceNetwork)
def _(cause: causes.NoSharedServiceNetwork) -> str:
    closed = f"; {cause.closed} is not attachable: only services may join it" if cause.closed else ""
    return (
        f"the two share no network ({cause.source} is on {_networks(cause.networks)}, service {cause.service} on "
        f"{_networks(cause.service_networks)}){closed}"
    )


@sentence.register(causes.NoRunningTask)
def _(cause: causes.NoRunningTask) -> str:
    name, detail = cause.service, cause.detail
    begin = f"service {name} has no running task"
    match cause.status:
        case TaskStatus.SCALED_TO_ZERO:
            return f"service {name} has no task: it is scaled to 0"
        case TaskStatus.NONE:
            return begin
        case TaskStatus.PENDING:
            return f"{begin}: its task is pending ({detail or 'it waits for a node'})"
        case TaskStatus.NEW:
            return (
                f"{begin}: its task is new, and waits for an address on {detail or 'its networks'} (the virtual "
                "address, every task, "
                "and the load balancer of every node use one)"
            )
        case TaskStatus.NODE_DOWN:
            return f"{begin}: {detail}, where its task was, is down"
        case TaskStatus.STARTING:
            return f"{begin}: its task is starting, and gets no traffic as its health check has not passed yet"
    text = f"{begin}: its task is {cause.state}" + (f" ({detail})" if detail else "")
    if cause.stale is not None:
        text += f": {sentence(cause.stale)}"
    return text


@sentence.register(causes.PortOfService)
def _(cause: causes.PortOfService) -> str:
    return (
        f"{_silent(cause.host, f'port {cause.port}')} there: it is published by service {cause.service}; "
        f"{sentence(cause.reason)}"
    )


@sentence.register(causes.PublishedOnNodesOfTasks)
def _(cause: causes.PublishedOnNodesOfTasks) -> str:
    return (
        f"{_silent(cause.host, f'port {cause.port}')} there: service {cause.service} publishes it in mode host, "
        "only on the nodes "
        f"that run one of its tasks ({', '.join(cause.nodes)})"
    )


@sentence.register(causes.NoRoutingMesh)
def _(cause: causes.NoRoutingMesh) -> str:
    return (
        f"{_silent(cause.host, f'port {cause.port}')} there: with --firewall-backend=nftables {cause.host} has no "
        "chain DOCKER-FORWARD, "
        "and publishes no port of the routing mesh"
    )


@sentence.register(causes.BalancerHasNoTask)
def _(cause: causes.BalancerHasNoTask) -> str:
    text = f"{cause.place} refuses: it has no task of service {cause.service} to send it to"
    return text + (f"; {sentence(cause.reason)}" if cause.reason is not None else "")


@sentence.register(causes.ConnectionForgotten)
def _(cause: causes.ConnectionForgotten) -> str:
    service = f"service {cause.service}" if cause.service else "the service"
    return (
        f"{cause.place} resets the connection to {service}: IPVS has no entry for it any more (it drops one that "
        "is idle for "
        f"{cause.idle_s} s, and within 120 s one that was closed), and accepts only a SYN for a new one"
    )


@sentence.register(causes.ServiceUnknown)
def _(cause: causes.ServiceUnknown) -> str:
    return (
        f"{cause.host} has not heard of service {cause.service} on {cause.network} (its tasks are on "
        f"{', '.join(cause.nodes)})"
    )


@sentence.register(causes.PortMissingInMesh)
def _(cause: causes.PortMissingInMesh) -> str:
    return (
        f"{_silent(cause.host, f'port {cause.port}')} there: the routing mesh of {cause.host} has no port for "
        f"service {cause.service}, "
        f"which runs on {', '.join(cause.nodes)}"
    )


@sentence.register(causes.NotLearnt)
def _(cause: causes.NotLearnt) -> str:
    return f"{sentence(cause.unknown)}: {sentence(cause.reason)}"


# ---- overlay networks


@sentence.register(causes.TunnelFiltered)
def _(cause: causes.TunnelFiltered) -> str:
    more = "; a firewall that lists ports only drops ESP" if cause.packet.is_encrypted else ""
    return f"{_packet(cause.packet)} is {_dropped(evolve(cause.drop, replier=''))}{more}"


@sentence.register(causes.TunnelTooLong)
def _(cause: causes.TunnelTooLong) -> str:
    limit = f", which carries {cause.mtu} bytes" if cause.mtu else ""
    return (
        f"{_packet(cause.packet)} is too long for {cause.where}{limit}: {cause.header} bytes of headers come on "
        "top of what the "
        "container sends"
    )


@sentence.register(causes.TunnelWithoutKeys)
def _(cause: causes.TunnelWithoutKeys) -> str:
    return f"{_packet(cause.packet)} is {_dropped(evolve(cause.drop, replier=''))}: {cause.drop.hop.what}"


@sentence.register(causes.TunnelSourceUnexpected)
def _(cause: causes.TunnelSourceUnexpected) -> str:
    sender = cause.packet.sender
    return (
        f"{_packet(cause.packet)} is dropped by {cause.receiver}: it comes from {cause.used}, and "
        f"{cause.receiver} accepts frames of that "
        f"MAC from {cause.expected or 'another address'} only, the data path address with which {sender} joined; "
        "routes choose the outer "
        f"source address, and {sender}'s route to {cause.peer} chooses {cause.used}"
    )


@sentence.register(causes.TunnelPortClosed)
def _(cause: causes.TunnelPortClosed) -> str:
    return (
        f"{_packet(cause.packet)} is not received on {cause.place}: no device has UDP port {cause.packet.port} there"
    )


@sentence.register(causes.TunnelLost)
def _(cause: causes.TunnelLost) -> str:
    hop = cause.drop.hop
    if hop.reason is DropReason.LINK_LOSS and hop.decision:
        return f"{_packet(cause.packet)} is lost at {hop.where}: {hop.decision}"
    by = f" by {hop.decision}" if hop.decision else ""
    return f"{_packet(cause.packet)} is lost at {hop.where}{by}: {_reason(cause.drop)}"


# ---- routes


@sentence.register(causes.NoRoute)
def _(cause: causes.NoRoute) -> str:
    return f"{cause.place} has no {'IPv6 ' if cause.is_ipv6 else ''}route to {cause.address}"


@sentence.register(causes.InternalNetworksOnly)
def _(cause: causes.InternalNetworksOnly) -> str:
    return f"{cause.container} has no default route: {_networks(cause.networks)} is internal and leads nowhere else"


@sentence.register(causes.Dropped)
def _(cause: causes.Dropped) -> str:
    hop = cause.drop.hop
    match hop.reason:
        case DropReason.LINK_DOWN | DropReason.NO_CARRIER:
            return f"lost at {hop.where}: {_reason(cause.drop)}"
        case DropReason.LINK_LOSS if hop.decision:
            return f"{_answer(cause.drop)}lost at {hop.where}: {hop.decision}"
        case DropReason.LINK_LOSS:
            return f"lost on the link at {hop.where}, which loses packets"
        case DropReason.NO_DESTINATION:
            return f"{_dropped(cause.drop, 'refused')}: {hop.what}"
    why = {
        DropReason.REVERSE_PATH: f"a packet from {hop.source_text} should not come in by {hop.device}",
        DropReason.MARTIAN: f"{hop.source_text} > {hop.destination_text} has no business on {hop.device}",
        DropReason.TTL_EXCEEDED: "its TTL ran out",
        DropReason.FRAGMENTATION_NEEDED: hop.what,
        DropReason.MTU_EXCEEDED: hop.what,
        DropReason.NAT_EXHAUSTED: "no free port is left for address translation",
        DropReason.IPV6_DISABLED: f"IPv6 is disabled on {hop.device}",
    }
    return f"{_dropped(cause.drop)}: {why.get(hop.reason, _reason(cause.drop)) if hop.reason else hop.what}"


@sentence.register(causes.RouteRefuses)
def _(cause: causes.RouteRefuses) -> str:
    what = "that rule" if cause.is_rule else "the route there"
    return f"{_dropped(cause.drop)}: {what} is meant to refuse"


@sentence.register(causes.ForwardingOff)
def _(cause: causes.ForwardingOff) -> str:
    return (
        f"{'the answer' if cause.is_reply else 'it'} stops on {cause.place}: IP forwarding is disabled there "
        f"({cause.key} = 0), before "
        "any chain is traversed"
    )


@sentence.register(causes.RoutingLoop)
def _(cause: causes.RoutingLoop) -> str:
    places = [place for place, _ in cause.routes]
    routes = "; ".join(f"{place} by {route}" for place, route in cause.routes)
    return f"it goes round between {' and '.join(places)} until its TTL runs out on {cause.place}: {routes}"


@sentence.register(causes.SilentGateway)
def _(cause: causes.SilentGateway) -> str:
    subject = f"the answer from {cause.replier}" if cause.replier else "it"
    return (
        f"{subject} stops on {cause.place}: the route to {cause.address} there, {cause.route}, leads to "
        f"{cause.gateway}, and no host on that link answers "
        "for the address"
    )


@sentence.register(causes.MulticastNotForwarded)
def _(cause: causes.MulticastNotForwarded) -> str:
    by = f" by {cause.device} ({cause.route})" if cause.route else ""
    return (
        f"{cause.address} is a multicast address: {cause.source} sends it{by}, it stops on {cause.place}, and no "
        "router or tunnel of "
        "Docker carries it on"
    )


# ---- links


@sentence.register(causes.NeighbourSilent)
def _(cause: causes.NeighbourSilent) -> str:
    known = "" if cause.is_known_address else "; no running container or host has that address"
    link = cause.device or "its link"
    return f"{cause.place} sent requests for {cause.address} on {link} and received no answer{known}"


@sentence.register(causes.HostOff)
def _(cause: causes.HostOff) -> str:
    return (
        f"{cause.place} sent requests for {cause.address} on {cause.device or 'its link'}, and {cause.host}, "
        "which has that address, has no power or no cable"
    )


@sentence.register(causes.NextHopSilent)
def _(cause: causes.NextHopSilent) -> str:
    return f"{cause.place} received no answer on {cause.device or 'its link'} for the next hop to {cause.address}"


@sentence.register(causes.ParentAndChild)
def _(cause: causes.ParentAndChild) -> str:
    return (
        f"{cause.guest} is {_article(cause.kind)} child of {cause.host}'s {cause.parent}, and a parent and its "
        "children never receive each "
        "other's frames: what either sends leaves by the wire"
    )


@sentence.register(causes.SiblingsIsolated)
def _(cause: causes.SiblingsIsolated) -> str:
    how = (
        "keeps its containers apart"
        if cause.mode == "private"
        else "leaves it to the switch to send frames back, and this one does not"
    )
    return f"{cause.one} and {cause.other} are both on {cause.parent}, and {cause.kind} mode {cause.mode} {how}"


@sentence.register(causes.IpvlanRouteMissing)
def _(cause: causes.IpvlanRouteMissing) -> str:
    return (
        f"{'the answer is lost: ' if cause.is_reply else ''}{cause.place} has no route to {cause.subnet}, an "
        "ipvlan network in mode "
        f"{cause.mode} of {cause.host}"
    )


@sentence.register(causes.DifferentVlans)
def _(cause: causes.DifferentVlans) -> str:
    return (
        f"{cause.one}'s {cause.device} is in {_vlan(cause.vlan)}, {cause.other}'s {cause.other_device} in "
        f"{_vlan(cause.other_vlan)}: they "
        "are different networks on one wire"
    )


# ---- packet filters


@sentence.register(causes.Filtered)
def _(cause: causes.Filtered) -> str:
    verb = "rejected" if cause.drop.hop.reason is DropReason.NETFILTER_REJECT else "dropped"
    separator = "; " if isinstance(cause.purpose, causes.NoSharedNetwork) else ""
    purpose = f"{separator}{sentence(cause.purpose)}" if cause.purpose is not None else ""
    return _dropped(cause.drop, verb) + purpose


@sentence.register(causes.NoSharedNetwork)
def _(purpose: causes.NoSharedNetwork) -> str:
    return (
        f"the two share no network ({purpose.source} is on {_networks(purpose.networks)}, {purpose.other} on "
        f"{_networks(purpose.other_networks)})"
    )


@sentence.register(causes.InternalNetwork)
def _(purpose: causes.InternalNetwork) -> str:
    stranger = f", and {purpose.stranger} is not on it" if purpose.stranger else ""
    return f"; {purpose.network} is internal: nothing enters or leaves it{stranger}"


@sentence.register(causes.OtherRuleSet)
def _(purpose: causes.OtherRuleSet) -> str:
    listing = "iptables-legacy -S" if purpose.is_legacy else "nft list ruleset"
    return (
        f": {purpose.place} has more than one rule set, a packet must pass all, and only {listing} lists the one "
        "that dropped it"
    )


# ---- names


@sentence.register(causes.ResolverAnswered)
def _(cause: causes.ResolverAnswered) -> str:
    if cause.reason is None:
        reason = ""
    elif cause.reason is Fact.NO_UPSTREAM_USABLE or isinstance(cause.reason, UpstreamNotReached | UpstreamResult):
        reason = f"; {sentence(cause.reason)}"
    else:
        reason = f": {sentence(cause.reason)}"
    return f"{cause.server} says {cause.result} for {cause.name}{reason}"


@sentence.register(causes.UpstreamNotReached)
def _(cause: causes.UpstreamNotReached) -> str:
    hop = cause.drop.hop
    how = f": the query was dropped on {hop.place} by {hop.decision}" if hop.decision else f" from {hop.place}"
    return f"its upstream {', '.join(cause.servers)} was not reached{how}"


@sentence.register(causes.UpstreamResult)
def _(cause: causes.UpstreamResult) -> str:
    return cause.note


@sentence.register(causes.NameServerSilent)
def _(cause: causes.NameServerSilent) -> str:
    why = f" (and would know no container): {sentence(cause.reason)}" if cause.reason is not None else ""
    return f"{_servers(cause.servers)} gave no answer{why}"


@sentence.register(causes.QueryDropped)
def _(cause: causes.QueryDropped) -> str:
    hop = cause.drop.hop
    if hop.reason is DropReason.PORT_CLOSED:
        return f"{cause.source} uses {_servers(cause.servers)} as name server, and none listens there ({hop.place})"
    by = f" by {hop.decision}" if hop.decision else ""
    return (
        f"{_servers(cause.servers)} gave no answer: the query was dropped on {hop.place}{by} ({_reason(cause.drop)})"
    )


@sentence.register(causes.NameServerUnusable)
def _(cause: causes.NameServerUnusable) -> str:
    return f"{cause.source} cannot ask its name server {_servers(cause.servers)}: {cause.error}"


@sentence.register(causes.SharesStack)
def _(cause: causes.SharesStack) -> str:
    if cause.is_host:
        return f"{cause.container} uses the network stack of its host {cause.owner}, and has no name there"
    return f"{cause.container} uses the network stack of {cause.owner}, and has no name of its own"


@sentence.register(causes.OtherAddressInHostsFile)
def _(cause: causes.OtherAddressInHostsFile) -> str:
    return (
        f"{sentence(cause.cause)}; {cause.name} is {cause.address} by the hosts file of {cause.source}, while "
        f"{cause.owner} has "
        f"{cause.owner_address}"
    )


# ---- outcomes without a drop


@sentence.register(causes.DroppedWithError)
def _(cause: causes.DroppedWithError) -> str:
    return f"{sentence(cause.cause)}; {cause.reporter} answers with {cause.packet}"


@sentence.register(causes.NothingAnswered)
def _(cause: causes.NothingAnswered) -> str:
    where = f" (last seen at {cause.where}: {cause.what})" if cause.where else ""
    return f"nothing answered from {cause.endpoint}{where}"


# ---- refusals of an engine


@sentence.register(causes.PortHeldByContainer)
def _(cause: causes.PortHeldByContainer) -> str:
    return (
        f"container {cause.container} on {cause.host} has port {cause.port}/{cause.protocol} on "
        f"{cause.address or 'every address'}"
    )


@sentence.register(causes.PortHeldByProgram)
def _(cause: causes.PortHeldByProgram) -> str:
    return f"{cause.program or 'a program'} of {cause.host} itself listens on {cause.listener}"


@sentence.register(causes.PoolsExhausted)
def _(cause: causes.PoolsExhausted) -> str:
    return f"{cause.count} networks hold all default pools of {cause.host}: {', '.join(cause.examples)}, …"


@sentence.register(causes.NetworkInUse)
def _(cause: causes.NetworkInUse) -> str:
    is_many = len(cause.containers) > 1
    return (
        f"container{'s' * is_many} {', '.join(cause.containers)} {'are' if is_many else 'is'} on network "
        f"{cause.network}"
    )


# ---- remarks


@sentence.register(causes.ServerPaused)
def _(remark: causes.ServerPaused) -> str:
    what = "connections" if remark.protocol == "tcp" else "datagrams"
    return f"{remark.server} is paused: its kernel accepts {what}, its program answers nothing"


@sentence.register(causes.LateSuccess)
def _(remark: causes.LateSuccess) -> str:
    return f"only try {remark.tries} came through, after {remark.seconds} s; the first one: {sentence(remark.cause)}"


@sentence.register(causes.NameShared)
def _(remark: causes.NameShared) -> str:
    return (
        f"{remark.count} containers answer to the name {remark.name}: {', '.join(remark.owners)}; which of them "
        "is asked changes from one "
        "lookup to the next"
    )


@sentence.register(causes.LookupQueries)
def _(remark: causes.LookupQueries) -> str:
    queries = "; ".join(remark.queries)
    return f"asked: {queries}" if remark.is_failure else f"the name took {len(remark.queries)} queries: {queries}"


@sentence.register(causes.VirtualAddress)
def _(remark: causes.VirtualAddress) -> str:
    return (
        f"{remark.address} is the virtual address of service {remark.service}, balanced over {remark.tasks} "
        f"task{'s' * (remark.tasks != 1)}; "
        f"a connection idle for {remark.idle_s} s is forgotten"
    )


@sentence.register(causes.ConnectionReused)
def _(remark: causes.ConnectionReused) -> str:
    return (
        f"{remark.place} does not balance this connection: it sends port {remark.port} of {remark.source} to "
        f"{remark.task or 'the task it had before'} for 120 s after the last connection from that port was closed "
        f"({remark.sysctl}, which "
        "Docker sets)"
    )


@sentence.register(causes.TunnelMtuTooSmall)
def _(remark: causes.TunnelMtuTooSmall) -> str:
    # Outer packets may be fragmented by the machines that route them, but no switch does that.
    is_segment = remark.where.startswith("segment")
    what = "small packets pass, full ones do not" if is_segment else "full packets are fragmented"
    return (
        f"{what}: network {remark.network} has an MTU of {remark.inner_mtu}, its tunnel adds {remark.header} "
        f"bytes, and {remark.where} carries "
        f"{remark.mtu}; set com.docker.network.driver.mtu={remark.mtu} on the network"
    )


@sentence.register(causes.NodeDown)
def _(remark: causes.NodeDown) -> str:
    rule = f" ({remark.rule} on {remark.rule_host})" if remark.rule else ""
    why = remark.obstacle or f"no heartbeat of it comes through to port 2377{rule}"
    return f"the managers hold {remark.host} for down: {why}"


# ---- changes


@sentence.register(Change)
def _(change: Change) -> str:
    """Render a change that has no sentence of its own by its commands.

    Commands other than docker's follow the host's name.
    """
    template = _TEMPLATES.get(type(change))
    if template is not None:
        return template.format(change)
    commands = commands_of(change)
    lines = "; ".join(command.line for command in commands)
    is_docker = all(command.line.startswith("docker ") for command in commands)
    return lines if is_docker else f"on {commands[0].place}: {lines}"


@sentence.register(changes.AskOther)
def _(change: changes.AskOther) -> str:
    place = change.host
    if change.host and change.port:
        place = f"[{change.host}]:{change.port}" if ":" in change.host else f"{change.host}:{change.port}"
    elif change.port:
        place = f"{change.protocol}/{change.port}" if change.protocol else f"port {change.port}"
    return "use the published port " + place if change.is_published else f"use {place}"


@sentence.register(changes.PublishPort)
def _(change: changes.PublishPort) -> str:
    if change.container and change.port:
        return f"publish port {change.port} of {change.container}: {publish_option(change)}"
    return f"publish the port: {publish_option(change)}"


@sentence.register(changes.RecreateContainer)
def _(change: changes.RecreateContainer) -> str:
    name = change.container
    return {
        ContainerOption.NO_DNS: f"run {name} without --dns",
        ContainerOption.NO_EXTRA_HOSTS: f"remove that name from the extra_hosts (--add-host) of {name}",
        ContainerOption.BRIDGE_NETWORK: (
            f"start {name} on a network instead of none: a container in network_mode none can not join another"
        ),
    }[change.option]


@sentence.register(changes.ConnectNetwork)
def _(change: changes.ConnectNetwork) -> str:
    return commands_of(change)[0].line


@sentence.register(changes.NewNetwork)
def _(change: changes.NewNetwork) -> str:
    return f"controller.new_network({change.network!r})"


@sentence.register(changes.JoinNetwork)
def _(change: changes.JoinNetwork) -> str:
    name = change.network or "NETWORK"
    network = name if name.isidentifier() else f"controller.network_by_name({name!r})"
    sandbox = change.sandbox if change.sandbox.isidentifier() else f"lab.sandbox({change.sandbox!r})"
    return f"{network}.create_endpoint({change.sandbox!r}).join({sandbox})"


@sentence.register(changes.RecreateNetwork)
def _(change: changes.RecreateNetwork) -> str:
    network = f"network {change.network}" if change.network else "the network"
    if change.setting is NetworkSetting.SUBNET:
        return f"create {network} with another --subnet"
    if change.setting is NetworkSetting.GATEWAY and not change.value:
        return f"create {network} with the --gateway that is there"
    option = network_option(change)
    return f"create {network} with {option}"


@sentence.register(changes.AddRule)
def _(change: changes.AddRule) -> str:
    return f"accept it on {change.host}: {commands_of(change)[0].line}"


@sentence.register(changes.DeleteRule)
def _(change: changes.DeleteRule) -> str:
    return f"delete that rule on {change.host}: {commands_of(change)[0].line}"


@sentence.register(changes.RejoinSwarm)
def _(change: changes.RejoinSwarm) -> str:
    verb = "unlock" if change.needs_unlock else "leave and join"
    return f"docker swarm {verb} on {change.host}"


@sentence.register(changes.AddRoute)
def _(change: changes.AddRoute) -> str:
    if not change.prefix:
        return f"add a route on {change.host}"
    return f"add a route on {change.host}: {commands_of(change)[0].line}"


@sentence.register(changes.Steps)
def _(change: changes.Steps) -> str:
    *steps, last = steps_of(change)
    texts = [sentence(step) for step in steps]
    if isinstance(last, changes.AskOther):
        # The commands before it name the container already, so only its name follows.
        return f"{'; '.join(texts)}, and ask {sentence(last).removeprefix('use ')}"
    return "; ".join([*texts, sentence(last)])


@sentence.register(changes.Manual)
def _(change: changes.Manual) -> str:
    return _TASKS[change.task].format(change.subject, change.other)


#: Sentences that only contain fields of their value; `0` is the value.
_TEMPLATES: dict[object, str] = {
    Fact.SAME_STACK: "it never left its own network stack",
    Fact.ROUTED_PATH: "routed all the way",
    Fact.ONE_LINK: "they are neighbours on one wire",
    Fact.GOSSIP_PENDING: "it comes by gossip, which has not arrived yet",
    Fact.DEFAULT_BRIDGE_HAS_NO_NAMES: "the default bridge has no names, its containers use the host's name server",
    Fact.NAME_UNKNOWN: "no container, service or host has that name",
    Fact.NO_UPSTREAM_USABLE: "it asked no other server, for no network of the container leads out",
    Fact.SUBNET_NOT_FIXED: (
        "the network's subnet was chosen by Docker, and would be another one after it is made anew"
    ),
    Fact.BRIDGE_ONLY: ": only stations on that bridge may send there",
    Fact.CONTAINER_ADDRESS_FROM_OUTSIDE: "; a container's own address cannot be reached from outside its host",
    Fact.OPERATOR_RULE: "; a rule in DOCKER-USER, which Docker leaves to the operator",
    Fact.OUTPUT_RULE: ", before it left",
    Fact.NFTABLES_POLICY: ": Docker's rules are in nftables here, and what they accept iptables may still drop",
    Fact.CHAINS_WIPED: ": none of Docker's chains is there any more, a reload of the firewall wiped them",
    Fact.NO_RULE_ACCEPTS: ": no rule accepts it",
    causes.ByProxy: "docker-proxy on {0.host} carries it: a second connection starts there",
    causes.DestinationRewritten: "{0.place} rewrote the destination by {0.rule}",
    causes.SourceRewritten: "{0.place} rewrote the source by {0.rule}",
    causes.SharedNetwork: "both are on network {0.network}",
    causes.OwnHost: "it is the host {0.container} runs on",
    causes.Refused: "{0.endpoint} answered with a refusal",
    causes.LocalhostIsItself: (
        "{0.name} inside {0.container} is {0.container} itself, and nothing listens on port {0.port} there"
    ),
    causes.LocalhostIsThisMachine: (
        "{0.name} on {0.machine} is {0.machine} itself, where nothing listens on port {0.port}; "
        "{0.owner} publishes it"
    ),
    causes.PublishedOnLoopback: (
        "nothing listens on {0.endpoint}: port {0.port} of {0.host} is published on {0.address} only"
    ),
    causes.HostKnowsNoServices: (
        "the resolver of a host resolves no services, and {0.service} is a service of the swarm"
    ),
    causes.NotInSwarm: "{0.host} is not in the swarm whose service {0.service} publishes port {0.port}",
    causes.OverlayNeighbourUnknown: (
        "{0.host} does not know where {0.address} is: {0.device} of network {0.network} has no neighbour or "
        "FDB entry for it ({0.owner} on {0.owner_host})"
    ),
    causes.MemberHalted: "{0.host} takes no part in the swarm: {0.obstacle}",
    causes.GossipFiltered: "nodes learn this by gossip, and {0.rule} on {0.host} keeps port 7946 shut",
    causes.GossipSilent: "nodes learn this by gossip, and {0.host} receives none from {0.other}",
    causes.TunnelIntoSilence: (
        "what {0.host} sends to {0.end} for network {0.network} leaves, and nothing of it arrives: {0.end} "
        "is cut off or has no power, and the tables of {0.host} still lead there"
    ),
    causes.OverlayAddressUnknown: (
        "{0.host} does not know where {0.address} is: {0.device} of network {0.network} has no neighbour or "
        "FDB entry for it, and no running container has that address"
    ),
    causes.OverlayHoldsHostAddress: (
        "{0.address} is {0.owner}, a host, but the subnet of network {0.network} holds that address too: "
        "{0.host} looks for {0.owner} in the tunnel {0.device}, and never answers it"
    ),
    causes.VniTaken: "device {0.device} of {0.host} has VNI {0.vni}, which is that of network {0.network}",
    causes.NoIpv6Route: "{0.container} has no IPv6 route to {0.address}: its networks have no IPv6",
    causes.ReplyHasNoRoute: (
        "the answer is lost: {0.place} has no route to {0.address}, and {0.host} let that address of "
        "{0.container} out untranslated"
    ),
    causes.NotAttached: "{0.container} has no route to {0.address}: it is attached to no network",
    causes.ContainerNetworkUnknown: (
        "{0.source} has no route to {0.address}: only {0.host} has a route to the network of {0.container}"
    ),
    causes.LinkDown: "{0.device} of {0.source} is down, and the routes by it are gone with it",
    causes.NoAddress: "{0.source} has no address: none was given to it by hand or by DHCP",
    causes.NarrowMask: (
        "{0.source} has only {0.subnet} on its link (its address is {0.own}), and {0.address} of "
        "{0.neighbour}, whose network is {0.neighbour_subnet}, is outside of it"
    ),
    causes.ConntrackFull: (
        "the connection table of {0.place} is full ({0.limit}): it accepts no packet of a new connection"
    ),
    causes.AddressHidden: (
        "{0.place} looks for {0.address}, which is {0.owner}, on its own network {0.network}: the network's "
        "subnet contains that address, and its route is preferred to the one that leads to {0.owner_name}"
    ),
    causes.FrameLost: "{0.packet} is lost at {0.where}: {0.why}",
    causes.IpvlanWithoutArp: (
        "{0.container} is on ipvlan in mode {0.mode}, which answers no ARP: its host {0.host} routes for it"
    ),
    causes.PortSecurity: (
        "the port of {0.device} on {0.place} refuses frames from {0.sender}: {0.why}, as public clouds and "
        "hypervisors do"
    ),
    causes.VlanMissing: "lost at {0.where}: {0.why}",
    causes.ModeIsolates: "dropped on {0.where}: {0.why}",
    causes.OtherNetworkAddress: "; {0.address} is {0.container} on a network {0.source} is not on",
    causes.IccDisabled: "; containers on {0.network} must not communicate (icc is false)",
    causes.LoopbackOnly: "; the port is published on 127.0.0.1, for {0.place} itself only",
    causes.ProtectsHost: "; the firewall of {0.place} filters what comes to the host itself",
    causes.StraySegment: "{0.place} answers {0.packet} with a reset: it belongs to no connection there",
    causes.ContainerStopped: "{0.container} is not running ({0.status})",
    causes.HostKnowsNoContainers: "a host's resolver has no container names, and {0.container} is a container",
    causes.NoNetwork: "{0.container} has no network (network_mode none)",
    causes.NoDockerNetwork: "{0.source} uses no Docker network, so no resolver of Docker's",
    causes.SameNameOnOtherHost: (
        "{0.container} runs on {0.host}, and network {0.network} of {0.host} is not network {0.network} of "
        "{0.source_host}: a bridge ends at its host"
    ),
    causes.NotByThatName: "{0.container} exists, but not under that name on a network of {0.source}",
    causes.IcmpErrorReceived: "{0.reporter} answers with {0.packet}",
    causes.StackError: "{0.source}'s own network stack says: {0.error}",
    causes.ReceivedWithoutReply: "{0.place} received it, and no answer ever came",
    causes.OtherMachinesAddress: "from {0.source}, {0.address} is another machine's address: {0.target} got nothing",
    causes.SubnetOverlaps: "{0.subnet} overlaps network {0.network} ({0.network_subnet}) of {0.host}",
    causes.AddressHeld: (
        "container {0.container} on {0.host} has {0.address}: addresses are given out from the lowest on"
    ),
    causes.BridgeFull: "{0.bridge} of {0.host} has {0.ports:,} ports, and the kernel gives a bridge no more",
    causes.ClientSeenAs: "{0.server} sees the client as {0.seen}, not as {0.own}",
    causes.RuleNotVisited: (
        "{0.rule} on {0.host} was never visited: a published port goes through FORWARD, not INPUT; filter it "
        "in DOCKER-USER, or publish it on 127.0.0.1"
    ),
    causes.ProxyClosed: "docker-proxy on {0.host} accepted the connection and closed it when {0.server} refused",
    causes.AddressClaimedTwice: (
        "two stations claim {0.address}: {0.one} and {0.other}; which of them is reached is chance: keep the "
        "network's --ip-range clear of what a DHCP server or an operator gives out"
    ),
    changes.RebindProgram: "let the program in {0.container} bind 0.0.0.0 instead of {0.address}",
    changes.ChangeDaemonOption: 'give the daemon of {0.host} "{0.option}": {0.value}',
    changes.RestartDaemon: "restart Docker on {0.host}, and always after the firewall: it installs its rules again",
    changes.SetSysctl: "sysctl -w {0.key}={0.value} on {0.host}",
    changes.AddShimDevice: (
        "give {0.host} a child of its own (ip link add link {0.parent} name shim0 type {0.kind} mode "
        "{0.mode}) with an address and a route to {0.guest}"
    ),
    changes.RepairLinks: "repair the links (lab.heal())",
}
#: Sentences for tasks that only people can do; `0` and `1` are the task's `subject` and `other`.
_TASKS = {
    Task.USE_NAME: "use the name instead of a remembered address: a restarted container may have another one",
    Task.USE_TASK_NAMES: "find the others by name: a service's tasks.NAME has the addresses of all its tasks",
    Task.USE_VALID_ADDRESS: "use an address that is valid on that link (127.0.0.0/8 never leaves its host)",
    Task.USE_GATEWAY_MODE: "set the network's gateway_mode to routed",
    Task.ASK_FROM_HOST: "ask from the host",
    Task.ASK_FROM_ELSEWHERE: "ask from another machine",
    Task.ASK_FROM_NETWORK: "ask from a container on its network",
    Task.ASK_FROM_SAME_NETWORK: "send from a container on the same network",
    Task.ASK_MEMBER: "ask one of {0}",
    Task.CHECK_SPELLING: "check the spelling",
    Task.CHECK_DOMAIN: (
        "check the spelling; if {0} is short for a longer name, ask for that, or name its domain (dns_search)"
    ),
    Task.CHECK_PLACE: "look at {0}",
    Task.CHECK_BEYOND: "check the path behind that point",
    Task.CHECK_PAUSED: "check that {0} is not paused",
    Task.CHECK_ROUTES: "check its routes",
    Task.CHECK_SEGMENT: "check that {0} and {1} are on one segment, and the route's gateway",
    Task.CHECK_LOOP: "look for a routing loop in the walk above",
    Task.CHECK_SERVICE: "look at docker service ps --no-trunc {0}",
    Task.CHECK_VIRTUAL_SERVICE: "look at `ipvsadm -Ln` on {0}: give the service a real server whose weight is not 0",
    Task.CHECK_HEALTH: "wait until it passes, or see why it does not: look at docker service ps --no-trunc {0}",
    Task.CHECK_DATA_PATH: "use the same data path port on all nodes, and check that {0} has network {1}",
    Task.CHANGE_RULE: "change that rule on {0}",
    Task.CHANGE_OUTPUT_RULE: "change that rule of the OUTPUT chain on {0}",
    Task.START_LISTENER: "start a program that listens there on {0}",
    Task.START_PROGRAM: "start the program that is to listen in {0}",
    Task.USE_LISTENER_NAME: "use the name of the container that listens",
    Task.PUBLISH_OTHER_ADDRESS: "publish it on another address of the host",
    Task.PUBLISH_IN_HOST_MODE: "publish the port in mode host",
    Task.PUBLISH_IN_INGRESS_MODE: "publish it in mode ingress",
    Task.PUBLISH_ANY_PORT: "publish a port of {0}",
    Task.PUBLISH_OTHER_PORT: "publish another port",
    Task.PUBLISH_ON_OPEN_NETWORK: "attach {0} to a network without --internal and publish the port there",
    Task.USE_PUBLISHED: "use one of those",
    Task.USE_LISTENED_PORT: "ask for the port that is meant, or let the program in {0} listen on this one",
    Task.USE_HOST_GATEWAY: (
        "give the source container extra_hosts host.docker.internal:host-gateway, and use host.docker.internal"
    ),
    Task.USE_OVERLAY: "put both on an overlay network",
    Task.USE_SHARED_NETWORK: "start {0} on a network of {1}",
    Task.USE_SERVICE: "run {0} as a service on it",
    Task.USE_CONSTRAINTS: (
        "let a node satisfy its constraints (docker node update), or change them: look at docker service ps "
        "--no-trunc {0}"
    ),
    Task.USE_KEEPALIVE: "send keepalives more often than every 900 s (net.ipv4.tcp_keepalive_time)",
    Task.USE_LARGER_SUBNET: "create {0} with a larger --subnet",
    Task.USE_DNS_SERVER: "name a server that can be reached (dns)",
    Task.USE_ADDRESS_POOL: "init the swarm with --default-addr-pool",
    Task.USE_DATA_PATH_ADDRESS: "have {0} join with --data-path-addr {1}",
    Task.USE_IPVLAN: "use ipvlan, whose containers share the MAC of their host",
    Task.USE_SAME_VLAN: "put both into one VLAN, or reach one from the other by a router",
    Task.USE_ROUTER: "correct the route to {0} on {1}",
    Task.USE_SYMMETRIC_ROUTE: "make the route back to {0} symmetric",
    Task.ALLOW_MAC: "let that port accept the MAC of {0}",
    Task.ALLOW_VLAN: "let that port carry the VLAN, or use another parent",
    Task.ADD_VLAN: "make an interface for that VLAN there, or use another parent",
    Task.ALLOW_GOSSIP: "let TCP and UDP port 7946 pass between {0} and {1}, both ways",
    Task.ALLOW_ESP: "let gossip (port 7946) and ESP pass between the nodes, so that {0} has the keys of its peers",
    Task.BRING_BACK: "bring {0} back",
    Task.BRING_LINK_UP: "bring the link at {0} up",
    Task.GIVE_ADDRESS: "give {0} an address on its network",
    Task.JOIN_SWARM: "let {0} join the swarm",
    Task.RAISE_MTU: "raise the MTU of {0}",
    Task.REDUCE_LOSS: "set a lower loss on that link",
    Task.REPAIR_PATH: "repair the path between the nodes at {0}",
    Task.WAIT_FOR_GOSSIP: "wait until gossip has spread (lab.settle())",
    Task.WAIT_FOR_REPLACEMENT: "wait until its tasks run elsewhere",
    Task.RECONNECT: (
        "open the connection again, and see why that end forgot it (restarted, or moved to another container)"
    ),
    Task.WIDEN_PORT_RANGE: "widen net.ipv4.ip_local_port_range, or open fewer connections to one destination",
    Task.STOP_PROGRAM: "stop that program",
    Task.USE_OTHER_SUBNET: "use another subnet",
    Task.PRUNE_NETWORKS: "docker network prune",
    Task.USE_SMALLER_POOLS: (
        'use more and smaller default-address-pools ([{{"base": "172.20.0.0/14", "size": 24}}] makes 1,024)'
    ),
    Task.USE_IP_RANGE: "keep the addresses that you assign yourself out of --ip-range",
    Task.USE_MORE_NETWORKS: "spread the containers over more networks",
    Task.USE_FIXED_SUBNET: "create the network with --subnet",
    Task.REMOVE_CONTAINER: "docker rm -f {0}",
    Task.REMOVE_NETWORK: "docker network rm {0}",
    Task.DISCONNECT: "docker network disconnect {0} {1}",
}
