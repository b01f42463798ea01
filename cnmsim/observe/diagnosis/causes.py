"""The causes and remarks that a diagnosis can return: one class for each kind.

The set is closed. Instances hold names, addresses and rules but no sentences; `diagnosis.sentences` renders them.
"""

from __future__ import annotations

from enum import Enum, auto

from attrs import frozen

from cnmsim.engine.standins.knownport import KnownPort
from cnmsim.observe.trace.hops import Hop


class Cause:
    """Base of all causes: why a probe or an Engine API call ended as it did. A cause may contain other causes."""

    __slots__ = ()


class Remark:
    """Base of all remarks: facts that did not decide the outcome but are worth reporting with it."""

    __slots__ = ()


class Assumption:
    """Base of all assumptions: what a verdict rests on that the simulation did not find out itself."""

    __slots__ = ()


class Fact(Cause, Enum):
    """The causes that need no fields, because no name, address or rule belongs to them."""

    SAME_STACK = auto()  # sender and receiver use the same network stack
    ROUTED_PATH = auto()  # the packet was only routed on its way; no NAT rule rewrote it
    ONE_LINK = auto()  # sender and receiver are neighbours on one link
    GOSSIP_PENDING = auto()  # a node lacks an entry that gossip will bring but has not delivered yet
    DEFAULT_BRIDGE_HAS_NO_NAMES = auto()  # the source is on the default bridge only, which has no embedded resolver
    NAME_UNKNOWN = auto()  # no container, service or host of the lab has the requested name
    NO_UPSTREAM_USABLE = auto()  # the embedded resolver queried no upstream: no network of the container leads out
    SUBNET_NOT_FIXED = auto()  # Docker chose the subnet, so no address in it can be requested
    BRIDGE_ONLY = auto()  # the rule accepts packets to the container only from the container's own bridge
    CONTAINER_ADDRESS_FROM_OUTSIDE = auto()  # a packet from outside the host to a container's address
    OPERATOR_RULE = auto()  # the packet was dropped by a rule in DOCKER-USER
    OUTPUT_RULE = auto()  # the packet was dropped on the sending machine itself, in an OUTPUT chain
    NFTABLES_POLICY = auto()  # Docker's nftables rules accepted the packet, an iptables policy dropped it
    CHAINS_WIPED = auto()  # Docker's chains are gone, for example after a reload of the firewall
    NO_RULE_ACCEPTS = auto()  # no rule accepted the packet, so the chain's policy dropped it


@frozen
class Drop:
    """The hop at which a message was dropped. `replier` is the sender if the message was a reply, else ""."""

    hop: Hop
    replier: str = ""


# ---- programs that are not simulated


@frozen
class PathOpen(Cause):
    """The probe arrived at `endpoint` of `server`, whose `program` is not simulated. Its listeners are not known.

    `known` are the ports on which it is known to listen, such as `8000/tcp`.
    """

    server: str
    endpoint: str
    program: str
    known: tuple[str, ...] = ()


@frozen
class ListenerAssumed(Assumption):
    """`program`, which is not simulated, listens on `port` of `server`. `port` holds the source of that knowledge."""

    server: str
    program: str
    port: KnownPort


@frozen
class NoOtherListenerAssumed(Assumption):
    """`program`, which is not simulated, listens on no other ports of `server` than `ports`."""

    server: str
    program: str
    ports: tuple[KnownPort, ...]


@frozen
class InternetAssumed(Assumption):
    """`destination`, a public name or address, exists and answers: `server` stands for the whole internet."""

    server: str
    destination: str


@frozen
class StateListener(Remark):
    """A user can state that `service` listens on a port, if it is so."""

    service: str
    port: str


# ---- success


@frozen
class Answered(Cause):
    """The server answered the probe. `path` says how the packet got there; `is_echo` marks a ping."""

    server: str
    endpoint: str
    path: Cause | None = None
    is_echo: bool = False


@frozen
class DatagramReceived(Cause):
    """The server's socket received the probe's UDP datagram, and nothing was sent back."""

    server: str
    endpoint: str
    path: Cause | None = None


@frozen
class ByProxy(Cause):
    """docker-proxy on `host` relayed the connection: it opened a second one to the container."""

    host: str


