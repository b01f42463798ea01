"""The sentences of a diagnosis: every cause, remark and change rendered for people.

Nothing else in the package writes these sentences, and nothing reads them back: verdicts, causes and fixes are values.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch

from attrs import evolve

from cnmsim.kernel.events import DropReason
from cnmsim.observe.diagnosis import causes
from cnmsim.observe.diagnosis.causes import Drop, TaskStatus, TunnelPacket
from cnmsim.observe.fixes import changes
from cnmsim.observe.fixes.changes import Change, ContainerOption, NetworkSetting, Task, steps_of
from cnmsim.observe.fixes.commands import commands_of, network_option, publish_option

#: Published ports that a sentence lists at most.
_MANY = 4
#: Changes that the advice of a finding names at most.
_ALTERNATIVES = 2


@singledispatch
def sentence(value: object) -> str:
    """Render a cause, a remark or a change as a sentence without its full stop."""
    raise TypeError(f"{type(value).__name__} has no sentence")


def advice(alternatives: Sequence[Change]) -> str:
    """Render changes that may help as alternatives, the first of them only."""
    return ", or ".join(dict.fromkeys(sentence(change) for change in alternatives[:_ALTERNATIVES]))


# ---- parts of sentences


def _dropped(drop: Drop, verb: str = "dropped") -> str:
    """Return `the answer from web is dropped on node1 by filter FORWARD: …`."""
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


@sentence.register(causes.ByProxy)
def _(cause: causes.ByProxy) -> str:
    return f"docker-proxy on {cause.host} carries it: a second connection starts there"


@sentence.register(causes.DestinationRewritten)
def _(cause: causes.DestinationRewritten) -> str:
    return f"{cause.place} rewrote the destination by {cause.rule}"


@sentence.register(causes.SourceRewritten)
def _(cause: causes.SourceRewritten) -> str:
    return f"{cause.place} rewrote the source by {cause.rule}"


@sentence.register(causes.SameStack)
def _(cause: causes.SameStack) -> str:
    del cause
    return "it never left its own network stack"


@sentence.register(causes.SharedNetwork)
def _(cause: causes.SharedNetwork) -> str:
    return f"both are on network {cause.network}"


@sentence.register(causes.OwnHost)
def _(cause: causes.OwnHost) -> str:
    return f"it is the host {cause.container} runs on"


@sentence.register(causes.RoutedPath)
def _(cause: causes.RoutedPath) -> str:
    del cause
    return "routed all the way"


@sentence.register(causes.OnOneLink)
def _(cause: causes.OnOneLink) -> str:
    del cause
    return "they are neighbours on one wire"


# ---- refusals


@sentence.register(causes.Refused)
def _(cause: causes.Refused) -> str:
    return f"{cause.endpoint} answered with a refusal"


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


@sentence.register(causes.LocalhostIsItself)
def _(cause: causes.LocalhostIsItself) -> str:
    return f"{cause.name} inside {cause.container} is {cause.container} itself, and nothing listens on port {cause.port} there"


@sentence.register(causes.PublishedOnLoopback)
def _(cause: causes.PublishedOnLoopback) -> str:
    return (
        f"nothing listens on {cause.endpoint}: port {cause.port} of {cause.host} is published on {cause.address} only"
    )


@sentence.register(causes.PublishedForOtherFamily)
def _(cause: causes.PublishedForOtherFamily) -> str:
    return (
        f"nothing listens on {cause.endpoint}: {cause.container} publishes port {cause.port} of {cause.host} on "
        f"{' and '.join(cause.addresses)} only, which is no IPv{cause.family} address"
    )


@sentence.register(causes.PublishedAsOtherPort)
def _(cause: causes.PublishedAsOtherPort) -> str:
    return f"{_silent(cause.host, cause.endpoint)}; {cause.container}'s port {cause.port} is published as {cause.host_port}"


@sentence.register(causes.PublisherNotRunning)
def _(cause: causes.PublisherNotRunning) -> str:
    return f"{_silent(cause.host, cause.endpoint)}: {cause.container}, which publishes the port, is not running ({cause.status})"


@sentence.register(causes.ListenerNotPublished)
def _(cause: causes.ListenerNotPublished) -> str:
    return f"{_silent(cause.host, cause.endpoint)}; {cause.container} does, and does not publish it"


@sentence.register(causes.OtherPortsPublished)
def _(cause: causes.OtherPortsPublished) -> str:
    ports = ", ".join(f"{port} ({name})" for port, name in cause.published[:_MANY])
    more = ", …" if len(cause.published) > _MANY else ""
    return f"{_silent(cause.host, cause.endpoint)}; published there: {ports}{more}"


# ---- swarm services


@sentence.register(causes.HostKnowsNoServices)
def _(cause: causes.HostKnowsNoServices) -> str:
    return f"the resolver of a host resolves no services, and {cause.service} is a service of the swarm"


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
                f"{begin}: its task is new, and waits for an address on {detail or 'its networks'} (the virtual address, every task, "
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
    return f"{_silent(cause.host, f'port {cause.port}')} there: it is published by service {cause.service}; {sentence(cause.reason)}"


@sentence.register(causes.PublishedOnNodesOfTasks)
def _(cause: causes.PublishedOnNodesOfTasks) -> str:
    return (
        f"{_silent(cause.host, f'port {cause.port}')} there: service {cause.service} publishes it in mode host, only on the nodes "
        f"that run one of its tasks ({', '.join(cause.nodes)})"
    )


@sentence.register(causes.NoRoutingMesh)
def _(cause: causes.NoRoutingMesh) -> str:
    return (
        f"{_silent(cause.host, f'port {cause.port}')} there: with --firewall-backend=nftables {cause.host} has no chain DOCKER-FORWARD, "
        "and publishes no port of the routing mesh"
    )


@sentence.register(causes.NotInSwarm)
def _(cause: causes.NotInSwarm) -> str:
    return f"{cause.host} is not in the swarm whose service {cause.service} publishes port {cause.port}"


@sentence.register(causes.BalancerHasNoTask)
def _(cause: causes.BalancerHasNoTask) -> str:
    text = f"{cause.place} refuses: it has no task of service {cause.service} to send it to"
    return text + (f"; {sentence(cause.reason)}" if cause.reason is not None else "")


@sentence.register(causes.ConnectionForgotten)
def _(cause: causes.ConnectionForgotten) -> str:
    service = f"service {cause.service}" if cause.service else "the service"
    return (
        f"{cause.place} resets the connection to {service}: IPVS has no entry for it any more (it drops one that is idle for "
        f"{cause.idle_s} s, and within 120 s one that was closed), and accepts only a SYN for a new one"
    )


@sentence.register(causes.ServiceUnknown)
def _(cause: causes.ServiceUnknown) -> str:
    return f"{cause.host} has not heard of service {cause.service} on {cause.network} (its tasks are on {', '.join(cause.nodes)})"


@sentence.register(causes.PortMissingInMesh)
def _(cause: causes.PortMissingInMesh) -> str:
    return (
        f"{_silent(cause.host, f'port {cause.port}')} there: the routing mesh of {cause.host} has no port for service {cause.service}, "
        f"which runs on {', '.join(cause.nodes)}"
    )


@sentence.register(causes.OverlayNeighbourUnknown)
def _(cause: causes.OverlayNeighbourUnknown) -> str:
    return (
        f"{cause.host} does not know where {cause.address} is: {cause.device} of network {cause.network} has no neighbour or FDB entry "
        f"for it ({cause.owner} on {cause.owner_host})"
    )


@sentence.register(causes.NotLearnt)
def _(cause: causes.NotLearnt) -> str:
    return f"{sentence(cause.unknown)}: {sentence(cause.reason)}"


@sentence.register(causes.MemberHalted)
def _(cause: causes.MemberHalted) -> str:
    return f"{cause.host} takes no part in the swarm: {cause.obstacle}"


@sentence.register(causes.GossipFiltered)
def _(cause: causes.GossipFiltered) -> str:
    return f"nodes learn this by gossip, and {cause.rule} on {cause.host} keeps port 7946 shut"


@sentence.register(causes.GossipSilent)
def _(cause: causes.GossipSilent) -> str:
    return f"nodes learn this by gossip, and {cause.host} receives none from {cause.other}"


@sentence.register(causes.GossipPending)
def _(cause: causes.GossipPending) -> str:
    del cause
    return "it comes by gossip, which has not arrived yet"


# ---- overlay networks


@sentence.register(causes.TunnelFiltered)
def _(cause: causes.TunnelFiltered) -> str:
    more = "; a firewall that lists ports only drops ESP" if cause.packet.is_encrypted else ""
    return f"{_packet(cause.packet)} is {_dropped(evolve(cause.drop, replier=''))}{more}"


@sentence.register(causes.TunnelTooLong)
def _(cause: causes.TunnelTooLong) -> str:
    limit = f", which carries {cause.mtu} bytes" if cause.mtu else ""
    return (
        f"{_packet(cause.packet)} is too long for {cause.where}{limit}: {cause.header} bytes of headers come on top of what the "
        "container sends"
    )


@sentence.register(causes.TunnelWithoutKeys)
def _(cause: causes.TunnelWithoutKeys) -> str:
    return f"{_packet(cause.packet)} is {_dropped(evolve(cause.drop, replier=''))}: {cause.drop.hop.what}"


@sentence.register(causes.TunnelSourceUnexpected)
def _(cause: causes.TunnelSourceUnexpected) -> str:
    sender = cause.packet.sender
    return (
        f"{_packet(cause.packet)} is dropped by {cause.receiver}: it comes from {cause.used}, and {cause.receiver} accepts frames of that "
        f"MAC from {cause.expected or 'another address'} only, the data path address with which {sender} joined; routes choose the outer "
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


@sentence.register(causes.TunnelIntoSilence)
def _(cause: causes.TunnelIntoSilence) -> str:
    return (
        f"what {cause.host} sends to {cause.end} for network {cause.network} leaves, and nothing of it arrives: {cause.end} is cut off or "
        f"has no power, and the tables of {cause.host} still lead there"
    )


@sentence.register(causes.OverlayAddressUnknown)
def _(cause: causes.OverlayAddressUnknown) -> str:
    return (
        f"{cause.host} does not know where {cause.address} is: {cause.device} of network {cause.network} has no neighbour or FDB entry "
        "for it, and no running container has that address"
    )


@sentence.register(causes.OverlayHoldsHostAddress)
def _(cause: causes.OverlayHoldsHostAddress) -> str:
    return (
        f"{cause.address} is {cause.owner}, a host, but the subnet of network {cause.network} holds that address too: {cause.host} looks "
        f"for {cause.owner} in the tunnel {cause.device}, and never answers it"
    )


@sentence.register(causes.VniTaken)
def _(cause: causes.VniTaken) -> str:
    return f"device {cause.device} of {cause.host} has VNI {cause.vni}, which is that of network {cause.network}"


# ---- routes


@sentence.register(causes.NoRoute)
def _(cause: causes.NoRoute) -> str:
    return f"{cause.place} has no {'IPv6 ' if cause.is_ipv6 else ''}route to {cause.address}"


@sentence.register(causes.NoIpv6Route)
def _(cause: causes.NoIpv6Route) -> str:
    return f"{cause.container} has no IPv6 route to {cause.address}: its networks have no IPv6"


@sentence.register(causes.ReplyHasNoRoute)
def _(cause: causes.ReplyHasNoRoute) -> str:
    return (
        f"the answer is lost: {cause.place} has no route to {cause.address}, and {cause.host} let that address of {cause.container} out "
        "untranslated"
    )


@sentence.register(causes.NotAttached)
def _(cause: causes.NotAttached) -> str:
    return f"{cause.container} has no route to {cause.address}: it is attached to no network"


@sentence.register(causes.ContainerNetworkUnknown)
def _(cause: causes.ContainerNetworkUnknown) -> str:
    return f"{cause.source} has no route to {cause.address}: only {cause.host} knows the network of {cause.container}"


@sentence.register(causes.InternalNetworksOnly)
def _(cause: causes.InternalNetworksOnly) -> str:
    return f"{cause.container} has no default route: {_networks(cause.networks)} is internal and leads nowhere else"


@sentence.register(causes.RouteRefuses)
def _(cause: causes.RouteRefuses) -> str:
    what = "that rule" if cause.is_rule else "the route there"
    return f"{_dropped(cause.drop)}: {what} is meant to refuse"


@sentence.register(causes.ForwardingOff)
def _(cause: causes.ForwardingOff) -> str:
    return (
        f"{'the answer' if cause.is_reply else 'it'} stops on {cause.place}: IP forwarding is disabled there ({cause.key} = 0), before "
        "any chain is traversed"
    )


@sentence.register(causes.ReversePath)
def _(cause: causes.ReversePath) -> str:
    return f"{_dropped(cause.drop)}: a packet from {cause.drop.hop.source_text} should not come in by {cause.drop.hop.device}"


@sentence.register(causes.Martian)
def _(cause: causes.Martian) -> str:
    hop = cause.drop.hop
    return f"{_dropped(cause.drop)}: {hop.source_text} > {hop.destination_text} has no business on {hop.device}"


@sentence.register(causes.TtlExceeded)
def _(cause: causes.TtlExceeded) -> str:
    return f"{_dropped(cause.drop)}: its TTL ran out"


@sentence.register(causes.RoutingLoop)
def _(cause: causes.RoutingLoop) -> str:
    places = [place for place, _ in cause.routes]
    routes = "; ".join(f"{place} by {route}" for place, route in cause.routes)
    return f"it goes round between {' and '.join(places)} until its TTL runs out on {cause.place}: {routes}"


@sentence.register(causes.TooBig)
def _(cause: causes.TooBig) -> str:
    return f"{_dropped(cause.drop)}: {cause.drop.hop.what}"


@sentence.register(causes.LinkDown)
def _(cause: causes.LinkDown) -> str:
    return f"{cause.device} of {cause.source} is down, and the routes by it are gone with it"


@sentence.register(causes.NoAddress)
def _(cause: causes.NoAddress) -> str:
    return f"{cause.source} has no address: none was given to it by hand or by DHCP"


@sentence.register(causes.NarrowMask)
def _(cause: causes.NarrowMask) -> str:
    return (
        f"{cause.source} has only {cause.subnet} on its link (its address is {cause.own}), and {cause.address} of {cause.neighbour}, "
        f"whose network is {cause.neighbour_subnet}, is outside of it"
    )


@sentence.register(causes.SilentGateway)
def _(cause: causes.SilentGateway) -> str:
    subject = f"the answer from {cause.replier}" if cause.replier else "it"
    return (
        f"{subject} stops on {cause.place}: the route to {cause.address} there, {cause.route}, leads to {cause.gateway}, and nobody on that "
        "wire answers for the address"
    )


@sentence.register(causes.ConntrackFull)
def _(cause: causes.ConntrackFull) -> str:
    return f"the connection table of {cause.place} is full ({cause.limit}): it accepts no packet of a new connection"


@sentence.register(causes.MulticastNotForwarded)
def _(cause: causes.MulticastNotForwarded) -> str:
    by = f" by {cause.device} ({cause.route})" if cause.route else ""
    return (
        f"{cause.address} is a multicast address: {cause.source} sends it{by}, it stops on {cause.place}, and no router or tunnel of "
        "Docker carries it on"
    )


# ---- links


@sentence.register(causes.NeighbourSilent)
def _(cause: causes.NeighbourSilent) -> str:
    known = "" if cause.is_known_address else "; no running container or host has that address"
    return f"{cause.place} asked for {cause.address} on {cause.device or 'its link'} and nobody answered{known}"


@sentence.register(causes.AddressHidden)
def _(cause: causes.AddressHidden) -> str:
    return (
        f"{cause.place} looks for {cause.address}, which is {cause.owner}, on its own network {cause.network}: the network's subnet "
        f"contains that address, and its route is preferred to the one that leads to {cause.owner_name}"
    )


@sentence.register(causes.HostOff)
def _(cause: causes.HostOff) -> str:
    return (
        f"{cause.place} asked for {cause.address} on {cause.device or 'its link'}, and {cause.host}, which has that address, has no power or "
        "no cable"
    )


@sentence.register(causes.NextHopSilent)
def _(cause: causes.NextHopSilent) -> str:
    return (
        f"{cause.place} asked on {cause.device or 'its link'} and nobody answered for the next hop to {cause.address}"
    )


@sentence.register(causes.FrameLost)
def _(cause: causes.FrameLost) -> str:
    return f"{cause.packet} is lost at {cause.where}: {cause.why}"


@sentence.register(causes.LinkDropped)
def _(cause: causes.LinkDropped) -> str:
    return f"lost at {cause.drop.hop.where}: {_reason(cause.drop)}"


@sentence.register(causes.LinkLost)
def _(cause: causes.LinkLost) -> str:
    hop = cause.drop.hop
    return (
        f"{_answer(cause.drop)}lost at {hop.where}: {hop.decision}"
        if hop.decision
        else f"lost on the link at {hop.where}, which loses packets"
    )


@sentence.register(causes.ParentAndChild)
def _(cause: causes.ParentAndChild) -> str:
    return (
        f"{cause.guest} is {_article(cause.kind)} child of {cause.host}'s {cause.parent}, and a parent and its children never hear each "
        "other: what either sends leaves by the wire"
    )


@sentence.register(causes.SiblingsIsolated)
def _(cause: causes.SiblingsIsolated) -> str:
    how = (
        "keeps its containers apart"
        if cause.mode == "private"
        else "leaves it to the switch to send frames back, and this one does not"
    )
    return f"{cause.one} and {cause.other} are both on {cause.parent}, and {cause.kind} mode {cause.mode} {how}"


@sentence.register(causes.IpvlanWithoutArp)
def _(cause: causes.IpvlanWithoutArp) -> str:
    return f"{cause.container} is on ipvlan in mode {cause.mode}, which answers no ARP: its host {cause.host} routes for it"


@sentence.register(causes.IpvlanRouteMissing)
def _(cause: causes.IpvlanRouteMissing) -> str:
    return (
        f"{'the answer is lost: ' if cause.is_reply else ''}{cause.place} has no route to {cause.subnet}, an ipvlan network in mode "
        f"{cause.mode} of {cause.host}"
    )


@sentence.register(causes.DifferentVlans)
def _(cause: causes.DifferentVlans) -> str:
    return (
        f"{cause.one}'s {cause.device} is in {_vlan(cause.vlan)}, {cause.other}'s {cause.other_device} in {_vlan(cause.other_vlan)}: they "
        "are different networks on one wire"
    )


@sentence.register(causes.PortSecurity)
def _(cause: causes.PortSecurity) -> str:
    return f"the port of {cause.device} on {cause.place} refuses frames from {cause.sender}: {cause.why}, as public clouds and hypervisors do"


@sentence.register(causes.VlanMissing)
def _(cause: causes.VlanMissing) -> str:
    return f"lost at {cause.where}: {cause.why}"


@sentence.register(causes.ModeIsolates)
def _(cause: causes.ModeIsolates) -> str:
    return f"dropped on {cause.where}: {cause.why}"


# ---- packet filters


@sentence.register(causes.Filtered)
def _(cause: causes.Filtered) -> str:
    verb = "rejected" if cause.drop.hop.reason is DropReason.NETFILTER_REJECT else "dropped"
    separator = "; " if isinstance(cause.purpose, causes.NoSharedNetwork) else ""
    purpose = f"{separator}{sentence(cause.purpose)}" if cause.purpose is not None else ""
    return _dropped(cause.drop, verb) + purpose


@sentence.register(causes.BridgeOnly)
def _(purpose: causes.BridgeOnly) -> str:
    del purpose
    return ": only stations on that bridge may send there"


@sentence.register(causes.NoSharedNetwork)
def _(purpose: causes.NoSharedNetwork) -> str:
    return (
        f"the two share no network ({purpose.source} is on {_networks(purpose.networks)}, {purpose.other} on "
        f"{_networks(purpose.other_networks)})"
    )


@sentence.register(causes.OtherNetworkAddress)
def _(purpose: causes.OtherNetworkAddress) -> str:
    return f"; {purpose.address} is {purpose.container} on a network {purpose.source} is not on"


@sentence.register(causes.ContainerAddressFromOutside)
def _(purpose: causes.ContainerAddressFromOutside) -> str:
    del purpose
    return "; a container's own address cannot be reached from outside its host"


@sentence.register(causes.InternalNetwork)
def _(purpose: causes.InternalNetwork) -> str:
    stranger = f", and {purpose.stranger} is not on it" if purpose.stranger else ""
    return f"; {purpose.network} is internal: nothing enters or leaves it{stranger}"


@sentence.register(causes.IccDisabled)
def _(purpose: causes.IccDisabled) -> str:
    return f"; containers on {purpose.network} may not talk to each other (icc is false)"


@sentence.register(causes.LoopbackOnly)
def _(purpose: causes.LoopbackOnly) -> str:
    return f"; the port is published on 127.0.0.1, for {purpose.place} itself only"


@sentence.register(causes.OperatorRule)
def _(purpose: causes.OperatorRule) -> str:
    del purpose
    return "; a rule in DOCKER-USER, which Docker leaves to the operator"


@sentence.register(causes.ProtectsHost)
def _(purpose: causes.ProtectsHost) -> str:
    return f"; the firewall of {purpose.place} filters what comes to the host itself"


@sentence.register(causes.OutputRule)
def _(purpose: causes.OutputRule) -> str:
    del purpose
    return ", before it left"


@sentence.register(causes.OtherRuleSet)
def _(purpose: causes.OtherRuleSet) -> str:
    listing = "iptables-legacy -S" if purpose.is_legacy else "nft list ruleset"
    return f": {purpose.place} has more than one rule set, a packet must pass all, and only {listing} lists the one that dropped it"


@sentence.register(causes.NftablesPolicy)
def _(purpose: causes.NftablesPolicy) -> str:
    del purpose
    return ": Docker's rules are in nftables here, and what they accept iptables may still drop"


@sentence.register(causes.ChainsWiped)
def _(purpose: causes.ChainsWiped) -> str:
    del purpose
    return ": none of Docker's chains is there any more, a reload of the firewall wiped them"


@sentence.register(causes.NoRuleAccepts)
def _(purpose: causes.NoRuleAccepts) -> str:
    del purpose
    return ": no rule accepts it"


# ---- other drops


@sentence.register(causes.NatExhausted)
def _(cause: causes.NatExhausted) -> str:
    return f"{_dropped(cause.drop)}: no free port is left for address translation"


@sentence.register(causes.NoVirtualDestination)
def _(cause: causes.NoVirtualDestination) -> str:
    return f"{_dropped(cause.drop, 'refused')}: {cause.drop.hop.what}"


@sentence.register(causes.StraySegment)
def _(cause: causes.StraySegment) -> str:
    return f"{cause.place} answers {cause.packet} with a reset: it belongs to no connection there"


@sentence.register(causes.Ipv6Disabled)
def _(cause: causes.Ipv6Disabled) -> str:
    return f"{_dropped(cause.drop)}: IPv6 is disabled on {cause.drop.hop.device}"


@sentence.register(causes.PlainDrop)
def _(cause: causes.PlainDrop) -> str:
    return f"{_dropped(cause.drop)}: {_reason(cause.drop)}"


# ---- names


@sentence.register(causes.ResolverAnswered)
def _(cause: causes.ResolverAnswered) -> str:
    if cause.reason is None:
        reason = ""
    elif isinstance(cause.reason, causes.UpstreamNotReached | causes.UpstreamResult | causes.NoUpstreamUsable):
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


@sentence.register(causes.NoUpstreamUsable)
def _(cause: causes.NoUpstreamUsable) -> str:
    del cause
    return "it asked no other server, for no network of the container leads out"


@sentence.register(causes.NameServerSilent)
def _(cause: causes.NameServerSilent) -> str:
    why = f" (and would know no container): {sentence(cause.reason)}" if cause.reason is not None else ""
    return f"{_servers(cause.servers)} gave no answer{why}"


@sentence.register(causes.QueryDropped)
def _(cause: causes.QueryDropped) -> str:
    hop = cause.drop.hop
    if hop.reason is DropReason.PORT_CLOSED:
        return (
            f"{cause.source} asks {_servers(cause.servers)} for names, and no name server listens there ({hop.place})"
        )
    by = f" by {hop.decision}" if hop.decision else ""
    return (
        f"{_servers(cause.servers)} gave no answer: the query was dropped on {hop.place}{by} ({_reason(cause.drop)})"
    )


@sentence.register(causes.NameServerUnusable)
def _(cause: causes.NameServerUnusable) -> str:
    return f"{cause.source} cannot ask its name server {_servers(cause.servers)}: {cause.error}"


@sentence.register(causes.ContainerStopped)
def _(cause: causes.ContainerStopped) -> str:
    return f"{cause.container} is not running ({cause.status})"


@sentence.register(causes.HostKnowsNoContainers)
def _(cause: causes.HostKnowsNoContainers) -> str:
    return f"a host's resolver knows no container names, and {cause.container} is a container"


@sentence.register(causes.SharesStack)
def _(cause: causes.SharesStack) -> str:
    if cause.is_host:
        return f"{cause.container} uses the network stack of its host {cause.owner}, and has no name there"
    return f"{cause.container} uses the network stack of {cause.owner}, and has no name of its own"


@sentence.register(causes.NoNetwork)
def _(cause: causes.NoNetwork) -> str:
    return f"{cause.container} has no network (network_mode none)"


@sentence.register(causes.NoDockerNetwork)
def _(cause: causes.NoDockerNetwork) -> str:
    return f"{cause.source} uses no Docker network, so no resolver of Docker's"


@sentence.register(causes.DefaultBridgeHasNoNames)
def _(cause: causes.DefaultBridgeHasNoNames) -> str:
    del cause
    return "the default bridge has no names, its containers ask the host's name server"


@sentence.register(causes.SameNameOnOtherHost)
def _(cause: causes.SameNameOnOtherHost) -> str:
    return (
        f"{cause.container} runs on {cause.host}, and network {cause.network} of {cause.host} is not network {cause.network} of "
        f"{cause.source_host}: a bridge ends at its host"
    )


@sentence.register(causes.NotByThatName)
def _(cause: causes.NotByThatName) -> str:
    return f"{cause.container} exists, but not under that name on a network of {cause.source}"


@sentence.register(causes.NameUnknown)
def _(cause: causes.NameUnknown) -> str:
    del cause
    return "no container, service or host has that name"


@sentence.register(causes.OtherAddressInHostsFile)
def _(cause: causes.OtherAddressInHostsFile) -> str:
    return (
        f"{sentence(cause.cause)}; {cause.name} is {cause.address} by the hosts file of {cause.source}, while {cause.owner} has "
        f"{cause.owner_address}"
    )


# ---- outcomes without a drop


@sentence.register(causes.DroppedWithError)
def _(cause: causes.DroppedWithError) -> str:
    return f"{sentence(cause.cause)}; {cause.reporter} answers with {cause.packet}"


@sentence.register(causes.IcmpErrorReceived)
def _(cause: causes.IcmpErrorReceived) -> str:
    return f"{cause.reporter} answers with {cause.packet}"


@sentence.register(causes.StackError)
def _(cause: causes.StackError) -> str:
    return f"{cause.source}'s own network stack says: {cause.error}"


@sentence.register(causes.ReceivedWithoutReply)
def _(cause: causes.ReceivedWithoutReply) -> str:
    return f"{cause.place} received it, and no answer ever came"


@sentence.register(causes.NothingAnswered)
def _(cause: causes.NothingAnswered) -> str:
    where = f" (last seen at {cause.where}: {cause.what})" if cause.where else ""
    return f"nothing answered from {cause.endpoint}{where}"


@sentence.register(causes.OtherMachinesAddress)
def _(cause: causes.OtherMachinesAddress) -> str:
    return f"from {cause.source}, {cause.address} is another machine's address: {cause.target} got nothing"


# ---- refusals of an engine


@sentence.register(causes.PortHeldByContainer)
def _(cause: causes.PortHeldByContainer) -> str:
    return f"container {cause.container} on {cause.host} has port {cause.port}/{cause.protocol} on {cause.address or 'every address'}"


@sentence.register(causes.PortHeldByProgram)
def _(cause: causes.PortHeldByProgram) -> str:
    return f"{cause.program or 'a program'} of {cause.host} itself listens on {cause.listener}"


@sentence.register(causes.PoolsExhausted)
def _(cause: causes.PoolsExhausted) -> str:
    return f"{cause.count} networks hold all default pools of {cause.host}: {', '.join(cause.examples)}, …"


@sentence.register(causes.SubnetOverlaps)
def _(cause: causes.SubnetOverlaps) -> str:
    return f"{cause.subnet} overlaps network {cause.network} ({cause.network_subnet}) of {cause.host}"


@sentence.register(causes.NetworkInUse)
def _(cause: causes.NetworkInUse) -> str:
    is_many = len(cause.containers) > 1
    return f"container{'s' * is_many} {', '.join(cause.containers)} {'are' if is_many else 'is'} on network {cause.network}"


@sentence.register(causes.AddressHeld)
def _(cause: causes.AddressHeld) -> str:
    return (
        f"container {cause.container} on {cause.host} has {cause.address}: addresses are given out from the lowest on"
    )


@sentence.register(causes.BridgeFull)
def _(cause: causes.BridgeFull) -> str:
    return f"{cause.bridge} of {cause.host} has {cause.ports:,} ports, and the kernel gives a bridge no more"


@sentence.register(causes.SubnetNotFixed)
def _(cause: causes.SubnetNotFixed) -> str:
    del cause
    return "the network's subnet was chosen by Docker, and would be another one after it is made anew"


# ---- remarks


@sentence.register(causes.ClientSeenAs)
def _(remark: causes.ClientSeenAs) -> str:
    return f"{remark.server} sees the client as {remark.seen}, not as {remark.own}"


@sentence.register(causes.RuleNotVisited)
def _(remark: causes.RuleNotVisited) -> str:
    return (
        f"{remark.rule} on {remark.host} was never visited: a published port goes through FORWARD, not INPUT; filter it in DOCKER-USER, or "
        "publish it on 127.0.0.1"
    )


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
        f"{remark.count} containers answer to the name {remark.name}: {', '.join(remark.owners)}; which of them is asked changes from one "
        "lookup to the next"
    )


@sentence.register(causes.LookupQueries)
def _(remark: causes.LookupQueries) -> str:
    queries = "; ".join(remark.queries)
    return f"asked: {queries}" if remark.is_failure else f"the name took {len(remark.queries)} queries: {queries}"


@sentence.register(causes.ProxyClosed)
def _(remark: causes.ProxyClosed) -> str:
    return f"docker-proxy on {remark.host} accepted the connection and closed it when {remark.server} refused"


@sentence.register(causes.VirtualAddress)
def _(remark: causes.VirtualAddress) -> str:
    return (
        f"{remark.address} is the virtual address of service {remark.service}, balanced over {remark.tasks} task{'s' * (remark.tasks != 1)}; "
        f"a connection idle for {remark.idle_s} s is forgotten"
    )


@sentence.register(causes.ConnectionReused)
def _(remark: causes.ConnectionReused) -> str:
    return (
        f"{remark.place} does not balance this connection: it sends port {remark.port} of {remark.source} to "
        f"{remark.task or 'the task it had before'} for 120 s after the last connection from that port was closed ({remark.sysctl}, which "
        "Docker sets)"
    )


@sentence.register(causes.TunnelMtuTooSmall)
def _(remark: causes.TunnelMtuTooSmall) -> str:
    # Outer packets may be fragmented by the machines that route them, but no switch does that.
    is_segment = remark.where.startswith("segment")
    what = "small packets pass, full ones do not" if is_segment else "full packets are fragmented"
    return (
        f"{what}: network {remark.network} has an MTU of {remark.inner_mtu}, its tunnel adds {remark.header} bytes, and {remark.where} carries "
        f"{remark.mtu}; set com.docker.network.driver.mtu={remark.mtu} on the network"
    )


@sentence.register(causes.AddressClaimedTwice)
def _(remark: causes.AddressClaimedTwice) -> str:
    return (
        f"two stations claim {remark.address}: {remark.one} and {remark.other}; which of them is reached is chance: keep the network's "
        "--ip-range clear of what a DHCP server or an operator gives out"
    )


@sentence.register(causes.NodeDown)
def _(remark: causes.NodeDown) -> str:
    rule = f" ({remark.rule} on {remark.rule_host})" if remark.rule else ""
    why = remark.obstacle or f"no heartbeat of it comes through to port 2377{rule}"
    return f"the managers hold {remark.host} for down: {why}"


# ---- changes


@sentence.register(Change)
def _(change: Change) -> str:
    """Render a change by the commands for it; those of a host's own programs name the host."""
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


