"""Causes and remarks: the closed family of what a diagnosis finds, one class a kind.

They hold names, addresses and rules, no sentences. `diagnosis.sentences` renders each.
"""

from __future__ import annotations

from enum import Enum, auto

from attrs import frozen

from cnmsim.observe.trace.hops import Hop


class Cause:
    """Base of all causes, and of the facts that they are made of."""

    __slots__ = ()


class Remark:
    """Base of further facts that are worth knowing."""

    __slots__ = ()


class Fact(Cause, Enum):
    """The causes that need no names: what they are says all."""

    SAME_STACK = auto()  # the packet did not leave the network stack of its sender
    ROUTED_PATH = auto()  # machines in between routed the packet, and none rewrote it
    ONE_LINK = auto()  # both are neighbours on one link
    GOSSIP_PENDING = auto()  # gossip has not spread yet
    DEFAULT_BRIDGE_HAS_NO_NAMES = auto()  # the default bridge has no embedded resolver
    NAME_UNKNOWN = auto()  # nothing in the lab has the name
    NO_UPSTREAM_USABLE = auto()  # no network of the container leads out, so its resolver asks no upstream server
    SUBNET_NOT_FIXED = auto()  # Docker chose the subnet, so that no address in it can be asked for
    BRIDGE_ONLY = auto()  # only stations on the bridge may send there
    CONTAINER_ADDRESS_FROM_OUTSIDE = auto()  # a container's own address is not reachable from outside its host
    OPERATOR_RULE = auto()  # the rule is in DOCKER-USER
    OUTPUT_RULE = auto()  # the packet was filtered before it left its sender
    NFTABLES_POLICY = auto()  # Docker's rules are in nftables, and a policy of iptables dropped what they accept
    CHAINS_WIPED = auto()  # Docker's chains are missing
    NO_RULE_ACCEPTS = auto()  # no rule accepts the packet


@frozen
class Drop:
    """Where a message was dropped; `replier` is its sender if it was a reply, else ""."""

    hop: Hop
    replier: str = ""


# ---- success


@frozen
class Answered(Cause):
    """The server answered."""

    server: str
    endpoint: str
    path: Cause | None = None
    is_echo: bool = False


@frozen
class DatagramReceived(Cause):
    """The server received a datagram and sent nothing back."""

    server: str
    endpoint: str
    path: Cause | None = None


@frozen
class ByProxy(Cause):
    """docker-proxy carried the connection."""

    host: str


@frozen
class DestinationRewritten(Cause):
    """A NAT rule rewrote the destination."""

    place: str
    rule: str


@frozen
class SourceRewritten(Cause):
    """A NAT rule rewrote the source."""

    place: str
    rule: str


@frozen
class SharedNetwork(Cause):
    """Both are attached to one network."""

    network: str


@frozen
class OwnHost(Cause):
    """The destination is the host of the container."""

    container: str


# ---- refusals


@frozen
class Refused(Cause):
    """A refusal came back, and no drop shows from whom."""

    endpoint: str


@frozen
class NothingListens(Cause):
    """The server is alive and no program listens; with `has_no_port` on no port at all."""

    server: str
    endpoint: str
    has_no_port: bool = False


@frozen
class ListensOnLoopback(Cause):
    """The program listens on the loopback address only."""

    server: str
    endpoint: str
    listener: str


@frozen
class ListensElsewhere(Cause):
    """Programs listen on that port at other addresses."""

    server: str
    endpoint: str
    listeners: tuple[str, ...]


@frozen
class ListensByOtherProtocol(Cause):
    """A program listens on that port by the other transport protocol."""

    server: str
    endpoint: str
    protocol: str
    port: int
    other: str


@frozen
class ListensOnOtherPorts(Cause):
    """Programs listen on other ports."""

    server: str
    endpoint: str
    listeners: tuple[str, ...]


@frozen
class LocalhostIsItself(Cause):
    """localhost inside a container is the container itself."""

    name: str
    container: str
    port: int


@frozen
class PublishedOnLoopback(Cause):
    """The port is published on the loopback address of the host only."""

    endpoint: str
    port: int
    host: str
    address: str


@frozen
class PublishedForOtherFamily(Cause):
    """The port is published on addresses of the other family only."""

    endpoint: str
    container: str
    port: int
    host: str
    addresses: tuple[str, ...]
    family: int