@frozen
class DestinationRewritten(Cause):
    """A NAT rule on `place` rewrote the destination address of the probe's packet (DNAT)."""

    place: str
    rule: str


@frozen
class SourceRewritten(Cause):
    """A NAT rule on `place` rewrote the source address of the probe's packet (SNAT or masquerading)."""

    place: str
    rule: str


@frozen
class SharedNetwork(Cause):
    """Source and destination are attached to the same Docker network."""

    network: str


@frozen
class OwnHost(Cause):
    """The destination is the host on which the source container runs."""

    container: str


# ---- refusals


@frozen
class Refused(Cause):
    """The probe was refused (RST or ICMP port unreachable), but no drop in the trace shows by which machine."""

    endpoint: str


@frozen
class NothingListens(Cause):
    """The server refused the packet because no program listens on the port.

    With `has_no_port` no program of the server listens on any port.
    """

    server: str
    endpoint: str
    has_no_port: bool = False


@frozen
class ListensOnLoopback(Cause):
    """The server refused the packet because its program listens on that port of the loopback address only."""

    server: str
    endpoint: str
    listener: str


@frozen
class ListensElsewhere(Cause):
    """The server refused the packet: programs listen on that port, but only at the addresses in `listeners`."""

    server: str
    endpoint: str
    listeners: tuple[str, ...]


@frozen
class ListensByOtherProtocol(Cause):
    """The server refused the packet because a program listens on that port only with the other transport protocol.

    `protocol` is the one that the probe used, `other` the one that the program uses: `tcp` or `udp`.
    """

    server: str
    endpoint: str
    protocol: str
    port: int
    other: str


@frozen
class ListensOnOtherPorts(Cause):
    """The server refused the packet because its programs listen only on other ports, given in `listeners`."""

    server: str
    endpoint: str
    listeners: tuple[str, ...]


@frozen
class LocalhostIsItself(Cause):
    """A program in a container tried to reach another machine by `localhost`, which is the container itself."""

    name: str
    container: str
    port: int


@frozen
class LocalhostIsThisMachine(Cause):
    """A program on a machine used `localhost`, which is that machine, for a port that `owner` publishes."""

    name: str
    machine: str
    port: int
    owner: str


@frozen
class PublishedOnLoopback(Cause):
    """The host refused the packet because the port is published on the loopback address of the host only."""

    endpoint: str
    port: int
    host: str
    address: str


@frozen
class PublishedOnInternalNetworks(Cause):
    """The host refused the packet: the container is to publish the port, but is on internal `networks` only."""

    endpoint: str
    container: str
    networks: tuple[str, ...]


@frozen
class PublishedForOtherFamily(Cause):
    """The host refused the packet because the port is published only on addresses of the other IP version.

    `family` (4 or 6) is the IP version that the probe used.
    """

    endpoint: str
    container: str
    port: int
    host: str
    addresses: tuple[str, ...]
    family: int


@frozen
class PublishedAsOtherPort(Cause):
    """The host refused the packet because the container's port is published as another host port, `host_port`."""

    host: str
    endpoint: str
    container: str
    port: int
    host_port: int


@frozen
class PublisherNotRunning(Cause):
    """The host refused the packet because the container that publishes the port is not running."""

    host: str
    endpoint: str
    container: str
    status: str


@frozen
class ListenerNotPublished(Cause):
    """The host refused the packet: one of its containers listens on that port but does not publish it."""

    host: str
    endpoint: str
    container: str


@frozen
class OtherPortsPublished(Cause):
    """The host refused the packet because nothing is published on that port.

    `published` lists the ports that are published on the host, each with the name of its container.
    """

    host: str
    endpoint: str
    published: tuple[tuple[int, str], ...]


# ---- swarm services


@frozen
class HostKnowsNoServices(Cause):
    """A host looked up the name of a swarm service, but only the resolver of containers resolves such names."""

    service: str


@frozen
class ServiceHasNoNetwork(Cause):
    """A container looked up a service that is on no network with name resolution.

    `networks` are those of the container.
    """

    service: str
    source: str
    networks: tuple[str, ...]


@frozen
class NoSharedServiceNetwork(Cause):
    """The source container cannot reach the service because they share no network.

    `closed` is a network of the service that is not attachable, so that no plain container can join it; "" if none.
    """

    source: str
    networks: tuple[str, ...]
    service: str
    service_networks: tuple[str, ...]
    closed: str = ""