@sentence.register(changes.RebindProgram)
def _(change: changes.RebindProgram) -> str:
    return f"let the program in {change.container} bind 0.0.0.0 instead of {change.address}"


@sentence.register(changes.RecreateContainer)
def _(change: changes.RecreateContainer) -> str:
    name = change.container
    return {
        ContainerOption.NO_DNS: f"run {name} without --dns",
        ContainerOption.NO_EXTRA_HOSTS: f"remove that name from the extra_hosts (--add-host) of {name}",
        ContainerOption.BRIDGE_NETWORK: f"start {name} on a network instead of none: a container in network_mode none can not join another",
    }[change.option]


@sentence.register(changes.ConnectNetwork)
def _(change: changes.ConnectNetwork) -> str:
    return commands_of(change)[0].line


@sentence.register(changes.RecreateNetwork)
def _(change: changes.RecreateNetwork) -> str:
    network = f"network {change.network}" if change.network else "the network"
    if change.setting is NetworkSetting.SUBNET:
        return f"create {network} with another --subnet"
    if change.setting is NetworkSetting.GATEWAY and not change.value:
        return f"create {network} with the --gateway that is there"
    option = network_option(change)
    return f"create {network} with {option}"


@sentence.register(changes.ChangeDaemonOption)
def _(change: changes.ChangeDaemonOption) -> str:
    return f'give the daemon of {change.host} "{change.option}": {change.value}'


