"""A location of a lab: a host, a container or another sandbox, with its data from Docker and the kernel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from cnmsim.engine.standins.knownport import KnownPort, Provenance
from cnmsim.engine.standins.standin import StandIn
from cnmsim.errors import Unavailable
from cnmsim.kernel.address import Address, Prefix, format_ip, is_loopback

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.files import FileSystem
    from cnmsim.kernel.machine import Machine
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.process import Process, Program
    from cnmsim.kernel.sockets.table import SocketInfo


@frozen
class Attachment:
    """A container's attachment to a network: the network's name, driver, options and subnets.

    `addresses` are the container's addresses on the network. `bridge` is the name of the network's bridge, "" if it
    has none.
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

    @property
    def own_name(self) -> str:
        """The name or address by which the host itself reaches the port."""
        if self.host_ip in {"", "0.0.0.0", "127.0.0.1"}:  # noqa: S104 - compared, not bound
            return "localhost"
        return "::1" if self.host_ip == "::" else self.host_ip

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
    publish. `stands_for_internet` marks the host that answers for every public name and address. `stands_for_machine`
    marks a host in place of a machine that only the Compose file mentions; it answers at every port. `own_names` are
    the names for which a host's name server has records.

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
    stands_for_machine: bool = False
    own_names: tuple[str, ...] = ()
    programs: Mapping[str, Program] = field(factory=dict)

    def __repr__(self) -> str:
        return f"<Station {self.label}>"

    @property
    def service_names(self) -> tuple[str, ...]:
        """The names of the location's service. In a stack there are two, with and without the stack's name.

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

    @property
    def lasting_name(self) -> str:
        """A name that also identifies the location in another lab built from the same files.

        A task's id differs between such labs. For a task, the name is therefore that of the replica, such as
        `shop_web.2`.
        """
        return self.replica_names[0] if self.task else self.label

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
        """Return how certain it is whether a program listens on `port` by `protocol`.

        If a socket listens there, return the provenance of this socket. Otherwise, return `UNKNOWN` if `is_open_to`
        is True for the port, else `ASSUMED` if the location runs a program that is not simulated, and `RECORDED` if
        it runs only simulated programs.
        """
        for listener in self.listening_on(protocol, port):
            return listener.provenance
        stand_ins = self.stand_ins
        if self.is_open_to(protocol, port):
            return Provenance.UNKNOWN
        return Provenance.ASSUMED if stand_ins else Provenance.RECORDED

    def is_open_to(self, protocol: str, port: int) -> bool:
        """Return True if no simulated socket is bound to the port, but in reality a program may listen on it.

        This is possible if the location runs a program that is not simulated and of which not all ports are known; on
        a host, only programs of which no port is known count. Return False if the container publishes one of its
        ports as the host port with this number: the user then probably confused the two ports.
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

        If a container shares a network namespace (`host` or `container:X`), sockets of the other programs in that
        namespace are left out. For other containers, the sockets of dockerd's embedded resolver are left out.
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

    def device_with(self, address: Address) -> Device | None:
        """Return the network device that has `address`; `None` if there is none."""
        devices = self.namespace.devices.values()
        return next((device for device in devices if any(own.address == address for own in device.addresses)), None)

    def on_network(self, name: str) -> Attachment | None:
        """Return the attachment to the network with that name, `None` if there is none."""
        return next((item for item in self.attachments if item.network == name), None)


@frozen
class StoppedContainer:
    """A container that is not running: its name, host and status, and the ports that it publishes when it runs.

    `project`, `service` and `replica` are as in `Location`. `taken_port` is the port for which its program ended
    because another program has it, 0 if it did not. `network_mode` is that of the engine, `networks` are the names of
    the container's networks. `task` is the name of its swarm task, "" if it has none.
    """

    name: str
    host: str
    status: str
    published: tuple[Published, ...]
    project: str = ""
    service: str = ""
    replica: int = 0
    network_mode: str = ""
    taken_port: int = 0
    networks: tuple[str, ...] = ()
    exit_code: int = 0
    task: str = ""

    @property
    def label(self) -> str:
        """The name with that of the host: `node1:web`."""
        return f"{self.host}:{self.name}"

    @property
    def has_succeeded(self) -> bool:
        """Whether its program ended without an error, as a job does."""
        return self.status == "exited" and self.exit_code == 0


def shared_networks(one: Location, other: Location) -> tuple[str, ...]:
    """Return the names of the networks to which both locations are attached.

    A bridge network counts only if both locations are on the same host.
    """
    names = {item.network for item in other.attachments if item.driver != "bridge" or one.host == other.host}
    return tuple(item.network for item in one.attachments if item.network in names)