class TaskStatus(Enum):
    """Why a service has no running task."""

    SCALED_TO_ZERO = auto()
    NONE = auto()
    PENDING = auto()
    NEW = auto()
    NODE_DOWN = auto()
    STARTING = auto()
    OTHER = auto()


@frozen
class NoRunningTask(Cause):
    """The destination is a swarm service that has no running task.

    `detail` depends on `status`: the error of the task, the networks without a free address, or the node that is
    down. `state` is the state of the task; `stale` is the VXLAN device that prevents the task from starting, if one
    does.
    """

    service: str
    status: TaskStatus
    detail: str = ""
    state: str = ""
    stale: VniTaken | None = None


@frozen
class PortOfService(Cause):
    """The host refused the packet: the service that publishes the port has no running task. `reason` says why."""

    host: str
    port: int
    service: str
    reason: Cause


@frozen
class PublishedOnNodesOfTasks(Cause):
    """The host refused the packet because it runs no task of the service, which publishes the port in mode `host`.

    In that mode the port is open only on the nodes that run a task, given in `nodes`.
    """

    host: str
    port: int
    service: str
    nodes: tuple[str, ...]


@frozen
class NoRoutingMesh(Cause):
    """The node refused the packet because it publishes no port of the swarm's routing mesh.

    The mesh needs the bridge driver's iptables chains, which do not exist with `firewall-backend: nftables`.
    """

    host: str
    port: int


@frozen
class NotInSwarm(Cause):
    """The host refused the packet because it is not a member of the swarm whose service publishes the port."""

    host: str
    service: str
    port: int


@frozen
class BalancerHasNoTask(Cause):
    """A load balancer refused the connection because it has no real server for the service."""

    place: str
    service: str
    reason: Cause | None = None


@frozen
class ConnectionForgotten(Cause):
    """A load balancer reset the connection because IPVS had already removed its entry for it.

    IPVS removes the entry of a connection that was idle for `idle_s` seconds, and soon after the connection is
    closed.
    """

    place: str
    service: str
    idle_s: int


# ---- what a node has not learnt by gossip


@frozen
class ServiceUnknown(Cause):
    """A node does not resolve a service because it lacks the entries of its tasks, which run on the other `nodes`."""

    host: str
    service: str
    network: str
    nodes: tuple[str, ...]


@frozen
class PortMissingInMesh(Cause):
    """A node refused the packet because its routing mesh lacks the port of a service.

    The tasks of the service run on the other `nodes`.
    """

    host: str
    port: int
    service: str
    nodes: tuple[str, ...]


@frozen
class OverlayNeighbourUnknown(Cause):
    """A packet to a container on another node was dropped at the VXLAN device.

    The device has no neighbour or FDB entry for the container's address. `owner` is that container, on `owner_host`.
    """

    host: str
    address: str
    device: str
    network: str
    owner: str
    owner_host: str


@frozen
class NotLearnt(Cause):
    """A node lacks an entry of the swarm (`unknown`), and `reason` says why gossip has not brought it."""

    unknown: Cause
    reason: Cause


@frozen
class MemberHalted(Cause):
    """A member of the swarm was started but does not take part in it; `obstacle` says why, e.g. a locked manager."""

    host: str
    obstacle: str


@frozen
class GossipFiltered(Cause):
    """A packet filter rule on `host` drops gossip (port 7946), so that nodes lack each other's entries."""

    rule: str
    host: str


@frozen
class GossipSilent(Cause):
    """`host` receives no gossip from `other`, and so lacks the entries that `other` announces."""

    host: str
    other: str


# ---- overlay networks


@frozen
class TunnelPacket:
    """The outer packet of an overlay network's tunnel.

    `sender` and `receiver` are the nodes that exchange it, `network` is the overlay network inside, and `port` is the
    UDP port before encryption.
    """

    sender: str
    receiver: str
    network: str
    port: int
    is_encrypted: bool = False
    is_reply: bool = False


@frozen
class TunnelFiltered(Cause):
    """A packet filter dropped the outer packet of a tunnel."""

    packet: TunnelPacket
    drop: Drop