@frozen
class PublishedAsOtherPort(Cause):
    """The container's port is published as another port of the host."""

    host: str
    endpoint: str
    container: str
    port: int
    host_port: int


@frozen
class PublisherNotRunning(Cause):
    """The container that publishes the port does not run."""

    host: str
    endpoint: str
    container: str
    status: str


@frozen
class ListenerNotPublished(Cause):
    """A container listens on that port and does not publish it."""

    host: str
    endpoint: str
    container: str


@frozen
class OtherPortsPublished(Cause):
    """Nothing is published on that port; `published` are ports with their containers."""

    host: str
    endpoint: str
    published: tuple[tuple[int, str], ...]


# ---- swarm services


@frozen
class HostKnowsNoServices(Cause):
    """The resolver of a host does not resolve names of services."""

    service: str


@frozen
class ServiceHasNoNetwork(Cause):
    """The service is attached to no network that resolves names."""

    service: str
    source: str
    networks: tuple[str, ...]


@frozen
class NoSharedServiceNetwork(Cause):
    """Container and service share no network; `closed` is one that is not attachable, else ""."""

    source: str
    networks: tuple[str, ...]
    service: str
    service_networks: tuple[str, ...]
    closed: str = ""


class TaskStatus(Enum):
    """Why no task of a service runs."""

    SCALED_TO_ZERO = auto()
    NONE = auto()
    PENDING = auto()
    NEW = auto()
    NODE_DOWN = auto()
    STARTING = auto()
    OTHER = auto()


@frozen
class NoRunningTask(Cause):
    """No task of a service runs.

    `detail` is the error of its task, the networks without a free address, or the node that is down; `state` the
    state of the task; `stale` the VXLAN device that keeps it from starting.
    """

    service: str
    status: TaskStatus
    detail: str = ""
    state: str = ""
    stale: VniTaken | None = None


@frozen
class PortOfService(Cause):
    """A service without running task publishes the port."""

    host: str
    port: int
    service: str
    reason: Cause


@frozen
class PublishedOnNodesOfTasks(Cause):
    """The port is published in mode host: on the nodes that run a task only."""

    host: str
    port: int
    service: str
    nodes: tuple[str, ...]


@frozen
class NoRoutingMesh(Cause):
    """The node's rules are written with nftables, which leaves the routing mesh out."""

    host: str
    port: int


@frozen
class NotInSwarm(Cause):
    """The host is not a member of the swarm whose service publishes the port."""

    host: str
    service: str
    port: int


@frozen
class BalancerHasNoTask(Cause):
    """A load balancer has no real server for a service."""

    place: str
    service: str
    reason: Cause | None = None


@frozen
class ConnectionForgotten(Cause):
    """IPVS has dropped its entry of an idle connection."""

    place: str
    service: str
    idle_s: int


# ---- what a node has not learnt by gossip


@frozen
class ServiceUnknown(Cause):
    """A node knows no task of a service that runs on others."""

    host: str
    service: str
    network: str
    nodes: tuple[str, ...]


@frozen
class PortMissingInMesh(Cause):
    """The routing mesh of a node lacks the port of a service."""

    host: str
    port: int
    service: str
    nodes: tuple[str, ...]


@frozen
class OverlayNeighbourUnknown(Cause):
    """The VXLAN device of a node has no entry for a container on another one."""

    host: str
    address: str
    device: str
    network: str
    owner: str
    owner_host: str


@frozen
class NotLearnt(Cause):
    """What a node does not know, and why gossip has not brought it."""

    unknown: Cause
    reason: Cause


@frozen
class MemberHalted(Cause):
    """A member was started and does not take part in the swarm."""

    host: str
    obstacle: str


@frozen
class GossipFiltered(Cause):
    """A packet filter rule drops gossip."""

    rule: str
    host: str


@frozen
class GossipSilent(Cause):
    """A node receives no gossip from another one."""

    host: str
    other: str


# ---- overlay networks


@frozen
class TunnelPacket:
    """An outer packet: the nodes that exchange it, the network it carries, its UDP port before encryption."""

    sender: str
    receiver: str
    network: str
    port: int
    is_encrypted: bool = False
    is_reply: bool = False


