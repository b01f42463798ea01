"""Events that the kernel reports to an observer, one for each decision about a packet, and the reasons for drops.

The observer is `Clock.context`. While there is none (`None`), no events are created.
"""

from __future__ import annotations

from enum import Enum
from typing import Any
from typing import Protocol as TypingProtocol

from attrs import frozen

from cnmsim.kernel.address import Address


class Step(Enum):
    """The stage of a packet's path that an event reports."""

    SENT = "sent"  # a socket or the kernel created it
    TRANSMITTED = "transmitted"  # a device transmitted it
    RECEIVED = "received"  # a device received it
    BRIDGED = "bridged"  # a bridge chose the output port or ports
    HOOK = "hook"  # a netfilter hook accepted it
    TRANSLATED = "translated"  # NAT changed addresses or ports
    ROUTED = "routed"  # a routing table chose the route
    NEIGHBOUR = "neighbour"  # a link-layer address was requested or found
    FRAGMENTED = "fragmented"
    REASSEMBLED = "reassembled"
    ENCAPSULATED = "encapsulated"  # a tunnel added its header
    DECAPSULATED = "decapsulated"  # a tunnel removed its header
    DELIVERED = "delivered"  # a socket, or the kernel for an echo request, received it
    DROPPED = "dropped"
    NOTE = "note"  # additional information, such as a proxy that opens a second connection


class DropReason(Enum):
    """The reason why a packet was dropped. The list is complete: every drop uses one of these."""

    MALFORMED = "malformed packet"
    CHECKSUM = "wrong checksum"
    LINK_DOWN = "link is down"
    NO_CARRIER = "no peer on the link"
    LINK_LOSS = "lost on the link"
    NOT_FOR_US = "destination MAC is another station's"
    MTU_EXCEEDED = "larger than the MTU"
    NO_BRIDGE_PORT = "no bridge port to send it to"
    NETFILTER_DROP = "dropped by a packet filter rule"
    NETFILTER_POLICY = "dropped by a chain's policy"
    NETFILTER_REJECT = "rejected by a packet filter rule"
    CONNTRACK_INVALID = "invalid for conntrack"
    NAT_EXHAUSTED = "no free port for address translation"
    NO_DESTINATION = "no destination of the virtual service"
    NO_ROUTE = "no route"
    UNREACHABLE_ROUTE = "route says unreachable"
    BLACKHOLE_ROUTE = "route says blackhole"
    PROHIBIT_ROUTE = "route says prohibit"
    REVERSE_PATH = "reverse path filter"
    MARTIAN = "martian source or destination"
    FORWARDING_DISABLED = "IP forwarding is disabled"
    TTL_EXCEEDED = "TTL exceeded"
    FRAGMENTATION_NEEDED = "fragmentation needed but DF is set"
    REASSEMBLY_TIMEOUT = "fragments missing"
    NEIGHBOUR_FAILED = "neighbour did not answer"
    NEIGHBOUR_QUEUE_FULL = "neighbour queue is full"
    NO_PROTOCOL = "no handler for the protocol"
    PORT_CLOSED = "no socket listens there"
    SOCKET_BUFFER_FULL = "socket buffer is full"
    IPV6_DISABLED = "IPv6 is disabled on the device"
    NO_VLAN = "no port or interface in its VLAN"
    KEPT_APART = "the device's mode isolates its siblings"
    LAYER_3_ONLY = "the device carries unicast IP only"
    PORT_SECURITY = "the segment refuses this station's MAC"
    STRAY_SEGMENT = "segment of no connection"
    NO_TUNNEL_ENDPOINT = "no tunnel endpoint is known for the destination MAC"
    TUNNEL_ENDPOINT_MISMATCH = "source MAC is fixed behind another tunnel endpoint"
    UNKNOWN_VNI = "no VXLAN device has this VNI"
    PROXY_UNANSWERED = "the neighbour proxy has no entry"
    TUNNEL_LOOP = "the tunnel leads into itself"
    CONGESTION = "marked as congested, but the inner packet is not ECN-capable"
    NO_STATE = "no IPsec state for it"
    INTEGRITY = "integrity check failed"
    SEQUENCE = "sequence number replayed, too old or used up"
    STATE_EXPIRED = "the IPsec state has expired"
    POLICY_BLOCK = "blocked by an IPsec policy"
    POLICY_MISMATCH = "not protected as an IPsec policy requires"


class Reporter(Enum):
    """The daemon that took the action in an event. An event without one reports a decision of the kernel."""

    PROXY = "docker-proxy"
    RESOLVER = "resolver"


@frozen
class NextHop:
    """The next hop whose link-layer address could not be resolved."""

    address: Address


@frozen
class MtuLimit:
    """The MTU of a device or path, in bytes, that a dropped packet exceeds.

    If `is_segment` is True, it is the MTU of an Ethernet segment, e.g. of its switch.
    """

    mtu: int
    is_segment: bool = False


#: The reason to show for a drop whose detail is `QueueFull`.
QUEUE_FULL = "the link's queue was full"


@frozen
class QueueFull:
    """The full queue of a link with limited bandwidth.

    `limit_frames` is the maximum number of frames in the queue.
    """

    limit_frames: int


@frozen
class DuplicateAddress:
    """An IP address that two interfaces on a link claim."""

    address: Address


@frozen
class UpstreamSkipped:
    """A DNS server that the embedded resolver skips: no network of the container has a route to the outside."""

    server: str


#: The subject of an event as an object, so that programs need not parse the text in `what`.
Detail = Reporter | NextHop | MtuLimit | QueueFull | DuplicateAddress | UpstreamSkipped


@frozen
class Event:
    """One event of one packet.

    `place` is the name of the network namespace (a host or a container), `device` the name of the device or "".
    `what` is a phrase for people. `decision` is the rule, route or table entry that decided, in the format of the
    tool that lists it (such as iptables or ip), or "". `data` is the packet at this point: an Ethernet frame if
    `is_frame` is True, else the bytes from the IP header on. `detail` is an object with data about the event, such as
    `MtuLimit`, or `None`.
    """

    time_ns: int
    place: str
    device: str
    step: Step
    what: str
    decision: str
    data: bytes
    is_frame: bool = False
    reason: DropReason | None = None
    detail: Detail | None = None


class FlowMeter(TypingProtocol):
    """The meter of the flows that a lab measures; `Clock.meter` holds it while such a flow runs.

    It corresponds to IPFIX's metering process (RFC 5470). Unlike an observer, it does not prevent packets from using
    the flow cache. `dropped` is called with the event of every packet that is dropped in the lab (Linux: tracepoint
    `skb:kfree_skb`). `received_datagram` and `received_stream` are called when a socket has received a UDP datagram,
    or a TCP connection data in order. They return True if the data belongs to a measured flow; the program that owns
    the socket then does not receive the data.
    """

    def dropped(self, event: Event) -> None:
        """Count a dropped packet, which `event` describes."""

    def received_datagram(self, socket: Any, data: bytes) -> bool:
        """Count a datagram with the content `data` that `socket` received.

        Return False if it does not belong to a measured flow.
        """

    def received_stream(self, connection: Any) -> bool:
        """Read and count the data that `connection` received.

        Return False if it does not belong to a measured flow.
        """


class Observer(TypingProtocol):
    """A receiver of events. It must not change the state that it observes."""

    def report(self, event: Event) -> None:
        """Receive one event, called at the moment when it happens."""