@frozen
class TunnelTooLong(Cause):
    """The outer packet of a tunnel was dropped because it is longer than the MTU at `where`.

    `mtu` is that MTU (0 if unknown); `header` is the number of bytes that the tunnel adds to the container's packet.
    """

    packet: TunnelPacket
    where: str
    mtu: int
    header: int


@frozen
class TunnelWithoutKeys(Cause):
    """The receiving node dropped the outer packet of an encrypted network because it has no IPsec state for it."""

    packet: TunnelPacket
    drop: Drop


@frozen
class TunnelSourceUnexpected(Cause):
    """The receiving node dropped the outer packet of a tunnel because of its source address.

    The source address is `used` instead of the sender's data path address `expected`: the sender's route to `peer`
    selected it.
    """

    packet: TunnelPacket
    receiver: str
    used: str
    expected: str
    peer: str


@frozen
class TunnelPortClosed(Cause):
    """The receiving node dropped the outer packet of a tunnel because none of its VXLAN devices uses the UDP port."""

    packet: TunnelPacket
    place: str


@frozen
class TunnelLost(Cause):
    """The outer packet of a tunnel was lost on its way for another reason, given by `drop`."""

    packet: TunnelPacket
    drop: Drop


@frozen
class TunnelIntoSilence(Cause):
    """Outer packets of a tunnel left the node `host` and did not arrive at the node `end`. No drop was recorded."""

    host: str
    end: str
    network: str


@frozen
class OverlayAddressUnknown(Cause):
    """A packet was dropped because the node has no neighbour or FDB entry for its destination address.

    No running container of the overlay network has that address.
    """

    host: str
    address: str
    device: str
    network: str


@frozen
class OverlayHoldsHostAddress(Cause):
    """A packet to the host `owner` was dropped: the subnet of an overlay network contains its address.

    The node `host` looks for the address in the tunnel instead of on the real network.
    """

    address: str
    owner: str
    network: str
    host: str
    device: str


@frozen
class VniTaken(Cause):
    """An overlay network cannot come up on a host because a VXLAN device of the host already uses its VNI."""

    host: str
    device: str
    vni: int
    network: str


# ---- routes


@frozen
class NoRoute(Cause):
    """A machine dropped the packet because it has no route to the destination."""

    place: str
    address: str
    is_ipv6: bool = False


@frozen
class NoIpv6Route(Cause):
    """A container has no route to an IPv6 address because none of its networks has IPv6."""

    container: str
    address: str


@frozen
class ReplyHasNoRoute(Cause):
    """A router dropped the reply because it has no route back to the container's address.

    The container's `host` had sent the request on without masquerading it.
    """

    place: str
    address: str
    host: str
    container: str


@frozen
class NotAttached(Cause):
    """A container has no route to the destination because it is attached to no network."""

    container: str
    address: str


@frozen
class ContainerNetworkUnknown(Cause):
    """The source has no route to a container's address: only the container's host has a route to that network."""

    source: str
    address: str
    host: str
    container: str


@frozen
class InternalNetworksOnly(Cause):
    """A container has no default route because all its networks are internal."""

    container: str
    networks: tuple[str, ...]


@frozen
class Dropped(Cause):
    """A packet was dropped for a reason that the kernel's own drop reason fully explains."""

    drop: Drop


@frozen
class RouteRefuses(Cause):
    """A packet was dropped by a route or routing rule whose type is unreachable, blackhole or prohibit.

    `is_rule` is True for a routing rule (`ip rule`).
    """

    drop: Drop
    is_rule: bool


@frozen
class ForwardingOff(Cause):
    """A machine dropped a packet for another machine because IP forwarding is off. `key` is the sysctl that is 0."""

    place: str
    key: str
    is_reply: bool


@frozen
class RoutingLoop(Cause):
    """Machines forwarded the packet to each other until its TTL ran out, on `place`.

    `routes` are pairs of a machine and the route that it chose.
    """

    place: str
    routes: tuple[tuple[str, str], ...]


@frozen
class LinkDown(Cause):
    """The source has no route to the destination because one of its interfaces is down, which removed its routes."""

    device: str
    source: str


@frozen
class NoAddress(Cause):
    """The source is a host without any address, so it cannot send the packet."""

    source: str