@frozen
class TunnelFiltered(Cause):
    """A packet filter dropped the outer packet."""

    packet: TunnelPacket
    drop: Drop


@frozen
class TunnelTooLong(Cause):
    """The outer packet exceeds an MTU (0: unknown) by its headers of `header` bytes."""

    packet: TunnelPacket
    where: str
    mtu: int
    header: int


@frozen
class TunnelWithoutKeys(Cause):
    """The receiver has no IPsec state for the outer packet."""

    packet: TunnelPacket
    drop: Drop


@frozen
class TunnelSourceUnexpected(Cause):
    """The outer source address is not the data path address of the sender."""

    packet: TunnelPacket
    receiver: str
    used: str
    expected: str
    peer: str


@frozen
class TunnelPortClosed(Cause):
    """No VXLAN device of the receiver has the UDP port."""

    packet: TunnelPacket
    place: str


@frozen
class TunnelLost(Cause):
    """The outer packet was lost."""

    packet: TunnelPacket
    drop: Drop


@frozen
class TunnelIntoSilence(Cause):
    """The outer packets leave a node and none arrives."""

    host: str
    end: str
    network: str


@frozen
class OverlayAddressUnknown(Cause):
    """No running container of an overlay network has the address."""

    host: str
    address: str
    device: str
    network: str


@frozen
class OverlayHoldsHostAddress(Cause):
    """The subnet of an overlay network contains the address of a host."""

    address: str
    owner: str
    network: str
    host: str
    device: str


@frozen
class VniTaken(Cause):
    """A VXLAN device of a host has the VNI of an overlay network."""

    host: str
    device: str
    vni: int
    network: str


# ---- routes


@frozen
class NoRoute(Cause):
    """A machine has no route to an address."""

    place: str
    address: str
    is_ipv6: bool = False


@frozen
class NoIpv6Route(Cause):
    """The networks of a container have no IPv6."""

    container: str
    address: str


@frozen
class ReplyHasNoRoute(Cause):
    """A router has no route for the reply, because the request was not masqueraded."""

    place: str
    address: str
    host: str
    container: str


@frozen
class NotAttached(Cause):
    """The container is attached to no network."""

    container: str
    address: str


@frozen
class ContainerNetworkUnknown(Cause):
    """Only the host of a container has a route to its network."""

    source: str
    address: str
    host: str
    container: str


@frozen
class InternalNetworksOnly(Cause):
    """All networks of a container are internal."""

    container: str
    networks: tuple[str, ...]


@frozen
class Dropped(Cause):
    """A drop that the reason of the kernel explains."""

    drop: Drop


@frozen
class RouteRefuses(Cause):
    """A route or a routing rule of type unreachable, blackhole or prohibit decided."""

    drop: Drop
    is_rule: bool


@frozen
class ForwardingOff(Cause):
    """A machine does not forward."""

    place: str
    key: str
    is_reply: bool


@frozen
class RoutingLoop(Cause):
    """Machines forward the packet to each other; `routes` are the places with the route that each chose."""

    place: str
    routes: tuple[tuple[str, str], ...]


@frozen
class LinkDown(Cause):
    """An interface of the source is down."""

    device: str
    source: str


@frozen
class NoAddress(Cause):
    """The source has no address."""

    source: str


@frozen
class NarrowMask(Cause):
    """The mask of the source excludes a neighbour on the same link."""

    source: str
    subnet: str
    own: str
    address: str
    neighbour: str
    neighbour_subnet: str


@frozen
class SilentGateway(Cause):
    """The gateway of a route does not answer; `replier` is the sender if the packet was a reply."""

    place: str
    address: str
    route: str
    gateway: str
    replier: str = ""


@frozen
class ConntrackFull(Cause):
    """The connection table is full."""

    place: str
    limit: str


@frozen
class MulticastNotForwarded(Cause):
    """The address is that of a multicast group."""

    address: str
    source: str
    device: str
    route: str
    place: str


# ---- links


@frozen
class NeighbourSilent(Cause):
    """No station has the address."""

    place: str
    address: str
    device: str
    is_known_address: bool = False


@frozen
class AddressHidden(Cause):
    """The subnet of a Docker network contains the address of another machine."""

    place: str
    address: str
    owner: str
    network: str
    owner_name: str


@frozen
class HostOff(Cause):
    """The machine with the address has no power or no cable."""

    place: str
    address: str
    device: str
    host: str


