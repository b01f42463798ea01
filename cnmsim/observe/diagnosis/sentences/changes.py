"""Sentences of changes, and the advice of a finding."""

from __future__ import annotations

from cnmsim.kernel.address import join_host_port
from cnmsim.observe.diagnosis.sentences.base import TEMPLATES, sentence
from cnmsim.observe.fixes import changes
from cnmsim.observe.fixes.changes import Change, ContainerOption, NetworkSetting, steps_of
from cnmsim.observe.fixes.commands import commands_of, network_option, publish_option
from cnmsim.observe.fixes.tasks import Task


@sentence.register(Change)
def _(change: Change) -> str:
    """Render a change as the commands that make it, if there is no special sentence for its type.

    The host's name comes first, except if all commands are docker commands.
    """
    template = TEMPLATES.get(type(change))
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
        place = join_host_port(change.host, change.port)
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
        ContainerOption.NO_MAC: f"run {name} without --mac-address",
        ContainerOption.NO_EXTRA_HOSTS: f"remove that name from the extra_hosts (--add-host) of {name}",
        ContainerOption.BRIDGE_NETWORK: (
            f"start {name} on a network instead of none: a container in network_mode none cannot join another"
        ),
        ContainerOption.HOST_GATEWAY: f"run {name} with {change.option.value}",
    }[change.option]


@sentence.register(changes.ReplaceInSetting)
def _(change: changes.ReplaceInSetting) -> str:
    setting = {"environment": change.keys[-1], "labels": f"label {change.keys[-1]}", "healthcheck": "health check"}
    named = setting.get(change.keys[0], change.keys[0])
    return f"replace {change.old} by {change.new} in {named} of {change.container}"


@sentence.register(changes.ConnectNetwork)
def _(change: changes.ConnectNetwork) -> str:
    return commands_of(change)[0].line


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
        # The commands before it already name the container, so only the second name follows.
        return f"{'; '.join(texts)}, and use {sentence(last).removeprefix('use ')}"
    return "; ".join([*texts, sentence(last)])


@sentence.register(changes.Manual)
def _(change: changes.Manual) -> str:
    return _TASKS[change.task].format(change.subject, change.other)