@frozen
class NarrowMask(Cause):
    """The source has no route to a neighbour on its own link, because its netmask is too narrow."""

    source: str
    subnet: str
    own: str
    address: str
    neighbour: str
    neighbour_subnet: str


@frozen
class SilentGateway(Cause):
    """A packet was dropped because the gateway of its route did not answer ARP or neighbour discovery.

    `replier` is the sender if the packet was a reply, else "".
    """

    place: str
    address: str
    route: str
    gateway: str
    replier: str = ""


@frozen
class ConntrackFull(Cause):
    """A machine dropped the first packet of a connection because its conntrack table has reached `limit`."""

    place: str
    limit: str


@frozen
class MulticastNotForwarded(Cause):
    """A packet to a multicast group was sent, but no router or tunnel forwards it to other networks."""

    address: str
    source: str
    device: str
    route: str
    place: str


# ---- links


@frozen
class NeighbourSilent(Cause):
    """A packet was dropped because no station on the link answered ARP or neighbour discovery for its next hop.

    `is_known_address` is False if no running container or host of the lab has the address.
    """

    place: str
    address: str
    device: str
    is_known_address: bool = False


@frozen
class AddressHidden(Cause):
    """A packet was dropped because its sender looked for another machine's address on its own Docker network.

    The network's subnet contains the address, and its route is preferred to the one to the real owner.
    """

    place: str
    address: str
    owner: str
    network: str
    owner_name: str


@frozen
class HostOff(Cause):
    """A packet was dropped because the machine that has the address has no power or no cable."""

    place: str
    address: str
    device: str
    host: str


@frozen
class NextHopSilent(Cause):
    """A packet was dropped because the next hop to its destination did not answer."""

    place: str
    device: str
    address: str


@frozen
class FrameLost(Cause):
    """An ARP or neighbour discovery message was lost at `where`, so that the next hop could not be resolved."""

    packet: str
    where: str
    why: str


@frozen
class ParentAndChild(Cause):
    """A host and a container cannot reach each other: the container's device is a child of the host's interface.

    `kind` is `macvlan` or `ipvlan`: neither passes frames between a parent and its children.
    """

    guest: str
    kind: str
    host: str
    parent: str


@frozen
class SiblingsIsolated(Cause):
    """Two containers cannot reach each other: they are children of one interface, whose mode isolates them."""

    one: str
    other: str
    parent: str
    kind: str
    mode: str


@frozen
class IpvlanWithoutArp(Cause):
    """ARP requests for a container's address got no answer: a container on a routed ipvlan network answers none."""

    container: str
    mode: str
    host: str


@frozen
class IpvlanRouteMissing(Cause):
    """A router dropped the packet because it has no route to the subnet of a routed ipvlan network."""

    place: str
    subnet: str
    mode: str
    host: str
    is_reply: bool = False


@frozen
class DifferentVlans(Cause):
    """Two stations on one wire cannot reach each other because they are in different VLANs (0: untagged)."""

    one: str
    device: str
    vlan: int
    other: str
    other_device: str
    other_vlan: int


@frozen
class PortSecurity(Cause):
    """A switch port dropped a frame from `sender` because the source MAC address is not allowed on it."""

    device: str
    place: str
    sender: str
    why: str


@frozen
class VlanMissing(Cause):
    """A frame was dropped because the switch port or machine at `where` does not have the VLAN of the frame."""

    where: str
    why: str


@frozen
class ModeIsolates(Cause):
    """A frame was dropped because the mode of an ipvlan device forbids frames between its children."""

    where: str
    why: str


# ---- packet filters


@frozen
class Filtered(Cause):
    """A packet filter dropped or rejected the packet.

    `purpose` is what the deciding rule is for, `None` if unknown.
    """

    drop: Drop
    purpose: Cause | None = None


@frozen
class NoSharedNetwork(Cause):
    """A rule that isolates Docker networks dropped the packet, because the two containers share no network."""

    source: str
    networks: tuple[str, ...]
    other: str
    other_networks: tuple[str, ...]


@frozen
class OtherNetworkAddress(Cause):
    """The packet was sent to an address that the container has on a network to which the source is not attached."""

    address: str
    container: str
    source: str