@frozen
class NextHopSilent(Cause):
    """The next hop to an address does not answer."""

    place: str
    device: str
    address: str


@frozen
class FrameLost(Cause):
    """An ARP or neighbour discovery message was lost."""

    packet: str
    where: str
    why: str


@frozen
class ParentAndChild(Cause):
    """A host and a macvlan or ipvlan child of its own interface."""

    guest: str
    kind: str
    host: str
    parent: str


@frozen
class SiblingsIsolated(Cause):
    """Two children of one interface, whose mode keeps them apart."""

    one: str
    other: str
    parent: str
    kind: str
    mode: str


@frozen
class IpvlanWithoutArp(Cause):
    """A container on a routed ipvlan network answers no ARP."""

    container: str
    mode: str
    host: str


@frozen
class IpvlanRouteMissing(Cause):
    """A router has no route to a routed ipvlan network."""

    place: str
    subnet: str
    mode: str
    host: str
    is_reply: bool = False


@frozen
class DifferentVlans(Cause):
    """Two stations on one wire are in different VLANs (0: untagged)."""

    one: str
    device: str
    vlan: int
    other: str
    other_device: str
    other_vlan: int


@frozen
class PortSecurity(Cause):
    """A switch port refuses frames with an unknown source MAC."""

    device: str
    place: str
    sender: str
    why: str


@frozen
class VlanMissing(Cause):
    """A port or a machine does not have the VLAN of a frame."""

    where: str
    why: str


@frozen
class ModeIsolates(Cause):
    """The mode of a device forbids frames to a sibling."""

    where: str
    why: str


# ---- packet filters


@frozen
class Filtered(Cause):
    """A packet filter dropped or rejected the packet; `purpose` is what its rule is for."""

    drop: Drop
    purpose: Cause | None = None


@frozen
class NoSharedNetwork(Cause):
    """Two containers share no network."""

    source: str
    networks: tuple[str, ...]
    other: str
    other_networks: tuple[str, ...]


@frozen
class OtherNetworkAddress(Cause):
    """The address is that of the container on a network that the source is not on."""

    address: str
    container: str
    source: str


@frozen
class InternalNetwork(Cause):
    """The network is internal; `stranger` is the container that is not on it, else ""."""

    network: str
    stranger: str = ""


@frozen
class IccDisabled(Cause):
    """Inter-container communication is disabled on the network."""

    network: str


@frozen
class LoopbackOnly(Cause):
    """The port is published on 127.0.0.1."""

    place: str


@frozen
class ProtectsHost(Cause):
    """The firewall filters what is sent to the host itself."""

    place: str


@frozen
class OtherRuleSet(Cause):
    """The rule is in tables that neither Docker writes nor iptables lists."""

    place: str
    is_legacy: bool


# ---- other drops


@frozen
class StraySegment(Cause):
    """A segment belongs to no connection."""

    place: str
    packet: str


# ---- names


@frozen
class ResolverAnswered(Cause):
    """What a name server answered for a name, and why."""

    server: str
    result: str
    name: str
    reason: Cause | None = None


@frozen
class UpstreamNotReached(Cause):
    """The query to an upstream server was dropped."""

    servers: tuple[str, ...]
    drop: Drop


@frozen
class UpstreamResult(Cause):
    """What the embedded resolver noted about its own query."""

    note: str


@frozen
class NameServerSilent(Cause):
    """No name server answered; `reason` says why it would not have known the name."""

    servers: tuple[str, ...]
    reason: Cause | None = None


@frozen
class QueryDropped(Cause):
    """The query was dropped."""

    source: str
    servers: tuple[str, ...]
    drop: Drop


@frozen
class NameServerUnusable(Cause):
    """The source's socket returned an error."""

    source: str
    servers: tuple[str, ...]
    error: str


@frozen
class ContainerStopped(Cause):
    """The container does not run."""

    container: str
    status: str


@frozen
class HostKnowsNoContainers(Cause):
    """The resolver of a host does not resolve names of containers."""

    container: str


@frozen
class SharesStack(Cause):
    """The container lives in the network stack of its host or of another container."""

    container: str
    owner: str
    is_host: bool


@frozen
class NoNetwork(Cause):
    """The container has no network."""

    container: str


