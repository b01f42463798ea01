"""The locations of a lab: its hosts, containers and other sandboxes, with their data from Docker and the kernel.

Everything is read from the simulation when it is needed, from inspect results and network namespaces. A `Directory`
is a snapshot; a new one reads everything again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from cnmsim.digits import is_number
from cnmsim.engine.standins.knownport import KnownPort, Provenance
from cnmsim.engine.standins.standin import StandIn
from cnmsim.errors import Conflict, NotFound, Unavailable
from cnmsim.kernel.address import Address, Prefix, format_ip, is_loopback, parse_ip
from cnmsim.libnetwork.drivers.bridge.labels import BRIDGE_NAME
from cnmsim.libnetwork.gateway import GATEWAY_NETWORK
from cnmsim.suggestion import suggestion
from cnmsim.underlay.nameserver import ANY_PUBLIC_NAME

if TYPE_CHECKING:
    from cnmsim.kernel.files import FileSystem
    from cnmsim.kernel.machine import Machine
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.process import Process, Program
    from cnmsim.kernel.sockets.table import SocketInfo
    from cnmsim.libnetwork.controller import Controller
    from cnmsim.libnetwork.endpoint import Endpoint
    from cnmsim.libnetwork.sandbox import Sandbox
    from cnmsim.observe.swarm_view import SwarmView

#: The minimum length of a name that is accepted as the start of an image's name (`mongo` for `mongodb`).
_SHORTEST = 4


@frozen
class Attachment:
    """A container's attachment to a network.

    It holds the network's name, driver, options and subnets, and the container's addresses on the network.
    """

    network: str
    driver: str = "bridge"
    is_internal: bool = False
    addresses: tuple[Address, ...] = ()
    options: Mapping[str, str] = field(factory=dict)
    subnets: tuple[Prefix, ...] = ()
    bridge: str = ""

    @property
    def is_default(self) -> bool:
        """Whether the network is the default bridge, which has no embedded resolver."""
        return self.network == "bridge" and self.driver == "bridge"


@frozen
class Published:
    """A published port: host address ("" for all addresses), host port, container port and protocol."""

    host_ip: str
    host_port: int
    port: int
    protocol: str

    @property
    def is_loopback_only(self) -> bool:
        """Whether the port is published on a loopback address, so that only the host itself can use it."""
        return self.host_ip.startswith("127.") or self.host_ip == "::1"

    def __str__(self) -> str:
        host = f"[{self.host_ip}]" if ":" in self.host_ip else self.host_ip or "*"
        return f"{host}:{self.host_port}->{self.port}/{self.protocol}"


@frozen
class Listener:
    """A socket that accepts connections or receives datagrams: its protocol, address and port, and its program.

    `known` is `None` if the program is simulated. Otherwise it is the port on which the program is assumed to listen,
    with the source of that knowledge.
    """

    protocol: str
    address: Address
    port: int
    program: str = ""
    known: KnownPort | None = None

    @property
    def provenance(self) -> Provenance:
        """How certain it is that the program listens.

        It is `RECORDED` if the program is simulated, and otherwise depends on the source of the port.
        """
        return Provenance.RECORDED if self.known is None else self.known.source.provenance

    @property
    def is_loopback_only(self) -> bool:
        """Whether the address is a loopback address, reachable only from the same namespace."""
        return is_loopback(self.address)

    def __str__(self) -> str:
        text = format_ip(self.address)
        return f"[{text}]:{self.port}" if len(self.address) == 16 else f"{text}:{self.port}"


@define(eq=False)
class Location:
    """A host, a container, or a sandbox of no container. `host` is the name of the machine on which it runs.

    A sandbox that belongs to no container has both `is_sandbox` and `is_container`, because to the network it is like
    a container. `requested` are the ports that a container should publish; `published` are those that Docker does
    publish. `stands_for_internet` marks a host that answers for every public name and address; `own_names` are the
    names for which its name server has records.

    `project`, `service` and `replica` come from a Compose project or a swarm stack; `task` is the name of the swarm
    task. For a host with an engine, `release` is the engine's version, and `bridges` maps names of bridge devices to
    names of networks.
    """

    name: str
    host: str
    machine: Machine
    namespace: NetworkNamespace
    files: FileSystem
    is_container: bool = False
    is_sandbox: bool = False
    has_engine: bool = False
    release: str = ""
    bridges: Mapping[str, str] = field(factory=dict)
    hostname: str = ""
    attachments: tuple[Attachment, ...] = ()
    published: tuple[Published, ...] = ()
    requested: tuple[Published, ...] = ()
    project: str = ""
    service: str = ""
    replica: int = 0
    task: str = ""
    aliases: tuple[str, ...] = ()
    id: str = ""
    image: str = ""
    network_mode: str = ""
    is_paused: bool = False
    stands_for_internet: bool = False
    own_names: tuple[str, ...] = ()
    programs: Mapping[str, Program] = field(factory=dict)

    def __repr__(self) -> str:
        return f"<Station {self.label}>"

    @property
    def service_names(self) -> tuple[str, ...]:
        """The names of the location's service. In a stack there are two: with and without the stack's name.

        Example: `shop_web` and `web`.
        """
        own = self.service.removeprefix(f"{self.project}_")
        return (self.service,) if own == self.service else (self.service, own)

    @property
    def replica_names(self) -> tuple[str, ...]:
        """The names that identify one replica of a service: `web-2`, or for a swarm task `shop_web.2` and `web.2`."""
        if not self.task:
            return (f"{self.service}-{self.replica}",)
        number = self.task.removeprefix(f"{self.service}.").rpartition(".")[0]
        return tuple(f"{name}.{number}" for name in self.service_names)

    @property
    def is_internal_only(self) -> bool:
        """Whether every network that the container is on is internal, so that Docker publishes none of its ports."""
        return bool(self.attachments) and all(item.is_internal for item in self.attachments)

    @property
    def label(self) -> str:
        """The name to print; for a container with its host: `node1:web`."""
        return f"{self.host}:{self.name}" if self.is_container else self.name

    def spawn(self, program: Program, argv: list[str]) -> Process:
        """Start a program in the location, as `docker exec` or a login shell would. `argv` is its command line."""
        return self.machine.spawn(
            program, argv, namespace=self.namespace, files=self.files, hostname=self.hostname or self.name,
            programs=self.programs,
        )  # fmt: skip

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The location's addresses with global scope, in the order of its devices.

        Loopback and link-local addresses are left out.
        """
        return tuple(
            item.address
            for device in self.namespace.devices.values()
            if device.kind != "loopback"
            for item in device.addresses
            if item.scope == "global"
        )

    @property
    def address(self) -> Address:
        """The first of `addresses`. Raises `Unavailable` if there is none."""
        for address in self.addresses:
            return address
        raise Unavailable(f"{self.label} has no address: it is attached to no network")

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """The listening sockets of the network namespace, sorted by protocol and port."""
        return self._listeners(self.namespace.sockets.listeners())

    @property
    def stand_ins(self) -> tuple[StandIn, ...]:
        """The stand-ins (for programs that are not simulated) that run in the location's network namespace."""
        return tuple(
            process.program
            for process in self.machine.processes.values()
            if process.namespace is self.namespace
            and isinstance(process.program, StandIn)
            and not process.program.ends
        )

    def provenance(self, protocol: str, port: int) -> Provenance:
        """Return how certain it is whether a program listens on a port.

        If a socket listens there, it is the provenance of that socket. If none does: `UNKNOWN` if a program of which
        not all ports are known runs there; `ASSUMED` if a program whose ports are assumed runs there; else
        `RECORDED`.
        """
        for listener in self.listening_on(protocol, port):
            return listener.provenance
        stand_ins = self.stand_ins
        if self.is_open_to(protocol, port):
            return Provenance.UNKNOWN
        return Provenance.ASSUMED if stand_ins else Provenance.RECORDED

    def is_open_to(self, protocol: str, port: int) -> bool:
        """Return True if no socket is bound to the port, but a program may still listen on it in reality.

        That is so if a program runs in the location of which not all ports are known. On a host, only programs of
        which no port is known count. Return False for a port number that the container publishes as a host port of
        another container port: the user is then assumed to have confused the two.
        """
        if self.listening_on(protocol, port):
            return False
        if not self.is_container:
            return any(not item.ports and not item.is_complete for item in self.stand_ins)
        if any((item.protocol, item.host_port) == (protocol, port) for item in self.published):
            return False
        return any(not item.is_complete for item in self.stand_ins)

    def _listeners(self, infos: Iterable[SocketInfo]) -> tuple[Listener, ...]:
        found = set()
        for item in infos:
            process = self.machine.processes.get(item.pid)
            program = process.program if process is not None else None
            known = program.port(item.protocol, item.local_port) if isinstance(program, StandIn) else None
            found.add(Listener(item.protocol, item.local, item.local_port, item.program, known))
        return tuple(sorted(found, key=lambda item: (item.protocol, item.port, item.address)))

    @property
    def services(self) -> tuple[Listener, ...]:
        """The listening sockets of the location's own programs.

        If a container shares a network namespace (`host` or `container:X`), sockets of the other programs there are
        left out. For other containers, the embedded resolver of dockerd is left out.
        """
        found = self.namespace.sockets.listeners()
        if self.network_mode == "host" or self.network_mode.startswith("container:"):
            own = {
                process.pid for process in self.machine.processes.values() if process.files.base is self.files.base
            }
            return self._listeners(item for item in found if item.pid in own)
        return self._listeners(item for item in found if not (self.is_container and item.program == "dockerd"))

    def listening_on(self, protocol: str, port: int) -> tuple[Listener, ...]:
        """Return the sockets that listen on a port with a protocol (`tcp` or `udp`)."""
        return tuple(item for item in self.listeners if (item.protocol, item.port) == (protocol, port))

    def on_network(self, name: str) -> Attachment | None:
        """Return the attachment to the network with that name, `None` if there is none."""
        return next((item for item in self.attachments if item.network == name), None)


