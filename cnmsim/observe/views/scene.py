"""The contents of a picture: machines with their sandboxes, networks, tunnels and NICs, and the links between them.

Everything is read from the devices: a veth's peer, a bridge's ports, a tunnel's parent, a NIC's segment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.kernel.bridge import Bridge
from cnmsim.kernel.device import Device, Nic, Veth
from cnmsim.kernel.upper_devices import UpperDevice
from cnmsim.kernel.vxlan import Vxlan
from cnmsim.observe.diagnosis.file_names import names_of
from cnmsim.observe.directory import Directory
from cnmsim.observe.location import Location, Published
from cnmsim.underlay.segment import Segment
from cnmsim.underlay.trunk import TrunkEnd

if TYPE_CHECKING:
    from cnmsim.kernel.machine import Machine
    from cnmsim.kernel.namespace import NetworkNamespace

#: The number of letters that fit on the second line of a network's label.
_DETAIL = 26

#: A node of the picture: (host, place, device). Place and device are those of a hop; device is "" for a whole stack.
Key = tuple[str, str, str]


@frozen
class Plug:
    """An interface of a sandbox. `bus` is the network to which it is attached; `None` for the host's own stack.

    `key` is its node in the picture, `addresses` its addresses as text. `far` is the host's end of the veth pair,
    `None` if the interface is no veth.
    """

    key: Key
    addresses: str
    bus: Key | None
    #: The host's end of the veth pair; `None` if the interface is no veth.
    far: Key | None = None


@frozen
class Sandbox:
    """A network namespace of a container (`kind` "container") or one that Docker created for itself ("docker").

    `key` is its node in the picture, `plugs` its interfaces.
    """

    key: Key
    name: str
    title: str
    kind: str
    plugs: tuple[Plug, ...]
    #: The ports that it publishes, in the form `8080 → 80/tcp`.
    ports: tuple[str, ...] = ()


@frozen
class Bus:
    """A network on one host: a bridge, or the parent interface that child interfaces (macvlan, ipvlan) share.

    `key` is its node in the picture, `detail` the second line of its label. `tunnel` is the VXLAN device of an
    overlay network and `vni` its VNI. `parent` is the parent interface of a macvlan or ipvlan network. `is_routed` is
    True if the host has an address on the network.
    """

    key: Key
    name: str
    detail: str
    tunnel: Key | None = None
    vni: int = 0
    parent: Key | None = None
    is_routed: bool = False


@frozen
class Interface:
    """A NIC of a machine, and the segment it is connected to ("" for none)."""

    key: Key
    label: str
    segment: str


@frozen
class MachineScene:
    """One machine of a picture: its sandboxes, its networks (`buses`) and its NICs (`interfaces`).

    `role` is a short description, such as the engine's release. `guests` are the names of containers that use the
    machine's own network stack.
    """

    name: str
    role: str
    sandboxes: tuple[Sandbox, ...]
    buses: tuple[Bus, ...]
    interfaces: tuple[Interface, ...]
    guests: tuple[str, ...]

    @property
    def key(self) -> Key:
        """The key of the machine's own network stack."""
        return (self.name, self.name, "")

    @property
    def is_plain(self) -> bool:
        """Whether the machine has neither sandboxes nor networks; this is usual for a router or a client."""
        return not self.sandboxes and not self.buses


@frozen
class Scene:
    """The contents of a picture: machines, segments as (name, label), and `trunks`, the cables between segments."""

    machines: tuple[MachineScene, ...]
    segments: tuple[tuple[str, str], ...]
    trunks: tuple[tuple[str, str], ...]

    @property
    def networks(self) -> tuple[str, ...]:
        """The names of the networks in order of appearance.

        A network's position in the tuple selects its colour. A network that exists on several hosts has one colour.
        """
        return tuple(dict.fromkeys(bus.name for machine in self.machines for bus in machine.buses))


