"""Changes to a lab: the closed family of what a fix consists of.

A change names hosts, containers, networks and services, and holds none of them, so that it fits a lab and every fork
of it. It is applied by `fixes.apply`, rendered as commands by `fixes.commands`, and as a phrase by
`diagnosis.sentences`. Each of these dispatches on the type, and so may a further renderer (an edit of a Compose
file).
"""

from __future__ import annotations

from enum import Enum, auto

from attrs import frozen


class Change:
    """Base of all changes."""

    __slots__ = ()

    @property
    def is_applicable(self) -> bool:
        """Whether it names everything that is needed to apply it to a lab, and cnmsim can apply it.

        A daemon's options, a swarm's keys and tokens, and the tasks in `Task` are left to people.
        """
        match self:
            case ChangeDaemonOption() | RestartDaemon() | RejoinSwarm() | Manual():
                return False
            case Steps(changes):
                return all(change.is_applicable for change in changes)
            case PublishPort():
                return bool(self.container and self.port)
            case ConnectNetwork():
                return bool(self.network)
            case UpdateService():
                return bool(self.value)
            case AddRoute():
                return bool(self.prefix and self.via)
            case AddShimDevice():
                return bool(self.address) and self.kind == "macvlan"
            case RecreateNetwork():
                can_be_changed = {NetworkSetting.OPTION, NetworkSetting.IPV6, NetworkSetting.SUBNET}
                return (
                    bool(self.host and self.network) and self.network != "bridge" and self.setting in can_be_changed
                )
        return True


# ---- another question


@frozen
class AskOther(Change):
    """Ask another name, address, port or protocol; "" and 0 keep what was asked."""

    host: str = ""
    port: int = 0
    protocol: str = ""
    is_published: bool = False


# ---- containers


@frozen
class PublishPort(Change):
    """Recreate a container so that `host_port` of its host leads to its `port` (0: unknown)."""

    host: str
    container: str
    port: int
    host_port: int
    protocol: str = "tcp"


@frozen
class StartContainer(Change):
    """Start a stopped container."""

    host: str
    container: str


@frozen
class RestartContainer(Change):
    """Restart a container."""

    host: str
    container: str


@frozen
class RebindProgram(Change):
    """Recreate a container whose program binds all addresses instead of `address`."""

    host: str
    container: str
    address: str


class ContainerOption(Enum):
    """What is different of a container that is created again."""

    NO_DNS = "(no --dns)"
    NO_EXTRA_HOSTS = "(no --add-host)"
    BRIDGE_NETWORK = "--network bridge"


@frozen
class RecreateContainer(Change):
    """Recreate a container with one option changed."""

    host: str
    container: str
    option: ContainerOption


# ---- networks


@frozen
class CreateNetwork(Change):
    """Create a bridge network."""

    host: str
    network: str


@frozen
class ConnectNetwork(Change):
    """Connect a container to a network ("": any)."""

    host: str
    network: str
    container: str


class NetworkSetting(Enum):
    """What is different of a network that is created again."""

    OPTION = "-o"
    IPV6 = "--ipv6"
    SUBNET = "--subnet"
    GATEWAY = "--gateway"
    ATTACHABLE = "--attachable"


@frozen
class RecreateNetwork(Change):
    """Recreate a network of a host with one setting changed, and connect its containers again.

    `value` is `KEY=VALUE` of a driver option, or an address; an empty one leaves the choice (of a subnet, to Docker).
    """

    host: str
    network: str
    setting: NetworkSetting
    value: str = ""


# ---- daemons and swarms


@frozen
class ChangeDaemonOption(Change):
    """Change an option in daemon.json of a host."""

    host: str
    option: str
    value: str


@frozen
class RestartDaemon(Change):
    """Restart dockerd, which then installs its rules again."""

    host: str


@frozen
class ScaleService(Change):
    """Set the number of replicas of a service; `host` is a manager."""

    host: str
    service: str
    replicas: int


@frozen
class UpdateService(Change):
    """Change an option of a service (`--network-add`, `--endpoint-mode`); `host` is a manager."""

    host: str
    service: str
    option: str
    value: str


@frozen
class ActivateNode(Change):
    """Set the availability of a node to active; `host` is a manager."""

    host: str
    node: str


@frozen
class RejoinSwarm(Change):
    """Unlock a manager, or let a node leave and join again."""

    host: str
    needs_unlock: bool = False


# ---- hosts


@frozen
class SetSysctl(Change):
    """Set a sysctl of a host."""

    host: str
    key: str
    value: str


@frozen
class AddRule(Change):
    """Insert a rule that accepts what `match` describes at the head of a chain of the filter table."""

    host: str
    chain: str
    match: str
    program: str = "iptables"


@frozen
class DeleteRule(Change):
    """Delete an iptables rule, written as by iptables-save, in the namespace at a path ("": the host's)."""

    host: str
    program: str
    table: str
    rule: str
    namespace: str = ""


@frozen
class DeleteNftRule(Change):
    """Delete a rule of nftables by its handle."""

    host: str
    table: str
    chain: str
    handle: int


@frozen
class AcceptByPolicy(Change):
    """Set the policy of a base chain to accept, with iptables, iptables-legacy, their IPv6 siblings, or nft."""

    host: str
    program: str
    table: str
    chain: str