@frozen
class StoppedContainer:
    """A container that is not running: its name, host and status, and the ports that it publishes when it runs.

    `project`, `service` and `replica` are as in `Location`.
    """

    name: str
    host: str
    status: str
    published: tuple[Published, ...]
    project: str = ""
    service: str = ""
    replica: int = 0


@define(eq=False)
class Directory:
    """All locations of a lab, with lookups by name and address; a snapshot.

    `stopped` maps the names of containers that are not running, and of their services, to the container's status.
    `stopped_containers` are these containers, and `swarms` are the lab's swarms. `inactive` maps each Compose service
    that was not started, because its profiles are not active, to these profiles.
    """

    locations: tuple[Location, ...]
    stopped: Mapping[str, str] = field(factory=dict)
    stopped_containers: tuple[StoppedContainer, ...] = ()
    swarms: tuple[SwarmView, ...] = ()
    inactive: Mapping[str, tuple[str, ...]] = field(factory=dict)

    @classmethod
    def of(cls, hosts: Iterable[Any], inactive: Mapping[str, tuple[str, ...]] | None = None) -> Directory:
        """Build the directory from a lab's hosts, which are objects like `cnmsim.Host`.

        `inactive` is stored as given.
        """
        from cnmsim.observe.swarm_view import swarms_of

        found: list[Location] = []
        engines = []
        stopped: dict[str, str] = {}
        stopped_containers: list[StoppedContainer] = []
        for host in hosts:
            engine = host.docker if host.has_docker else None
            networks = (
                {network.name: network.attrs for network in engine.networks.list()} if engine is not None else {}
            )
            controller = getattr(host, "controller", None)
            found.append(_host_location(host, engine, networks, controller))
            if engine is not None:
                engines.append(engine)
                # The engine lists the newest container first; the directory lists the oldest first.
                for container in reversed(engine.containers.list(all=True)):
                    if container.status in {"running", "paused"}:
                        found.append(_container_location(host.name, host.machine, container, networks))
                    else:
                        item = _stopped(host.name, container)
                        stopped |= {item.name: item.status, item.service or item.name: item.status}
                        stopped_containers.append(item)
            if controller is not None:
                known = {item.id for item in found if item.is_container}
                found += [
                    sandbox_location(sandbox)
                    for sandbox in controller.sandboxes
                    if sandbox.container_id not in known
                    and not is_internal(sandbox)
                    and sandbox.namespace is not None
                ]
        _share_attachments(found)
        return cls(tuple(found), stopped, tuple(stopped_containers), swarms_of(engines), inactive or {})

    def find(self, text: str) -> Location:
        """Return the location with a name.

        The name may be that of a container or host, `host:container`, a service (its first replica), a replica
        (`web-2`), a task (`web.2`), an alias, or the start of a container id. `localhost` and `host` mean the lab's
        only Docker host. Raises `NotFound`, with the closest name, if nothing matches; `Conflict` if several
        locations match or the container is not running.
        """
        found = self.matching(text) or self._docker_host(text)
        if len(found) == 1:
            return found[0]
        if found:
            raise Conflict(f"{text} is ambiguous: {', '.join(item.label for item in found)}")
        if text in self.stopped:
            raise Conflict(f"{text} is not running: its container has {self.stopped[text]}")
        if text in self.inactive:
            profile = self.inactive[text][0]
            raise NotFound(
                f"service {text} is not started: its profile {profile} is not active (--profile {profile})"
            )
        close, image = self.similar(text)
        hint = (
            f", did you mean {close}{f' (image {image})' if image else ''}?"
            if close
            else suggestion(text, self._names)
        )
        raise NotFound(f"no running container, service or host is called {text!r}{hint}")

    @property
    def _names(self) -> set[str]:
        """The names of all locations and services, without names generated for a project's containers."""
        generated = {f"{item.project}-{item.service}-{item.replica}" for item in self.locations}
        return ({item.name for item in self.locations} - generated | {item.service for item in self.locations}) - {""}

    def similar(self, text: str, besides: Location | None = None) -> tuple[str, str]:
        """Return (name, image): the name that an unknown name probably means, and the image if that is the reason.

        A container whose image has exactly the unknown name comes first (`db` for `postgres`), then the closest name
        or alias (with the image ""), then a container whose image's name starts like the unknown name. Return
        ("", "") if nothing is similar. `besides` is a location to leave out.
        """
        import difflib

        others = [item for item in self.locations if item is not besides]
        named = {item.service or item.name: _image_name(item.image) for item in others if item.is_container}
        for name, image in named.items():
            if image == text:
                return name, image
        aliases = {alias for item in others for alias in item.aliases if not item.id.startswith(alias)}
        own = {besides.name, besides.service} if besides is not None else set()
        close = difflib.get_close_matches(text, sorted((self._names | aliases) - own), 1)
        if close:
            return close[0], ""
        for name, image in named.items():
            if min(len(image), len(text)) >= _SHORTEST and (image.startswith(text) or text.startswith(image)):
                return name, image
        return "", ""

    def _docker_host(self, text: str) -> tuple[Location, ...]:
        """Return the Docker host, in a tuple, if `text` is `localhost` or `host`: users call the host so.

        The tuple is empty for any other text, or if the lab has several Docker hosts.
        """
        hosts = tuple(item for item in self.locations if item.has_engine)
        return hosts if text in {"localhost", "host"} and len(hosts) == 1 else ()

    def matching(self, text: str) -> tuple[Location, ...]:
        """Return the locations that `text` matches; empty if there are none.

        The kinds of names are tried in this order: location, service, replica, alias, id. The first kind with a match
        counts.
        """
        host, colon, name = text.partition(":")
        inside = [item for item in self.locations if not colon or (item.host == host and item.is_container)]
        name = name if colon else host
        by_name = tuple(item for item in inside if item.name == name)
        if by_name:
            containers = tuple(item for item in by_name if item.is_container)
            return containers if len(by_name) > 1 and containers else by_name
        by_service = tuple(item for item in inside if item.service and name in item.service_names)
        if by_service:
            return (min(by_service, key=lambda item: item.replica),)
        by_replica = tuple(item for item in inside if item.service and name in item.replica_names)
        if by_replica:
            return by_replica
        by_alias = tuple(item for item in inside if name in item.aliases)
        if by_alias:
            return by_alias
        return tuple(item for item in inside if len(name) >= 4 and item.id.startswith(name))

    def owner(self, address: Address) -> Location | None:
        """Return the location that has an address, `None` if there is none.

        If several locations share the network namespace with that address, return the one to which the namespace
        belongs.
        """
        return _owner_of_stack(item for item in self.locations if address in item.addresses)

    def at(self, place: str) -> Location | None:
        """Return the location whose network namespace has the name `place`, as in hops; `None` if there is none."""
        return _owner_of_stack(item for item in self.locations if item.namespace.name == place)

    def names(self) -> dict[Address, tuple[str, ...]]:
        """Return a mapping from each address to the names of the locations that have it, e.g. for capture files."""
        found: dict[Address, list[str]] = {}
        for location in self.locations:
            for address in location.addresses:
                known = found.setdefault(address, [])
                if location.name not in known:
                    known.append(location.name)
        return {address: tuple(names) for address, names in found.items()}


