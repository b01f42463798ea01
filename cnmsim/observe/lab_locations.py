"""Read the locations of a lab: its hosts, and their containers and other sandboxes.

The data of a container come from its inspect result, the data of a sandbox without a container from libnetwork.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cnmsim.digits import is_number
from cnmsim.kernel.address import Prefix, format_ip, parse_ip
from cnmsim.libnetwork.drivers.bridge.labels import BRIDGE_NAME
from cnmsim.libnetwork.gateway import GATEWAY_NETWORK
from cnmsim.observe.location import Attachment, Location, Published, StoppedContainer
from cnmsim.observe.taken_ports import taken_port
from cnmsim.underlay.nameserver import ANY_PUBLIC_NAME

if TYPE_CHECKING:
    from cnmsim.kernel.machine import Machine
    from cnmsim.libnetwork.controller import Controller
    from cnmsim.libnetwork.endpoint import Endpoint
    from cnmsim.libnetwork.sandbox import Sandbox


def host_location(host: Any, engine: Any, networks: Mapping[str, Any], controller: Controller | None) -> Location:
    """Return the location of a host. `engine` is its Docker engine, or `None`.

    `networks` maps the names of the engine's networks to their inspect results. If there is no engine, bridges are
    taken from `controller`, the host's libnetwork instance.
    """
    machine = host.machine
    bridges = {_bridge_name(attrs): name for name, attrs in networks.items() if attrs.get("Driver") == "bridge"}
    if engine is None and controller is not None:
        bridges = {
            network.driver_opts.get(BRIDGE_NAME, f"br-{network.id[:12]}"): network.name
            for network in controller.networks
            if network.driver_name == "bridge"
        }
    built_with = getattr(host, "built_with", {})
    names, is_machine = built_with.get("names") or {}, built_with.get("stands_for_machine", False)
    return Location(
        host.name, host.name, machine, machine.root, machine.files,
        has_engine=engine is not None,
        release=engine.profile.version if engine is not None else "",
        bridges=bridges,
        hostname=host.name,
        stands_for_internet=ANY_PUBLIC_NAME in names and not is_machine,
        stands_for_machine=is_machine,
        own_names=tuple(names),
        programs=host.programs,
    )  # fmt: skip


def container_location(host: str, machine: Machine, container: Any, networks: Mapping[str, Any]) -> Location:
    """Return the location of a container on the host with the name `host`, as `docker inspect` describes it.

    `networks` maps the names of the engine's networks to their inspect results.
    """
    attrs = container.attrs
    labels = attrs["Config"].get("Labels") or {}
    attached = attrs["NetworkSettings"]["Networks"] or {}
    service = labels.get("com.docker.compose.service") or labels.get("com.docker.swarm.service.name") or ""
    return Location(
        container.name, host, machine, container.namespace, container.files,
        is_container=True,
        hostname=attrs["Config"].get("Hostname") or container.name,
        attachments=tuple(
            _attachment(name, view, networks.get(name, {}))
            for name, view in attached.items()
            if name not in {"none", "host"}
        ),
        published=tuple(_published(attrs["NetworkSettings"].get("Ports") or {})),
        requested=tuple(_published(attrs["HostConfig"].get("PortBindings") or {})),
        project=labels.get("com.docker.compose.project") or labels.get("com.docker.stack.namespace") or "",
        service=service,
        replica=_number(labels, service),
        task=labels.get("com.docker.swarm.task.name", ""),
        aliases=tuple(
            dict.fromkeys(
                alias for view in attached.values() for alias in view.get("DNSNames") or view.get("Aliases") or ()
            )
        ),
        id=container.id,
        image=attrs["Config"].get("Image", ""),
        network_mode=attrs["HostConfig"].get("NetworkMode", ""),
        is_paused=container.status == "paused",
        programs=container.programs,
    )  # fmt: skip


def stopped_container(host: str, container: Any) -> StoppedContainer:
    """Return the description of a container that is not running, on the host with the name `host`."""
    labels = container.labels
    service = labels.get("com.docker.compose.service", "")
    return StoppedContainer(
        container.name, host, container.status,
        tuple(_published(container.attrs["HostConfig"].get("PortBindings") or {})),
        labels.get("com.docker.compose.project", ""), service, _number(labels, service),
        container.attrs["HostConfig"].get("NetworkMode", ""),
        taken_port(line.text for line in container.record.log.lines)[0],
        tuple(container.attrs["NetworkSettings"]["Networks"] or {}),
        container.attrs["State"]["ExitCode"],
        labels.get("com.docker.swarm.task.name", ""),
    )  # fmt: skip


def _number(labels: Mapping[str, str], service: str) -> int:
    """Return the number of a container among its service's replicas, from its labels; 0 if it has none."""
    task = labels.get("com.docker.swarm.task.name", "").removeprefix(f"{service}.").partition(".")[0]
    number = labels.get("com.docker.compose.container-number") or task
    return int(number) if is_number(number) else 0