@frozen
class AddRoute(Change):
    """Add a route on a host; without `via` the gateway is left to people."""

    host: str
    prefix: str = ""
    via: str = ""


@frozen
class ReplaceRoute(Change):
    """Replace a route of a host. `path` is what follows the prefix: `via 10.0.0.1`, `dev eth0 src 10.0.0.2`."""

    host: str
    prefix: str
    path: str


@frozen
class DeleteRoute(Change):
    """Delete a route of a host, written as `ip route` prints it."""

    host: str
    route: str


@frozen
class DeleteRoutingRule(Change):
    """Delete a rule of the routing policy database by its priority."""

    host: str
    priority: int


@frozen
class AddAddress(Change):
    """Add an address (`10.0.0.2/16`) to a device of a host."""

    host: str
    address: str
    device: str


@frozen
class SetLinkUp(Change):
    """Bring a device of a host up."""

    host: str
    device: str


@frozen
class DeleteLink(Change):
    """Delete a device of a host."""

    host: str
    device: str


@frozen
class AddShimDevice(Change):
    """Add a macvlan or ipvlan device on `parent` to a host, so that it reaches the containers on that parent.

    `address` is free in the containers' subnet ("" if none is), `guest` the address of the container to be reached.
    """

    host: str
    parent: str
    kind: str
    mode: str
    address: str
    guest: str


@frozen
class RepairLinks(Change):
    """Repair the links of the lab, as `lab.heal()` does."""


# ---- composition, and what only people can do


@frozen
class Steps(Change):
    """Several changes that only help together."""

    changes: tuple[Change, ...]


class Task(Enum):
    """What cnmsim can not do by itself. `diagnosis.sentences` has the words, with places for the subjects."""

    USE_NAME = auto()
    USE_TASK_NAMES = auto()
    USE_VALID_ADDRESS = auto()
    USE_GATEWAY_MODE = auto()
    ASK_FROM_HOST = auto()
    ASK_FROM_ELSEWHERE = auto()
    ASK_FROM_NETWORK = auto()
    ASK_FROM_SAME_NETWORK = auto()
    ASK_MEMBER = auto()
    CHECK_SPELLING = auto()
    CHECK_DOMAIN = auto()
    CHECK_PLACE = auto()
    CHECK_BEYOND = auto()
    CHECK_PAUSED = auto()
    CHECK_ROUTES = auto()
    CHECK_SEGMENT = auto()
    CHECK_LOOP = auto()
    CHECK_SERVICE = auto()
    CHECK_VIRTUAL_SERVICE = auto()
    CHECK_HEALTH = auto()
    CHECK_DATA_PATH = auto()
    CHANGE_RULE = auto()
    CHANGE_OUTPUT_RULE = auto()
    START_LISTENER = auto()
    START_PROGRAM = auto()
    USE_LISTENER_NAME = auto()
    PUBLISH_OTHER_ADDRESS = auto()
    PUBLISH_IN_HOST_MODE = auto()
    PUBLISH_IN_INGRESS_MODE = auto()
    PUBLISH_ANY_PORT = auto()
    PUBLISH_OTHER_PORT = auto()
    PUBLISH_ON_OPEN_NETWORK = auto()
    USE_PUBLISHED = auto()
    USE_HOST_GATEWAY = auto()
    USE_OVERLAY = auto()
    USE_SHARED_NETWORK = auto()
    USE_SERVICE = auto()
    USE_CONSTRAINTS = auto()
    USE_KEEPALIVE = auto()
    USE_LARGER_SUBNET = auto()
    USE_DNS_SERVER = auto()
    USE_ADDRESS_POOL = auto()
    USE_DATA_PATH_ADDRESS = auto()
    USE_IPVLAN = auto()
    USE_SAME_VLAN = auto()
    USE_ROUTER = auto()
    USE_SYMMETRIC_ROUTE = auto()
    ALLOW_MAC = auto()
    ALLOW_VLAN = auto()
    ADD_VLAN = auto()
    ALLOW_GOSSIP = auto()
    ALLOW_ESP = auto()
    BRING_BACK = auto()
    BRING_LINK_UP = auto()
    GIVE_ADDRESS = auto()
    JOIN_SWARM = auto()
    RAISE_MTU = auto()
    REDUCE_LOSS = auto()
    REPAIR_PATH = auto()
    WAIT_FOR_GOSSIP = auto()
    WAIT_FOR_REPLACEMENT = auto()
    RECONNECT = auto()
    WIDEN_PORT_RANGE = auto()
    STOP_PROGRAM = auto()
    USE_OTHER_SUBNET = auto()
    PRUNE_NETWORKS = auto()
    USE_SMALLER_POOLS = auto()
    USE_IP_RANGE = auto()
    USE_MORE_NETWORKS = auto()
    USE_FIXED_SUBNET = auto()
    REMOVE_CONTAINER = auto()
    REMOVE_NETWORK = auto()
    DISCONNECT = auto()


@frozen
class Manual(Change):
    """A task for people."""

    task: Task
    subject: str = ""
    other: str = ""


def steps_of(change: Change) -> tuple[Change, ...]:
    """Return the single changes that a change consists of, in order."""
    return (
        tuple(step for each in change.changes for step in steps_of(each)) if isinstance(change, Steps) else (change,)
    )