def _owner_of_stack(locations: Iterable[Location]) -> Location | None:
    found = list(locations)
    return next((item for item in found if item.namespace.name == item.name), found[0] if found else None)


def stack_owner(location: Location, directory: Directory) -> Location | None:
    """Return the location whose network namespace the container `location` uses; `None` if it has its own.

    A container uses another namespace with `network_mode: host` or `container:X`.
    """
    others = [item for item in directory.locations if item.namespace is location.namespace and item is not location]
    if location.network_mode == "host":
        return next((item for item in others if not item.is_container), None)
    if location.network_mode.startswith("container:"):
        return next((item for item in others if not item.network_mode.startswith("container:")), None)
    return None


def shared_networks(one: Location, other: Location) -> tuple[str, ...]:
    """Return the names of the networks to which both locations are attached.

    A bridge network counts only if both locations are on the same host.
    """
    names = {item.network for item in other.attachments if item.driver != "bridge" or one.host == other.host}
    return tuple(item.network for item in one.attachments if item.network in names)


def is_internal(sandbox: Sandbox) -> bool:
    """Return True for a sandbox that libnetwork creates for its own use.

    For a load balancer or the ingress network.
    """
    return bool(sandbox.options.load_balancer_of) or sandbox.options.is_ingress


def sandbox_location(sandbox: Sandbox) -> Location:
    """Return the location of a sandbox that belongs to no container.

    Raises `Unavailable` if it has no network namespace.
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


def _host_location(host: Any, engine: Any, networks: Mapping[str, Any], controller: Controller | None) -> Location:
    machine = host.machine
    bridges = {_bridge_name(attrs): name for name, attrs in networks.items() if attrs.get("Driver") == "bridge"}
    if engine is None and controller is not None:
        bridges = {
            network.driver_opts.get(BRIDGE_NAME, f"br-{network.id[:12]}"): network.name
            for network in controller.networks
            if network.driver_name == "bridge"
        }
    names = getattr(host, "built_with", {}).get("names") or {}
    return Location(
        host.name, host.name, machine, machine.root, machine.files,
        has_engine=engine is not None,
        release=engine.profile.version if engine is not None else "",
        bridges=bridges,
        hostname=host.name,
        stands_for_internet=ANY_PUBLIC_NAME in names,
        own_names=tuple(names),
        programs=host.programs,
    )  # fmt: skip


def _image_name(image: str) -> str:
    """Return the last part of an image's name: `postgres` for `docker.io/library/postgres:17`."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def _bridge_name(network: Mapping[str, Any]) -> str:
    own = (network.get("Options") or {}).get("com.docker.network.bridge.name", "")
    return own or f"br-{network.get('Id', '')[:12]}"


def _container_location(host: str, machine: Machine, container: Any, networks: Mapping[str, Any]) -> Location:
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


def _stopped(host: str, container: Any) -> StoppedContainer:
    labels = container.labels
    service = labels.get("com.docker.compose.service", "")
    return StoppedContainer(
        container.name, host, container.status,
        tuple(_published(container.attrs["HostConfig"].get("PortBindings") or {})),
        labels.get("com.docker.compose.project", ""), service, _number(labels, service),
    )  # fmt: skip


def _number(labels: Mapping[str, str], service: str) -> int:
    """Return the number of a container among its service's replicas, from its labels; 0 if it has none."""
    task = labels.get("com.docker.swarm.task.name", "").removeprefix(f"{service}.").partition(".")[0]
    number = labels.get("com.docker.compose.container-number") or task
    return int(number) if is_number(number) else 0


def _share_attachments(locations: list[Location]) -> None:
    """Copy attachments to containers that use another container's network namespace (`--network container:X`)."""
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