def share_attachments(locations: list[Location]) -> None:
    """Set the attachments of containers that use another container's network namespace (`--network container:X`).

    Each gets the attachments of the container to which the namespace belongs.
    """
    owners = {location.namespace: location for location in locations if location.attachments}
    for location in locations:
        if location.is_container and not location.attachments and location.namespace in owners:
            location.attachments = owners[location.namespace].attachments


def _attachment(name: str, view: Mapping[str, Any], network: Mapping[str, Any]) -> Attachment:
    options = network.get("Options") or {}
    config = (network.get("IPAM") or {}).get("Config") or ()
    texts = (view.get("IPAddress"), view.get("GlobalIPv6Address"))
    return Attachment(
        name,
        network.get("Driver", "bridge"),
        bool(network.get("Internal")),
        tuple(parse_ip(text) for text in texts if text),
        options,
        tuple(Prefix.parse(item["Subnet"], strict=False) for item in config if item.get("Subnet")),
        _bridge_name(network),
    )


def _published(ports: Mapping[str, Any]) -> Iterable[Published]:
    for spec, bindings in ports.items():
        port, _, protocol = spec.partition("/")
        for binding in bindings or ():
            if not binding["HostPort"]:
                continue  # with gateway mode routed there is no host port: the container's own address is used
            # A requested host port may be a range, of which the engine publishes one port.
            first, _, last = binding["HostPort"].partition("-")
            for host_port in range(int(first), int(last or first) + 1):
                yield Published(binding.get("HostIp", ""), host_port, int(port), protocol)


def is_internal(sandbox: Sandbox) -> bool:
    """Return True for a sandbox that libnetwork creates for a load balancer or for the ingress network."""
    return bool(sandbox.options.load_balancer_of) or sandbox.options.is_ingress


def sandbox_location(sandbox: Sandbox) -> Location:
    """Return the location of a sandbox that belongs to no container.

    Raises `Unavailable` if the sandbox has no network namespace.
    """
    place, options = sandbox.place, sandbox.options
    return Location(
        sandbox.name, sandbox.controller.machine.name, sandbox.controller.machine, place.namespace, place.files,
        is_container=True,
        is_sandbox=True,
        hostname=place.hostname,
        attachments=tuple(_endpoint_attachment(endpoint) for endpoint in sandbox.endpoints if _counts(endpoint)),
        published=tuple(
            Published(
                "" if binding.host_ip is None else format_ip(binding.host_ip),
                binding.host_port, binding.container_port, binding.protocol,
            )
            for binding in sandbox.port_map
            if binding.host_port
        ),
        aliases=tuple(dict.fromkeys(name for endpoint in sandbox.endpoints for name in endpoint.dns_names)),
        id=sandbox.container_id,
        network_mode="host" if options.use_host_namespace else "",
        programs=sandbox.controller.programs,
    )  # fmt: skip


def _counts(endpoint: Endpoint) -> bool:
    # As for containers, attachments to docker_gwbridge, host and none are left out.
    return endpoint.network.name != GATEWAY_NETWORK and not endpoint.network.is_special


def _endpoint_attachment(endpoint: Endpoint) -> Attachment:
    network = endpoint.network
    return Attachment(
        network.name,
        network.driver_name,
        network.internal,
        tuple(assigned[0] for assigned in (endpoint.ipv4, endpoint.ipv6) if assigned is not None),
        network.driver_opts,
        tuple(info.pool for info in network.ipam_info),
        network.driver_opts.get(BRIDGE_NAME, f"br-{network.id[:12]}"),
    )


def _bridge_name(network: Mapping[str, Any]) -> str:
    own = (network.get("Options") or {}).get("com.docker.network.bridge.name", "")
    return own or f"br-{network.get('Id', '')[:12]}"
