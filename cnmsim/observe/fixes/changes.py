"""The changes to a lab that a fix can consist of: one class for each kind; there are no other kinds.

A change refers to hosts, containers, networks and services by name, so that it can be applied to a lab and to every
fork of it. `fixes.apply` applies changes, `fixes.commands` renders them as commands, and `diagnosis.sentences` as
phrases. Each of these modules selects a function by the type of the change. Further renderers can do the same.
"""

from __future__ import annotations

from enum import Enum

from attrs import field, frozen

from cnmsim.observe.fixes.tasks import Task


class Change:
    """Base of all changes."""

    __slots__ = ()

    @property
    def is_applicable(self) -> bool:
        """Whether cnmsim itself can apply the change: its kind is supported, and it leaves no choice to the user.

        It is False for what only a person can do: changing the options of a daemon, restarting a daemon, letting a
        node rejoin its swarm, and the manual work that a `Task` describes.
        """
        match self:
            case ChangeDaemonOption() | RestartDaemon() | RejoinSwarm() | Manual():
                return False
            case Steps(changes):
                return all(change.is_applicable for change in changes)
            case PublishPort():
                return bool(self.container and self.port)
            case ConnectNetwork() | JoinNetwork():
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


# ---- a changed probe


@frozen
class AskOther(Change):
    """Probe another name, address, port or protocol; the lab is not changed.

    A field that is "" or 0 keeps the value of the failed probe. `is_published` is True if `port` is a published port.
    """

    host: str = ""
    port: int = 0
    protocol: str = ""
    is_published: bool = False


# ---- containers


@frozen
class PublishPort(Change):
    """Recreate a container with its `port` published as `host_port` of its host. `port` is 0 if it is not known.

    `host_ip` is the host address, "" for all addresses.
    """

    host: str
    container: str
    port: int
    host_port: int
    protocol: str = "tcp"
    host_ip: str = ""


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
    """Recreate a container so that its program listens on all addresses instead of only on `address`.

    The change is made by an option of the container's command.
    """

    host: str
    container: str
    address: str


#: The usual name in containers for the Docker host, and the entry of `extra_hosts` that defines it.
HOST_NAME = "host.docker.internal"
HOST_GATEWAY = f"{HOST_NAME}:host-gateway"


class ContainerOption(Enum):
    """The option that changes when a container is recreated."""

    NO_DNS = "(no --dns)"
    NO_MAC = "(no --mac-address)"
    NO_EXTRA_HOSTS = "(no --add-host)"
    BRIDGE_NETWORK = "--network bridge"
    HOST_GATEWAY = f"--add-host {HOST_GATEWAY}"


@frozen
class RecreateContainer(Change):
    """Recreate a container with one option changed."""

    host: str
    container: str
    option: ContainerOption


@frozen
class ReplaceInSetting(Change):
    """Recreate a container with the text `old` replaced by `new` in one setting.

    `keys` is the path to the setting in a Compose service: `("command",)`, `("entrypoint",)`, `("healthcheck",
    "test")`, or the name of an entry, such as `("environment", "DB_HOST")` or `("labels", "app.url")`.
    """

    host: str
    container: str
    keys: tuple[str, ...]
    # These are texts of the file, in which the engine's names are not to be translated to those of the file.
    old: str = field(metadata={"is_verbatim": True})
    new: str = field(metadata={"is_verbatim": True})


@frozen
class SetLabel(Change):
    """Recreate a container with the label `key` set to `value`."""

    host: str
    container: str
    key: str
    value: str = field(metadata={"is_verbatim": True})


# ---- networks


@frozen
class CreateNetwork(Change):
    """Create a network. `driver` is "" for the default, bridge."""

    host: str
    network: str
    driver: str = ""


@frozen
class ConnectNetwork(Change):
    """Connect a container to a network. `network` is "" if the user may choose any network."""

    host: str
    network: str
    container: str


@frozen
class NewNetwork(Change):
    """Create a bridge network with libnetwork, on a host without an engine."""

    host: str
    network: str


@frozen
class JoinNetwork(Change):
    """Create an endpoint on a network and join it to a sandbox that belongs to no container.

    `network` is "" if the user may choose any network.
    """

    host: str
    network: str
    sandbox: str


class NetworkSetting(Enum):
    """The setting that changes when a network is recreated."""

    OPTION = "-o"
    IPV6 = "--ipv6"
    SUBNET = "--subnet"
    GATEWAY = "--gateway"
    ATTACHABLE = "--attachable"