@frozen
class InternalNetwork(Cause):
    """The packet was dropped because it would enter or leave an internal network.

    `stranger` is the container that is not attached to that network, "" if there is none.
    """

    network: str
    stranger: str = ""


@frozen
class IccDisabled(Cause):
    """The packet between two containers was dropped because the network is configured with `icc=false`."""

    network: str


@frozen
class LoopbackOnly(Cause):
    """The packet from another machine was dropped because the port is published on 127.0.0.1 of `place` only."""

    place: str


@frozen
class ProtectsHost(Cause):
    """The packet was dropped by a firewall of `place` that filters packets to the host itself."""

    place: str


@frozen
class OtherRuleSet(Cause):
    """The packet was dropped by a rule in tables that Docker does not write and that `iptables -S` does not list.

    `is_legacy` is True for the tables of iptables-legacy, False for those of nft.
    """

    place: str
    is_legacy: bool


# ---- other drops


@frozen
class StraySegment(Cause):
    """A machine reset the connection because the TCP segment belongs to no connection that it has."""

    place: str
    packet: str


# ---- names


@frozen
class ResolverAnswered(Cause):
    """A name server answered without an address, for example with NXDOMAIN. `reason` says why, `None` if unknown."""

    server: str
    result: str
    name: str
    reason: Cause | None = None


@frozen
class UpstreamNotReached(Cause):
    """The embedded resolver got no answer because its query to an upstream server was dropped."""

    servers: tuple[str, ...]
    drop: Drop


@frozen
class UpstreamResult(Cause):
    """The embedded resolver recorded a note about its own query to an upstream server."""

    note: str


@frozen
class NameServerSilent(Cause):
    """No name server answered.

    `reason` says why it could not have resolved the name in any case, `None` if it could.
    """

    servers: tuple[str, ...]
    reason: Cause | None = None


@frozen
class QueryDropped(Cause):
    """The source's DNS query, or the answer to it, was dropped."""

    source: str
    servers: tuple[str, ...]
    drop: Drop


@frozen
class NameServerUnusable(Cause):
    """The source could not query its name server because its socket returned an error."""

    source: str
    servers: tuple[str, ...]
    error: str


@frozen
class ContainerStopped(Cause):
    """The name was not found because the container that has it is not running."""

    container: str
    status: str


@frozen
class HostKnowsNoContainers(Cause):
    """A host looked up the name of a container, but only containers have the resolver that resolves such names."""

    container: str


@frozen
class SharesStack(Cause):
    """The name was not found because the container uses the network stack of its host or of another container.

    `owner` is the host or container that the stack belongs to; such a container has no name of its own.
    """

    container: str
    owner: str
    is_host: bool


@frozen
class NoNetwork(Cause):
    """The name was not found because the container has no network (`network_mode: none`)."""

    container: str


@frozen
class NoDockerNetwork(Cause):
    """The name was not found because the source uses no Docker network, and so has no embedded resolver."""

    source: str


@frozen
class SameNameOnOtherHost(Cause):
    """The name was not found: the container is on a bridge network of another host that only has the same name."""

    container: str
    host: str
    network: str
    source_host: str


@frozen
class NotByThatName(Cause):
    """The name was not found: the container exists, but does not have that name on any network of the source."""

    container: str
    source: str


@frozen
class OtherAddressInHostsFile(Cause):
    """The probe failed because the source's /etc/hosts gives the name an address that is not the container's.

    `cause` is why the probe to that address failed.
    """

    cause: Cause
    name: str
    address: str
    source: str
    owner: str
    owner_address: str


# ---- outcomes without a drop


@frozen
class DroppedWithError(Cause):
    """The packet was dropped for `cause`, and `reporter` reported that to the source with an ICMP error."""

    cause: Cause
    reporter: str
    packet: str


@frozen
class IcmpErrorReceived(Cause):
    """The source received an ICMP error from `reporter`, and the trace has no drop that explains it."""

    reporter: str
    packet: str


@frozen
class StackError(Cause):
    """The source's own network stack returned an error to the probe's program."""

    source: str
    error: str


@frozen
class ReceivedWithoutReply(Cause):
    """The request was delivered on `place`, but no reply was sent."""

    place: str


