"""The bases of all causes, remarks and assumptions, and the causes without fields."""

from __future__ import annotations

from enum import Enum, auto

from attrs import frozen

from cnmsim.observe.trace.hops import Hop


class Cause:
    """Base of all causes: why a probe or an Engine API call ended as it did.

    A cause may have other causes as fields, e.g. the reason for a missing entry.
    """

    __slots__ = ()


class Remark:
    """Base of all remarks: facts that did not decide the outcome but are worth reporting with it."""

    __slots__ = ()


class Assumption:
    """Base of all assumptions.

    An assumption is a fact that a verdict takes for granted because the simulation cannot determine it.
    """

    __slots__ = ()


class Fact(Cause, Enum):
    """Causes without fields: what they say needs no name, address or rule."""

    SAME_STACK = auto()  # sender and receiver use the same network stack
    ROUTED_PATH = auto()  # the packet was only routed on its way; no NAT rule rewrote it
    ONE_LINK = auto()  # sender and receiver are neighbours on one link
    GOSSIP_PENDING = auto()  # a node lacks an entry that gossip will bring but has not delivered yet
    DEFAULT_BRIDGE_HAS_NO_NAMES = auto()  # the source is on the default bridge only, which has no embedded resolver
    NAME_UNKNOWN = auto()  # no container, service or host of the lab has the requested name
    OTHER_IP_VERSION = auto()  # the requested name exists, but has no address of the IP version that was asked for
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
    """A hop at which a packet was dropped.

    `replier` is the name of the packet's sender if the packet was a reply, else "".
    """

    hop: Hop
    replier: str = ""