@sentence.register(changes.RestartDaemon)
def _(change: changes.RestartDaemon) -> str:
    return f"restart Docker on {change.host}, and always after the firewall: it installs its rules again"


@sentence.register(changes.AddRule)
def _(change: changes.AddRule) -> str:
    return f"accept it on {change.host}: {commands_of(change)[0].line}"


@sentence.register(changes.DeleteRule)
def _(change: changes.DeleteRule) -> str:
    return f"delete that rule on {change.host}: {commands_of(change)[0].line}"


@sentence.register(changes.SetSysctl)
def _(change: changes.SetSysctl) -> str:
    return f"sysctl -w {change.key}={change.value} on {change.host}"


@sentence.register(changes.RejoinSwarm)
def _(change: changes.RejoinSwarm) -> str:
    verb = "unlock" if change.needs_unlock else "leave and join"
    return f"docker swarm {verb} on {change.host}"


@sentence.register(changes.AddRoute)
def _(change: changes.AddRoute) -> str:
    if not change.prefix:
        return f"add a route on {change.host}"
    return f"add a route on {change.host}: {commands_of(change)[0].line}"


@sentence.register(changes.AddShimDevice)
def _(change: changes.AddShimDevice) -> str:
    return (
        f"give {change.host} a child of its own (ip link add link {change.parent} name shim0 type {change.kind} mode {change.mode}) with an "
        f"address and a route to {change.guest}"
    )