@frozen
class NoDockerNetwork(Cause):
    """The source has no network with an embedded resolver."""

    source: str


@frozen
class SameNameOnOtherHost(Cause):
    """Two hosts have bridge networks of one name."""

    container: str
    host: str
    network: str
    source_host: str


@frozen
class NotByThatName(Cause):
    """The container is not known under that name on a network of the source."""

    container: str
    source: str


@frozen
class OtherAddressInHostsFile(Cause):
    """The hosts file gives the name another address; `cause` is what came of it."""

    cause: Cause
    name: str
    address: str
    source: str
    owner: str
    owner_address: str


# ---- outcomes without a drop


@frozen
class DroppedWithError(Cause):
    """A drop that was reported to the source by an ICMP error."""

    cause: Cause
    reporter: str
    packet: str


@frozen
class IcmpErrorReceived(Cause):
    """An ICMP error came back."""

    reporter: str
    packet: str


@frozen
class StackError(Cause):
    """The source's own stack returned an error."""

    source: str
    error: str


@frozen
class ReceivedWithoutReply(Cause):
    """The request was received and never answered."""

    place: str


@frozen
class NothingAnswered(Cause):
    """Nothing answered, and nothing was dropped."""

    endpoint: str
    where: str
    what: str


@frozen
class OtherMachinesAddress(Cause):
    """Another machine than the one meant has the address, and answered."""

    source: str
    address: str
    target: str


# ---- refusals of an engine


@frozen
class PortHeldByContainer(Cause):
    """A container has the port."""

    container: str
    host: str
    port: int
    protocol: str
    address: str


@frozen
class PortHeldByProgram(Cause):
    """A program of the host listens on the port."""

    program: str
    host: str
    listener: str


@frozen
class PoolsExhausted(Cause):
    """Networks use all default address pools of a host; `examples` are some of them with their subnets."""

    host: str
    count: int
    examples: tuple[str, ...]


@frozen
class SubnetOverlaps(Cause):
    """The subnet overlaps that of a network."""

    subnet: str
    network: str
    network_subnet: str
    host: str


@frozen
class NetworkInUse(Cause):
    """Containers are attached to the network."""

    network: str
    containers: tuple[str, ...]


@frozen
class AddressHeld(Cause):
    """A container has the address."""

    container: str
    host: str
    address: str


@frozen
class BridgeFull(Cause):
    """A bridge has as many ports as the kernel allows."""

    bridge: str
    host: str
    ports: int


# ---- remarks


@frozen
class ClientSeenAs(Remark):
    """The server sees another source address than the client has."""

    server: str
    seen: str
    own: str


@frozen
class RuleNotVisited(Remark):
    """A published port does not pass INPUT, where the rule is."""

    rule: str
    host: str


@frozen
class ServerPaused(Remark):
    """The server is paused."""

    server: str
    protocol: str


@frozen
class LateSuccess(Remark):
    """Only a retransmission came through."""

    tries: int
    seconds: int
    cause: Cause


@frozen
class NameShared(Remark):
    """Containers of different services have one name; `owners` are their names with addresses."""

    name: str
    count: int
    owners: tuple[str, ...]


@frozen
class LookupQueries(Remark):
    """The queries of a lookup that took several."""

    queries: tuple[str, ...]
    is_failure: bool = False


@frozen
class ProxyClosed(Remark):
    """docker-proxy accepted the connection and closed it when the container refused."""

    host: str
    server: str


@frozen
class VirtualAddress(Remark):
    """The address is the virtual one of a service."""

    address: str
    service: str
    tasks: int
    idle_s: int


@frozen
class ConnectionReused(Remark):
    """IPVS sent a new connection to the task of an earlier one ("": unknown)."""

    place: str
    port: int
    source: str
    task: str
    sysctl: str


@frozen
class TunnelMtuTooSmall(Remark):
    """The path of a tunnel has a smaller MTU than its network needs."""

    network: str
    inner_mtu: int
    header: int
    where: str
    mtu: int


@frozen
class AddressClaimedTwice(Remark):
    """Two stations claim one address."""

    address: str
    one: str
    other: str


@frozen
class NodeDown(Remark):
    """The managers hold a node for down, because it is halted or a rule drops its heartbeats."""

    host: str
    obstacle: str
    rule: str
    rule_host: str