def scene_of(directory: Directory) -> Scene:
    """Read the contents of a lab's picture from its directory."""
    machines = tuple(_machine(location, directory) for location in directory.locations if not location.is_container)
    segments: dict[str, Segment] = {}
    for location in directory.locations:
        if not location.is_container:
            _find_segments(location.namespace, segments)
    trunks = sorted(
        {
            (min(segment.name, far.name), max(segment.name, far.name))
            for segment in segments.values()
            for far in _neighbours(segment)
        }
    )
    return Scene(machines, tuple((name, _segment_text(segment)) for name, segment in segments.items()), tuple(trunks))


def _find_segments(namespace: NetworkNamespace, segments: dict[str, Segment]) -> None:
    waiting = [
        device.link
        for device in namespace.devices.values()
        if isinstance(device, Nic) and isinstance(device.link, Segment)
    ]
    while waiting:
        segment = waiting.pop()
        if segment.name not in segments:
            segments[segment.name] = segment
            waiting += _neighbours(segment)


def _neighbours(segment: Segment) -> list[Segment]:
    return [
        end.other.link
        for end in segment.stations
        if isinstance(end, TrunkEnd) and end.other is not None and isinstance(end.other.link, Segment)
    ]


def _segment_text(segment: Segment) -> str:
    options = segment.options
    words = [f"mtu {segment.mtu}"] if segment.mtu != 1500 else []
    words += [f"loss {options.loss:.0%}"] if options.loss else []
    words += ["VLANs"] if segment.has_vlans else []
    return " ".join([segment.name, *(f"({', '.join(words)})" for _ in words[:1])])


def _machine(location: Location, directory: Directory) -> MachineScene:
    machine, root = location.machine, location.namespace
    spaces = [*machine.namespaces.values()]
    here = [
        container for container in directory.locations if container.host == location.name and container.is_container
    ]
    spaces += [container.namespace for container in here]
    spaces = [space for space in dict.fromkeys(spaces) if space is not root]
    shown = names_of(directory)
    names = {**location.bridges, **{bridge: name for name, bridge in _network_names(here)}}
    names = {bridge: shown.get(name, name) for bridge, name in names.items()}
    buses = _buses(machine, [root, *spaces], names, shown)
    order = {bus.key: number for number, bus in enumerate(buses)}
    known = {bus.key for bus in buses}
    hidden = {bus.key[1] for bus in buses} - {root.name}
    sandboxes = [_sandbox(location, space, here, known, shown) for space in spaces if space.name not in hidden]
    sandboxes.sort(
        key=lambda sandbox: (
            sandbox.kind != "container",
            [order.get(plug.bus, -1) if plug.bus else -1 for plug in sandbox.plugs[:1]],
        )
    )
    interfaces = tuple(
        Interface((location.name, root.name, device.name), _device_text(device), _segment_name(device))
        for device in root.devices.values()
        if isinstance(device, Nic)
    )
    guests = tuple(shown.get(container.name, container.name) for container in here if container.namespace is root)
    return MachineScene(location.name, _role(location, directory), tuple(sandboxes), tuple(buses), interfaces, guests)


def _role(location: Location, directory: Directory) -> str:
    if location.has_engine:
        roles = [swarm.role_of(location.name) for swarm in directory.swarms if location.name in swarm.members]
        return ", ".join([f"Docker {location.release}".strip(), *filter(None, roles)])
    return "router" if location.namespace.sysctl_get("net.ipv4.ip_forward") == "1" else ""


def _network_names(locations: Iterable[Location]) -> Iterable[tuple[str, str]]:
    for location in locations:
        for item in location.attachments:
            yield item.network, item.options.get("parent", item.bridge)


def _segment_name(device: Device) -> str:
    medium = device.link if isinstance(device, Nic) else None
    return medium.name if isinstance(medium, Segment) else ""


def _addresses(device: Device) -> str:
    return " ".join(str(item).removesuffix("/32") for item in device.addresses if item.scope == "global")


def _device_text(device: Device) -> str:
    return f"{device.name} {_addresses(device)}".strip()