@frozen
class NothingAnswered(Cause):
    """Nothing answered the probe, and no drop was recorded.

    `where` and `what` are the place and the event of the last hop, "" if there was none.
    """

    endpoint: str
    where: str
    what: str


@frozen
class OtherMachinesAddress(Cause):
    """The intended target received nothing: on the source's network another machine has the address, and answered."""

    source: str
    address: str
    target: str


# ---- refusals of an engine


@frozen
class PortHeldByContainer(Cause):
    """The engine refused to publish a port because a container already publishes it."""

    container: str
    host: str
    port: int
    protocol: str
    address: str


@frozen
class PortHeldByProgram(Cause):
    """The engine refused to publish a port because a program of the host already listens on it."""

    program: str
    host: str
    listener: str


@frozen
class PoolsExhausted(Cause):
    """The engine refused to create a network because the existing ones use all default address pools of the host.

    `count` is the number of these networks; `examples` are some of them, e.g. `app 172.18.0.0/16`.
    """

    host: str
    count: int
    examples: tuple[str, ...]


@frozen
class SubnetOverlaps(Cause):
    """The engine refused to create a network because its subnet overlaps the subnet of an existing network."""

    subnet: str
    network: str
    network_subnet: str
    host: str


@frozen
class NetworkInUse(Cause):
    """The engine refused to remove a network because containers are still attached to it."""

    network: str
    containers: tuple[str, ...]


@frozen
class AddressHeld(Cause):
    """The engine refused to assign an address because another container already has it."""

    container: str
    host: str
    address: str


@frozen
class BridgeFull(Cause):
    """The engine could not attach a container because the bridge already has as many ports as the kernel allows."""

    bridge: str
    host: str
    ports: int


# ---- remarks


@frozen
class ClientSeenAs(Remark):
    """The server sees the client's connection come from `seen` instead of the client's own address `own`."""

    server: str
    seen: str
    own: str


@frozen
class RuleNotVisited(Remark):
    """A rule in an INPUT chain did not apply, because packets to a published port traverse FORWARD instead."""

    rule: str
    host: str


@frozen
class ServerPaused(Remark):
    """The server's container is paused.

    Its kernel accepts connections or datagrams, but its program does not answer.
    """

    server: str
    protocol: str


@frozen
class LateSuccess(Remark):
    """The probe succeeded only with its try number `tries`, sent `seconds` after the first.

    `cause` is what happened to an earlier try.
    """

    tries: int
    seconds: int
    cause: Cause


@frozen
class NameShared(Remark):
    """Containers of different services have the same name, so that lookups may return either of them.

    `count` is their number; `owners` are their own names with their addresses.
    """

    name: str
    count: int
    owners: tuple[str, ...]


@frozen
class LookupQueries(Remark):
    """The name lookup needed more than one query. `is_failure` is True if it did not find the name."""

    queries: tuple[str, ...]
    is_failure: bool = False


@frozen
class ProxyClosed(Remark):
    """docker-proxy accepted the client's connection, then closed it because the container refused the second one."""

    host: str
    server: str


@frozen
class VirtualAddress(Remark):
    """The address that the client connected to is a service's virtual IP, balanced over `tasks` tasks.

    `idle_s` is the number of idle seconds after which IPVS removes the entry of a connection.
    """

    address: str
    service: str
    tasks: int
    idle_s: int


@frozen
class ConnectionReused(Remark):
    """IPVS sent a new connection to the same task as an earlier one from the same source port, without balancing it.

    `task` is that task, "" if unknown; `sysctl` is the setting that causes this.
    """

    place: str
    port: int
    source: str
    task: str
    sysctl: str


@frozen
class TunnelMtuTooSmall(Remark):
    """A machine or segment on the tunnel's path has an MTU (`mtu`) too small for full packets of the overlay network.

    `inner_mtu` is the MTU of the network, `header` the number of bytes that the tunnel adds.
    """

    network: str
    inner_mtu: int
    header: int
    where: str
    mtu: int


@frozen
class AddressClaimedTwice(Remark):
    """Two stations on a link use the same address, so that packets may reach either of them."""

    address: str
    one: str
    other: str


@frozen
class NodeDown(Remark):
    """The managers regard a node as down: it is halted (`obstacle`), or a `rule` drops its heartbeats."""

    host: str
    obstacle: str
    rule: str
    rule_host: str
