"""Apply changes to a lab or to a fork of it."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import singledispatch
from typing import TYPE_CHECKING, Any

from cnmsim.engine.standins.commandline import wildcard_option
from cnmsim.errors import EngineError, InvalidParameter, NotFound
from cnmsim.observe.fixes.changes import (
    HOST_GATEWAY,
    AcceptByPolicy,
    ActivateNode,
    AddRule,
    AskOther,
    Change,
    ConnectNetwork,
    ContainerOption,
    CreateNetwork,
    DeleteNftRule,
    DeleteRule,
    JoinNetwork,
    NetworkSetting,
    NewNetwork,
    PublishPort,
    RebindProgram,
    RecreateContainer,
    RecreateNetwork,
    RepairLinks,
    ReplaceInSetting,
    RestartContainer,
    ScaleService,
    SetLabel,
    SetNodeLabel,
    SetNodeRole,
    StartContainer,
    Steps,
    UpdateService,
    steps_of,
)
from cnmsim.observe.fixes.commands import commands_of

if TYPE_CHECKING:
    from cnmsim.observe.swarm_view import SwarmView

#: The request body of a create call of the Engine API.
Body = dict[str, Any]
#: The virtual seconds within which a node whose heartbeats pass again has a session with a manager.
_SESSION_S = 60


@singledispatch
def apply_change(change: Change, lab: Any) -> None:
    """Apply a change to a lab (an object with `hosts`).

    Most changes are applied by running their commands on the hosts. Raises `NotFound` if a host or object does not
    exist. Raises `InvalidParameter` if a command fails (with its output), or if only a person can make the change. If
    an engine refuses the change, the engine's error is raised.
    """
    commands = commands_of(change)
    if not commands:
        raise InvalidParameter(f"{type(change).__name__} cannot be applied")
    for command in commands:
        if command.place not in lab.hosts:
            raise NotFound(f"no host is called {command.place}")
        done = lab.hosts[command.place].exec(command.line)
        if not done.succeeded:
            raise InvalidParameter(f"{command.place}: {command.line}: {done.output.strip()}")


@apply_change.register(Steps)
def _(change: Steps, lab: Any) -> None:
    for step in change.changes:
        apply_change(step, lab)


@apply_change.register(AskOther)
def _(change: AskOther, lab: Any) -> None:
    del change, lab


@apply_change.register(RepairLinks)
def _(change: RepairLinks, lab: Any) -> None:
    del change
    lab.heal()


def unheard_nodes(change: Change, lab: Any) -> frozenset[str]:
    """Return the running nodes that are down because packet filters drop their heartbeats.

    The result is empty unless `change` adds or deletes a packet filter rule, or sets a policy.
    """
    from cnmsim.observe.diagnosis.swarm_ports import heartbeats_filtered
    from cnmsim.observe.trace.tracer import directory_of

    if not any(isinstance(step, (AcceptByPolicy, AddRule, DeleteNftRule, DeleteRule)) for step in steps_of(change)):
        return frozenset()
    return frozenset(
        node
        for swarm in _swarms(lab)
        for node in swarm.members
        if swarm.is_down(node) and node not in swarm.halted
        if heartbeats_filtered(directory_of(lab), swarm, node) is not None
    )


def await_nodes(nodes: frozenset[str], lab: Any) -> None:
    """Run the lab until none of `nodes` is down, for at most `_SESSION_S` virtual seconds, then until it is settled.

    A node opens a new session with a manager some seconds after its heartbeats can pass.
    """
    if not nodes:
        return
    for _ in range(_SESSION_S):
        if not any(swarm.is_down(node) for swarm in _swarms(lab) for node in nodes):
            break
        lab.run(1)
    lab.settle()


def _swarms(lab: Any) -> tuple[SwarmView, ...]:
    from cnmsim.observe.swarm_view import swarms_of

    return swarms_of(host.docker for host in lab.hosts.values() if host.has_docker)


# ---- engines


def _engine(lab: Any, host: str) -> Any:
    return lab.host(host).docker


def _engine_of(lab: Any, container: str, host: str) -> Any:
    """Return the engine that has the container: the engine of `host` if possible, else that of another host.

    Raises `NotFound` if no engine has it.
    """
    hosts = sorted(lab.hosts.values(), key=lambda each: each.name != host)
    for each in hosts:
        if each.has_docker and each.docker.store.find(container) is not None:
            return each.docker
    raise NotFound(f"No such container: {container}")


def _manager(lab: Any) -> Any:
    for host in lab.hosts.values():
        if host.has_docker and getattr(host.docker.cluster, "manager_node", None) is not None:
            return host.docker
    raise NotFound("no host of the lab is a swarm manager")


@apply_change.register(CreateNetwork)
def _(change: CreateNetwork, lab: Any) -> None:
    engine = _manager(lab) if change.driver == "overlay" else _engine(lab, change.host)
    engine.networks.create(change.network, **({"driver": change.driver} if change.driver else {}))


@apply_change.register(ConnectNetwork)
def _(change: ConnectNetwork, lab: Any) -> None:
    _engine_of(lab, change.container, change.host).networks.get(change.network).connect(change.container)


def _controller(lab: Any, host: str) -> Any:
    controller = lab.hosts[host].controller if host in lab.hosts else None
    if controller is None:
        raise NotFound(f"{host} runs no controller")
    return controller


@apply_change.register(NewNetwork)
def _(change: NewNetwork, lab: Any) -> None:
    _controller(lab, change.host).new_network(change.network)


@apply_change.register(JoinNetwork)
def _(change: JoinNetwork, lab: Any) -> None:
    controller = _controller(lab, change.host)
    sandbox = next((item for item in controller.sandboxes if item.name == change.sandbox), None)
    if sandbox is None:
        raise NotFound(f"No such sandbox: {change.sandbox}")
    endpoint = controller.network_by_name(change.network).create_endpoint(change.sandbox, aliases=[change.sandbox])
    try:
        endpoint.join(sandbox)
    except EngineError:
        endpoint.delete()
        raise


@apply_change.register(StartContainer)
def _(change: StartContainer, lab: Any) -> None:
    _engine_of(lab, change.container, change.host).containers.get(change.container).start()


@apply_change.register(RestartContainer)
def _(change: RestartContainer, lab: Any) -> None:
    _engine_of(lab, change.container, change.host).containers.get(change.container).restart()


@apply_change.register(ScaleService)
def _(change: ScaleService, lab: Any) -> None:
    _manager(lab).services.get(change.service).scale(change.replicas)


@apply_change.register(UpdateService)
def _(change: UpdateService, lab: Any) -> None:
    manager = _manager(lab)
    service = manager.services.get(change.service)
    spec = service.attrs["Spec"]
    container = spec["TaskTemplate"]["ContainerSpec"]
    ports = (spec.get("EndpointSpec") or {}).get("Ports") or []
    match change.option:
        case "--network-add":
            networks = spec["TaskTemplate"].get("Networks") or []
            service.update(networks=[*networks, {"Target": manager.networks.get(change.value).id}])
        case "--endpoint-mode":
            service.update(endpoint_mode=change.value)
        case option if option.endswith("--publish-add"):
            fields = dict(item.split("=") for item in change.value.split(","))
            added = {
                "Protocol": fields["protocol"], "TargetPort": int(fields["target"]),
                "PublishedPort": int(fields["published"]), "PublishMode": "ingress",
            }  # fmt: skip
            own = ("PublishedPort", "Protocol")
            kept = [item for item in ports if any(item.get(key) != added[key] for key in own)]
            service.update(endpoint_spec={"Ports": [*kept, added]})
        case "--publish-rm":
            kept = [item for item in ports if str(item.get("TargetPort")) != change.value]
            service.update(endpoint_spec={"Ports": kept})
        case "--label-add":
            key, _, value = change.value.partition("=")
            service.update(labels={**(spec.get("Labels") or {}), key: value})
        case "--constraint-rm":
            constraints = (spec["TaskTemplate"].get("Placement") or {}).get("Constraints") or ()
            service.update(constraints=[item for item in constraints if item != change.value])
        case "--args":
            service.update(args=change.value)
        case "--dns-rm":
            config = container.get("DNSConfig") or {}
            servers = [item for item in config.get("Nameservers") or () if item != change.value]
            service.update(dns_config=config | {"Nameservers": servers})
        case "--replicas-max-per-node":
            service.update(maxreplicas=int(change.value))
        case "--host-rm":
            name, _, address = change.value.partition(":")
            pairs = [(each, words[0]) for words in map(str.split, container.get("Hosts") or ()) for each in words[1:]]
            service.update(hosts=[f"{each}:{own}" for each, own in pairs if (each, own) != (name, address)])
        case _:
            raise InvalidParameter(f"docker service update {change.option} cannot be applied")


@apply_change.register(ActivateNode)
def _(change: ActivateNode, lab: Any) -> None:
    node = _manager(lab).nodes.get(change.node)
    node.update({**node.attrs["Spec"], "Availability": "active"})


@apply_change.register(SetNodeLabel)
def _(change: SetNodeLabel, lab: Any) -> None:
    node = _manager(lab).nodes.get(change.node)
    labels = node.attrs["Spec"].get("Labels") or {}
    node.update({**node.attrs["Spec"], "Labels": {**labels, change.key: change.value}})


@apply_change.register(SetNodeRole)
def _(change: SetNodeRole, lab: Any) -> None:
    node = _manager(lab).nodes.get(change.node)
    node.update({**node.attrs["Spec"], "Role": "manager" if change.is_manager else "worker"})


# ---- containers and networks that are created again


def recreate_container(lab: Any, host: str, name: str, edit: Callable[[Body], None]) -> None:
    """Remove the container `name` on `host`, then create and start one of the same name with a changed configuration.

    `edit` is called with the request body of the old container's create call, and modifies the body in place.
    """
    engine = _engine(lab, host)
    old = engine.containers.get(name)
    body = create_body_of(old)
    edit(body)
    old.remove(force=True)
    created = engine.rest.containers.create(body, {"name": name})
    engine.containers.get(created["Id"]).start()


def create_body_of(container: Any) -> Body:
    """Return the request body of a create call that would create a container with the same configuration."""
    record = container.record
    body: Body = deepcopy(record.config)
    if body.get("Hostname") == record.id[:12]:
        body["Hostname"] = ""
    body["HostConfig"] = deepcopy(record.host_config)
    endpoints = {}
    for name, own in record.networks.items():
        settings = {
            "Aliases": [alias for alias in own.aliases or () if alias != record.id[:12]] or None,
            "Links": own.links, "DriverOpts": own.driver_opts, "GwPriority": own.gw_priority,
            "MacAddress": own.wanted_mac, "IPAMConfig": None if own.ipam_is_operational else own.ipam_config,
        }  # fmt: skip
        endpoints[name] = {key: value for key, value in settings.items() if value}
    body["NetworkingConfig"] = {"EndpointsConfig": endpoints}
    return body


@apply_change.register(PublishPort)
def _(change: PublishPort, lab: Any) -> None:
    def edit(body: Body) -> None:
        bindings = dict(body["HostConfig"].get("PortBindings") or {})
        host_port = str(change.host_port)
        kept = {key: [each for each in many or () if each["HostPort"] != host_port] for key, many in bindings.items()}
        key = f"{change.port}/{change.protocol}"
        kept[key] = [*kept.get(key, ()), {"HostIp": change.host_ip, "HostPort": host_port}]
        body["HostConfig"]["PortBindings"] = {name: many for name, many in kept.items() if many}
        body["ExposedPorts"] = {**(body.get("ExposedPorts") or {}), key: {}}

    recreate_container(lab, change.host, change.container, edit)


@apply_change.register(RebindProgram)
def _(change: RebindProgram, lab: Any) -> None:
    def edit(body: Body) -> None:
        for key in ("Cmd", "Entrypoint"):
            if body.get(key):
                # The fix is to listen on the wildcard address.
                body[key] = [word.replace(change.address, "0.0.0.0") for word in body[key]]  # noqa: S104
        words = [*(body.get("Entrypoint") or ()), *(body.get("Cmd") or ())]
        option = wildcard_option(words)
        if option:  # the program binds loopback by default
            body["Cmd"] = [*(body.get("Cmd") or ()), *option]

    recreate_container(lab, change.host, change.container, edit)


@apply_change.register(RecreateContainer)
def _(change: RecreateContainer, lab: Any) -> None:
    def edit(body: Body) -> None:
        if change.option is ContainerOption.BRIDGE_NETWORK:
            body["HostConfig"]["NetworkMode"] = "bridge"
            body["NetworkingConfig"] = {"EndpointsConfig": {"bridge": {}}}
            return
        if change.option is ContainerOption.NO_MAC:
            body.pop("MacAddress", None)
            for endpoint in body["NetworkingConfig"]["EndpointsConfig"].values():
                endpoint.pop("MacAddress", None)
            return
        if change.option is ContainerOption.HOST_GATEWAY:
            entries = body["HostConfig"].get("ExtraHosts") or []
            if HOST_GATEWAY in entries:
                raise InvalidParameter(f"{change.container} was created with {HOST_GATEWAY}")
            body["HostConfig"]["ExtraHosts"] = [*entries, HOST_GATEWAY]
            return
        key = {ContainerOption.NO_DNS: "Dns", ContainerOption.NO_EXTRA_HOSTS: "ExtraHosts"}[change.option]
        if not body["HostConfig"].get(key):
            raise InvalidParameter(f"{change.container} was created without {key}")
        body["HostConfig"][key] = None

    recreate_container(lab, change.host, change.container, edit)


@apply_change.register(ReplaceInSetting)
def _(change: ReplaceInSetting, lab: Any) -> None:
    def edit(body: Body) -> None:
        setting, *names = change.keys
        match setting:
            case "environment":
                start = f"{names[0]}="
                body["Env"] = [
                    word.replace(change.old, change.new) if word.startswith(start) else word
                    for word in body.get("Env") or ()
                ]
            case "labels":
                body["Labels"][names[0]] = body["Labels"][names[0]].replace(change.old, change.new)
            case _:
                key, holder = {"command": ("Cmd", body), "entrypoint": ("Entrypoint", body)}.get(
                    setting, ("Test", body.get("Healthcheck") or {})
                )
                holder[key] = [word.replace(change.old, change.new) for word in holder.get(key) or ()]

    recreate_container(lab, change.host, change.container, edit)


@apply_change.register(SetLabel)
def _(change: SetLabel, lab: Any) -> None:
    def edit(body: Body) -> None:
        body["Labels"] = {**(body.get("Labels") or {}), change.key: change.value}

    recreate_container(lab, change.host, change.container, edit)


@apply_change.register(RecreateNetwork)
def _(change: RecreateNetwork, lab: Any) -> None:
    engine = _engine(lab, change.host)
    old = engine.networks.get(change.network)
    attrs = old.attrs
    options: Body = {
        "driver": attrs["Driver"], "options": dict(attrs["Options"] or {}), "ipam": attrs["IPAM"],
        "internal": attrs["Internal"], "labels": attrs["Labels"], "enable_ipv6": attrs["EnableIPv6"],
        "attachable": attrs["Attachable"],
    }  # fmt: skip
    match change.setting:
        case NetworkSetting.OPTION:
            key, _, value = change.value.partition("=")
            options["options"][key] = value
        case NetworkSetting.IPV6:
            options["enable_ipv6"] = True
        case NetworkSetting.SUBNET:
            options["ipam"] = None
        case _:
            raise InvalidParameter(f"{change.setting.value} cannot be applied")
    members = old.containers
    known = {each.name: each.record.networks.get(change.network) for each in members}
    for each in members:
        old.disconnect(each)
    old.remove()
    created = engine.networks.create(change.network, **options)
    for each in members:
        settings = known[each.name]
        created.connect(each, aliases=(settings.aliases or None) if settings is not None else None)