def _buses(
    machine: Machine, spaces: list[NetworkNamespace], names: Mapping[str, str], shown: Mapping[str, str]
) -> list[Bus]:
    """Return the buses of a machine: its bridges, and the parents of macvlan and ipvlan devices.

    `names` maps devices to the names of their networks, `shown` the engine's names to the names to show.
    """
    buses: dict[Key, Bus] = {}
    for space in spaces:
        for device in space.devices.values():
            if isinstance(device, Bridge):
                bus = _bridge_bus(machine.name, space, device, names, shown)
            elif (
                isinstance(device, UpperDevice) and space is not machine.root and device.lower.namespace is not space
            ):
                lower = device.lower
                at = (machine.name, machine.name, lower.name)
                detail = f"{device.kind} on {lower.name}"
                parent = _interface_under(machine, lower)
                bus = Bus(at, names.get(lower.name, lower.name), detail, parent=parent)
            else:
                continue
            buses.setdefault(bus.key, bus)
    return list(buses.values())


def _bridge_bus(
    host: str, space: NetworkNamespace, bridge: Bridge, names: Mapping[str, str], shown: Mapping[str, str]
) -> Bus:
    key = (host, space.name, bridge.name)
    tunnel = next((port for port in bridge.ports if isinstance(port, Vxlan)), None)
    overlay = space.name.removeprefix(f"{host}: overlay ") if space.name != host else ""
    name = shown.get(overlay, overlay) or names.get(bridge.name, bridge.name)
    detail = (
        _addresses(bridge) if name == bridge.name or len(_device_text(bridge)) > _DETAIL else _device_text(bridge)
    )
    if tunnel is None:
        return Bus(key, name, detail, is_routed=space.name == host and bool(bridge.addresses))
    return Bus(key, name, detail, (host, space.name, tunnel.name), tunnel.vni)


def _interface_under(machine: Machine, device: Device) -> Key:
    while isinstance(device, UpperDevice):
        device = device.lower
    return (machine.name, machine.name, device.name if isinstance(device, Nic) else "")


def _sandbox(
    location: Location, space: NetworkNamespace, here: list[Location], known: set[Key], shown: Mapping[str, str]
) -> Sandbox:
    host = location.name
    owners = [owner for owner in here if owner.namespace is space]
    plugs = tuple(
        _plug(location, space, device, known) for device in space.devices.values() if device.kind != "loopback"
    )
    names = [shown.get(owner.name, _short_name(owner)) for owner in owners] or [shown.get(space.name, space.name)]
    full = [(shown.get(owner.name, owner.name), shown.get(owner.image, owner.image)) for owner in owners]
    title = ", ".join(f"{name} ({image})" if image else name for name, image in full) or names[0]
    ports = tuple(dict.fromkeys(_port_text(item) for owner in owners for item in owner.published))
    return Sandbox(
        (host, space.name, ""), " + ".join(names), title, "container" if owners else "docker", plugs, ports
    )


def _port_text(item: Published) -> str:
    where = "" if item.host_ip in {"", "0.0.0.0", "::"} else f"{item.host_ip}:"  # noqa: S104
    return f"{where}{item.host_port} → {item.port}/{item.protocol}"


def _short_name(location: Location) -> str:
    """Return the name to show for a container; for a swarm task without the task id, e.g. `web.1`."""
    return ".".join(location.task.split(".")[:-1]) or location.name if location.task else location.name


def _plug(location: Location, space: NetworkNamespace, device: Device, known: set[Key]) -> Plug:
    host, key = location.name, (location.name, space.name, device.name)
    bus: Key | None = None
    far: Key | None = None
    if isinstance(device, Veth) and device.peer is not None and device.peer.namespace is not None:
        peer = device.peer
        assert peer.namespace is not None
        far = (host, peer.namespace.name, peer.name)
        bus = (host, peer.namespace.name, peer.master.name) if peer.master is not None else None
    elif isinstance(device, UpperDevice):
        bus = (host, host, device.lower.name)
    return Plug(key, _addresses(device), bus if bus in known else None, far)
