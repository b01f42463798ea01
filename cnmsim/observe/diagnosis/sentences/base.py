"""The renderer of sentences, helpers for parts that sentences share, and the sentences that are templates."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch

from cnmsim.observe.diagnosis import causes
from cnmsim.observe.diagnosis.causes import Drop, Fact, TunnelPacket
from cnmsim.observe.fixes import changes


@singledispatch
def sentence(value: object) -> str:
    """Render a cause, a remark or a change as a sentence without a full stop.

    Raises `KeyError` if there is no sentence for the type of `value`.
    """
    return _TEMPLATES[value if isinstance(value, Fact) else type(value)].format(value)


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


_TEMPLATES: dict[object, str] = {
    Fact.SAME_STACK: "it never left its own network stack",
    Fact.ROUTED_PATH: "routed all the way",
    Fact.ONE_LINK: "they are neighbours on one wire",
    Fact.GOSSIP_PENDING: "it comes by gossip, which has not arrived yet",
    Fact.DEFAULT_BRIDGE_HAS_NO_NAMES: "the default bridge has no names, its containers use the host's name server",
    Fact.OTHER_IP_VERSION: "the name exists, but has no address of that IP version",
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
        "{0.container} is on ipvlan in mode {0.mode}, which answers no ARP: {0.host} routes for it"
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
    causes.ProfileInactive: "service {0.service} is not started: its profile {0.profile} is not active",
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
#: Sentences for tasks that only a person can do; `0` and `1` are the task's `subject` and `other`.