#: Sentences for tasks that only a person can do; `0` and `1` are the task's `subject` and `other`.
_TASKS = {
    Task.USE_NAME: "use the name instead of a remembered address: a restarted container may have another one",
    Task.NAME_MACHINE: (
        'if a machine has that address, state it: extra_hosts: ["NAME:{0}"] of a service puts it on the LAN'
    ),
    Task.USE_TASK_NAMES: "find the others by name: a service's tasks.NAME has the addresses of all its tasks",
    Task.USE_VALID_ADDRESS: "use an address that is valid on that link (127.0.0.0/8 never leaves its host)",
    Task.USE_GATEWAY_MODE: "set the network's gateway_mode to routed",
    Task.ASK_FROM_HOST: "ask from the host",
    Task.ASK_FROM_DOCKER_HOST: "ask from {0}",
    Task.ASK_FROM_ELSEWHERE: "ask from another machine",
    Task.ASK_FROM_NETWORK: "ask from a container on its network",
    Task.ASK_FROM_SAME_NETWORK: "send from a container on the same network",
    Task.ASK_MEMBER: "ask one of {0}",
    Task.CHECK_SPELLING: "check the spelling",
    Task.LEAVE_OUT_OFFLINE: "leave out --offline: without it every public name and address answers",
    Task.ACTIVATE_PROFILE: "activate the profile (--profile {0})",
    Task.CHECK_DOMAIN: (
        "check the spelling; if {0} is short for a longer name, ask for that, or name its domain (dns_search)"
    ),
    Task.CHECK_PLACE: "look at {0}",
    Task.CHECK_BEYOND: "check the path behind that point",
    Task.CHECK_PAUSED: "check that {0} is not paused",
    Task.CHECK_ENDED: "see in the logs of {0} why it ended",
    Task.CHECK_ROUTES: "check its routes",
    Task.CHECK_SEGMENT: "check that {0} and {1} are on one segment, and the route's gateway",
    Task.CHECK_LOOP: "look for a routing loop in the walk above",
    Task.CHECK_SERVICE: "look at docker service ps --no-trunc {0}",
    Task.CHECK_VIRTUAL_SERVICE: "look at `ipvsadm -Ln` on {0}, and add a real server whose weight is not 0",
    Task.CHECK_HEALTH: "wait until it passes, or see why it does not: look at docker service ps --no-trunc {0}",
    Task.CHECK_DATA_PATH: "use the same data path port on all nodes, and check that {0} has network {1}",
    Task.CHANGE_RULE: "change that rule on {0}",
    Task.CHANGE_OUTPUT_RULE: "change that rule of the OUTPUT chain on {0}",
    Task.START_LISTENER: "start a program that listens there on {0}",
    Task.START_PROGRAM: "start the program in {0} that should listen",
    Task.USE_LISTENER_NAME: "use the name of the container that listens",
    Task.PUBLISH_OTHER_ADDRESS: "publish it on another address of the host",
    Task.PUBLISH_IN_HOST_MODE: "publish the port in mode host",
    Task.PUBLISH_IN_INGRESS_MODE: "publish it in mode ingress",
    Task.PUBLISH_ANY_PORT: "publish a port of {0}",
    Task.PUBLISH_OTHER_PORT: "publish another port",
    Task.PUBLISH_ON_OPEN_NETWORK: "attach {0} to a network without --internal and publish the port there",
    Task.USE_PUBLISHED: "use a published port",
    Task.USE_LISTENED_PORT: "use the intended port, or configure the program in {0} to listen on this one",
    Task.USE_OTHER_PORT: "configure the program of {0} to listen on another port",
    Task.USE_OVERLAY: "put both on an overlay network",
    Task.USE_SHARED_NETWORK: "start {0} on a network of {1}",
    Task.USE_SERVICE: "run {0} as a service on it",
    Task.USE_CONSTRAINTS: (
        "label a node so that it satisfies the constraints (docker node update), or change them: see "
        "docker service ps --no-trunc {0}"
    ),
    Task.USE_KEEPALIVE: "send keepalives more often than every 900 s (net.ipv4.tcp_keepalive_time)",
    Task.USE_LARGER_SUBNET: "create {0} with a larger --subnet",
    Task.USE_DNS_SERVER: "name a server that can be reached (dns)",
    Task.USE_ADDRESS_POOL: "init the swarm with --default-addr-pool",
    Task.USE_DATA_PATH_ADDRESS: "join {0} to the swarm with --data-path-addr {1}",
    Task.USE_IPVLAN: "use ipvlan, whose containers share the MAC of their host",
    Task.USE_SAME_VLAN: "put both into one VLAN, or reach one from the other by a router",
    Task.USE_ROUTER: "correct the route to {0} on {1}",
    Task.USE_SYMMETRIC_ROUTE: "make the route back to {0} symmetric",
    Task.ALLOW_MAC: "allow the MAC of {0} on that port",
    Task.ALLOW_VLAN: "allow the VLAN on that port, or use another parent",
    Task.ADD_VLAN: "create an interface for that VLAN there, or use another parent",
    Task.ALLOW_GOSSIP: "allow TCP and UDP port 7946 between {0} and {1}, both ways",
    Task.ALLOW_ESP: "allow gossip (port 7946) and ESP between the nodes, so that {0} receives the keys of its peers",
    Task.BRING_BACK: "bring {0} back",
    Task.BRING_LINK_UP: "bring the link at {0} up",
    Task.ASSIGN_ADDRESS: "assign {0} an address on its network",
    Task.JOIN_SWARM: "join {0} to the swarm",
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

TEMPLATES.update(
    {
        changes.SetLabel: "set label {0.key} of {0.container} to {0.value}",
        changes.NewNetwork: "controller.new_network({0.network!r})",
        changes.RebindProgram: "bind the program in {0.container} to 0.0.0.0 instead of {0.address}",
        changes.ChangeDaemonOption: 'set "{0.option}": {0.value} in daemon.json of {0.host}',
        changes.RestartDaemon: (
            "restart Docker on {0.host}, and always after the firewall: it installs its rules again"
        ),
        changes.SetSysctl: "sysctl -w {0.key}={0.value} on {0.host}",
        changes.AddShimDevice: (
            "add an interface to {0.host} (ip link add link {0.parent} name shim0 type {0.kind} mode "
            "{0.mode}) with an address and a route to {0.guest}"
        ),
        changes.RepairLinks: "repair the links (lab.heal())",
    }
)