@frozen
class RecreateNetwork(Change):
    """Recreate a network of a host with one setting changed, and connect its containers again.

    `value` is `KEY=VALUE` for a driver option, and an address for a subnet or gateway. If it is "", the user has to
    choose the value; for a subnet, Docker chooses one. `--ipv6` and `--attachable` need no value.
    """

    host: str
    network: str
    setting: NetworkSetting
    value: str = ""


# ---- daemons and swarms


@frozen
class ChangeDaemonOption(Change):
    """Change an option in a host's daemon.json."""

    host: str
    option: str
    value: str


@frozen
class RestartDaemon(Change):
    """Restart dockerd on a host, so that it installs its packet filter rules again."""

    host: str


@frozen
class ScaleService(Change):
    """Set the number of replicas of a service; `host` is a manager."""

    host: str
    service: str
    replicas: int


@frozen
class UpdateService(Change):
    """Change an option of a service, e.g. `--network-add` or `--endpoint-mode`; `host` is a manager.

    To replace a published port, `option` is `--publish-rm PORT --publish-add`, and `value` belongs to
    `--publish-add`.
    """

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
class SetNodeLabel(Change):
    """Set a label of a node; `host` is a manager."""

    host: str
    node: str
    key: str
    value: str


@frozen
class SetNodeRole(Change):
    """Promote a node to manager, or with `is_manager` False demote it to worker; `host` is a manager."""

    host: str
    node: str
    is_manager: bool


@frozen
class RejoinSwarm(Change):
    """Make a node take part in its swarm again.

    With `needs_unlock`, the locked manager is unlocked; otherwise the node leaves the swarm and joins it again.
    """

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
    """Insert a rule at the head of `chain` in table filter. It accepts packets that match `match`, e.g. `-p tcp`."""

    host: str
    chain: str
    match: str
    program: str = "iptables"


@frozen
class DeleteRule(Change):
    """Delete the iptables rule `rule`, written as iptables-save prints it, from `table`.

    `program` is the command to use, e.g. `ip6tables`. `namespace` is the path of the network namespace that has the
    rule, "" for the host's own.
    """

    host: str
    program: str
    table: str
    rule: str
    namespace: str = ""


@frozen
class DeleteNftRule(Change):
    """Delete an nftables rule of a host by its handle."""

    host: str
    table: str
    chain: str
    handle: int


@frozen
class AcceptByPolicy(Change):
    """Set the policy of a base chain to accept.

    `program` is `nft`, `iptables`, `iptables-legacy` or an IPv6 variant.
    """

    host: str
    program: str
    table: str
    chain: str


@frozen
class AddRoute(Change):
    """Add a route on a host. `prefix` or `via` is "" if the user has to choose it."""

    host: str
    prefix: str = ""
    via: str = ""


@frozen
class ReplaceRoute(Change):
    """Replace a route of a host.

    `path` is the part of the new route after the prefix, e.g. `via 10.0.0.1` or `dev eth0 src 10.0.0.2`.
    """

    host: str
    prefix: str
    path: str


@frozen
class DeleteRoute(Change):
    """Delete a route of a host, given as `ip route` prints it."""

    host: str
    route: str


@frozen
class DeleteRoutingRule(Change):
    """Delete a host's routing rule (`ip rule`), identified by its priority."""

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
    """Add a macvlan or ipvlan device on `parent` to a host, so that the host reaches containers on the same parent.

    `kind` is `macvlan` or `ipvlan`, `mode` the mode of the device. `address` is a free address of the containers'
    subnet for the new device, "" if there is none. `guest` is the address of the container that the host is to reach.
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


# ---- several changes, and tasks for people


@frozen
class Steps(Change):
    """Several changes that help only if all of them are made."""

    changes: tuple[Change, ...]


@frozen
class Manual(Change):
    """A task that only a person can do. `subject` and `other` are names that fill in the task's sentence."""

    task: Task
    subject: str = ""
    other: str = ""


def steps_of(change: Change) -> tuple[Change, ...]:
    """Return the single changes that a change consists of, in order.

    A `Steps` is resolved into its changes, including those of nested `Steps`. Any other change is returned alone.
    """
    return (
        tuple(step for each in change.changes for step in steps_of(each)) if isinstance(change, Steps) else (change,)
    )