@sentence.register(changes.RepairLinks)
def _(change: changes.RepairLinks) -> str:
    del change
    return "repair the links (lab.heal())"


@sentence.register(changes.Steps)
def _(change: changes.Steps) -> str:
    *steps, last = steps_of(change)
    texts = [sentence(step) for step in steps]
    if isinstance(last, changes.AskOther):
        # Behind a change that already names the container, its own name is nothing new.
        return f"{'; '.join(texts)}, and ask {sentence(last).removeprefix('use ')}"
    return "; ".join([*texts, sentence(last)])


@sentence.register(changes.Manual)
def _(change: changes.Manual) -> str:
    return _TASKS[change.task].format(change.subject, change.other)


#: The words for what only people can do.
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
    Task.CHECK_DOMAIN: "check the spelling; if {0} is short for a longer name, ask for that, or name its domain (dns_search)",
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
    Task.USE_HOST_GATEWAY: "give the asking container extra_hosts host.docker.internal:host-gateway, and ask host.docker.internal",
    Task.USE_OVERLAY: "put both on an overlay network",
    Task.USE_SHARED_NETWORK: "start {0} on a network of {1}",
    Task.USE_SERVICE: "run {0} as a service on it",
    Task.USE_CONSTRAINTS: "let a node satisfy its constraints (docker node update), or change them: look at docker service ps --no-trunc {0}",
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
    Task.RECONNECT: "open the connection again, and see why that end forgot it (restarted, or moved to another container)",
    Task.WIDEN_PORT_RANGE: "widen net.ipv4.ip_local_port_range, or open fewer connections to one destination",
    Task.STOP_PROGRAM: "stop that program",
    Task.USE_OTHER_SUBNET: "use another subnet",
    Task.PRUNE_NETWORKS: "docker network prune",
    Task.USE_SMALLER_POOLS: 'use more and smaller default-address-pools ([{{"base": "172.20.0.0/14", "size": 24}}] makes 1,024)',
    Task.USE_IP_RANGE: "keep the addresses that you assign yourself out of --ip-range",
    Task.USE_MORE_NETWORKS: "spread the containers over more networks",
    Task.USE_FIXED_SUBNET: "create the network with --subnet",
    Task.REMOVE_CONTAINER: "docker rm -f {0}",
    Task.REMOVE_NETWORK: "docker network rm {0}",
    Task.DISCONNECT: "docker network disconnect {0} {1}",
}
