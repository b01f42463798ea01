"""The commands that an operator would type to make a change."""

from __future__ import annotations

import shlex
from functools import singledispatch

from attrs import frozen

from cnmsim.observe.fixes.changes import (
    AcceptByPolicy,
    ActivateNode,
    AddAddress,
    AddRoute,
    AddRule,
    AddShimDevice,
    Change,
    ConnectNetwork,
    CreateNetwork,
    DeleteLink,
    DeleteNftRule,
    DeleteRoute,
    DeleteRoutingRule,
    DeleteRule,
    NetworkSetting,
    PublishPort,
    RebindProgram,
    RecreateContainer,
    RecreateNetwork,
    RepairLinks,
    ReplaceInSetting,
    ReplaceRoute,
    RestartContainer,
    ScaleService,
    SetLabel,
    SetLinkUp,
    SetNodeLabel,
    SetNodeRole,
    SetSysctl,
    StartContainer,
    Steps,
    UpdateService,
)


@frozen
class Command:
    """A command line, and the host on which to type it.

    The host is "" for a Python call on the lab, such as `lab.heal()`.
    """

    place: str
    line: str

    def __str__(self) -> str:
        return f"{self.place}$ {self.line}" if self.place else self.line


def _recreated(option: str) -> str:
    return f"docker rm -f {{0.container}}; docker run … --name {{0.container}} {option} …"


#: Commands that contain only fields of the change and are typed on the change's host; `0` is the change.
_TEMPLATES: dict[type[Change], str] = {
    StartContainer: "docker start {0.container}",
    RebindProgram: _recreated("(its program told to listen on 0.0.0.0)"),
    RecreateContainer: _recreated("{0.option.value}"),
    ReplaceInSetting: _recreated("(with {0.new} for {0.old} in its {0.keys[0]})"),
    SetLabel: _recreated("--label {0.key}={0.value}"),
    RestartContainer: "docker restart {0.container}",
    ScaleService: "docker service scale {0.service}={0.replicas}",
    ActivateNode: "docker node update --availability active {0.node}",
    SetNodeLabel: "docker node update --label-add {0.key}={0.value} {0.node}",
    SetSysctl: "sysctl -w {0.key}={0.value}",
    DeleteNftRule: "nft delete rule {0.table} {0.chain} handle {0.handle}",
    ReplaceRoute: "ip route replace {0.prefix} {0.path}",
    DeleteRoute: "ip route del {0.route}",
    DeleteRoutingRule: "ip rule del pref {0.priority}",
    AddAddress: "ip address add {0.address} dev {0.device}",
    SetLinkUp: "ip link set {0.device} up",
    DeleteLink: "ip link del {0.device}",
}


@singledispatch
def commands_of(change: Change) -> tuple[Command, ...]:
    """Return the command lines that make a change; empty if it needs no command, or no command can make it."""
    template = _TEMPLATES.get(type(change))
    return () if template is None else (Command(getattr(change, "host", ""), template.format(change)),)


@commands_of.register(Steps)
def _(change: Steps) -> tuple[Command, ...]:
    return tuple(command for step in change.changes for command in commands_of(step))


# ---- docker


@commands_of.register(PublishPort)
def _(change: PublishPort) -> tuple[Command, ...]:
    return (Command(change.host, _recreated("{1}").format(change, publish_option(change))),)


def publish_option(change: PublishPort) -> str:
    """Return the `docker run` option that publishes the port, e.g. `-p 8080:80` or `-p 5353:53/udp`.

    If the port is not known, return the text `-p HOSTPORT:PORT`.
    """
    if not change.port:
        return "-p HOSTPORT:PORT"
    address = f"[{change.host_ip}]:" if ":" in change.host_ip else f"{change.host_ip}:" if change.host_ip else ""
    return f"-p {address}{change.host_port}:{change.port}" + (
        "" if change.protocol == "tcp" else f"/{change.protocol}"
    )


@commands_of.register(SetNodeRole)
def _(change: SetNodeRole) -> tuple[Command, ...]:
    verb = "promote" if change.is_manager else "demote"
    return (Command(change.host, f"docker node {verb} {change.node}"),)


@commands_of.register(CreateNetwork)
def _(change: CreateNetwork) -> tuple[Command, ...]:
    driver = f"-d {change.driver} " if change.driver else ""
    return (Command(change.host, f"docker network create {driver}{change.network}"),)


@commands_of.register(ConnectNetwork)
def _(change: ConnectNetwork) -> tuple[Command, ...]:
    return (Command(change.host, f"docker network connect {change.network or 'NETWORK'} {change.container}"),)


@commands_of.register(RecreateNetwork)
def _(change: RecreateNetwork) -> tuple[Command, ...]:
    option = network_option(change)
    line = f"docker network rm {change.network}; docker network create … {option} {change.network}"
    return (Command(change.host, line),)


def network_option(change: RecreateNetwork) -> str:
    """Return the `docker network create` option for the changed setting of a network.

    Examples: `-o com.docker.network.driver.mtu=1450`, `--gateway 10.0.0.1`.
    """
    if change.setting is NetworkSetting.SUBNET and not change.value:
        return "(another --subnet)"
    return f"{change.setting.value} {change.value}".strip()


@commands_of.register(UpdateService)
def _(change: UpdateService) -> tuple[Command, ...]:
    value = shlex.quote(change.value) if change.value else "NETWORK"
    return (Command(change.host, f"docker service update {change.option} {value} {change.service}"),)


# ---- hosts


@commands_of.register(AddRule)
def _(change: AddRule) -> tuple[Command, ...]:
    return (Command(change.host, f"{change.program} -I {change.chain} {change.match} -j ACCEPT".replace("  ", " ")),)


@commands_of.register(DeleteRule)
def _(change: DeleteRule) -> tuple[Command, ...]:
    line = f"{change.program} -t {change.table} {change.rule.replace('-A', '-D', 1)}"
    return (Command(change.host, f"nsenter --net={change.namespace} {line}" if change.namespace else line),)


@commands_of.register(AcceptByPolicy)
def _(change: AcceptByPolicy) -> tuple[Command, ...]:
    if change.program == "nft":
        return (Command(change.host, f"nft add chain {change.table} {change.chain} '{{ policy accept; }}'"),)
    table = "" if change.table == "filter" and change.program == "iptables" else f"-t {change.table} "
    return (Command(change.host, f"{change.program} {table}-P {change.chain} ACCEPT"),)


@commands_of.register(AddRoute)
def _(change: AddRoute) -> tuple[Command, ...]:
    return (Command(change.host, f"ip route add {change.prefix or 'PREFIX'} via {change.via or 'GATEWAY'}"),)


@commands_of.register(AddShimDevice)
def _(change: AddShimDevice) -> tuple[Command, ...]:
    lines = (
        f"ip link add link {change.parent} name shim0 type {change.kind} mode {change.mode}",
        f"ip address add {change.address}/32 dev shim0",
        "ip link set shim0 up",
        f"ip route add {change.guest}/32 dev shim0",
    )
    return tuple(Command(change.host, line) for line in lines)


@commands_of.register(RepairLinks)
def _(change: RepairLinks) -> tuple[Command, ...]:
    del change
    return (Command("", "lab.heal()"),)
