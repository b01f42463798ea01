"""Invariants of a swarm at rest: unique addresses and VNIs, the state of each node, and DNS answers.

Each `check_` function raises an `AssertionError` whose message describes the violation. `check_swarm` runs all of
them that send no packets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.kernel.address import Address, Prefix, format_ip, parse_ip
from cnmsim.kernel.vxlan import Vxlan
from cnmsim.libnetwork.networkdb.convergence import first_difference
from cnmsim.libnetwork.networkdb.databases import databases_of
from cnmsim.swarm.objects import NodeState, ResolutionMode, TaskState

if TYPE_CHECKING:
    from cnmsim.engine.engine import Engine
    from cnmsim.kernel.device import Device
    from cnmsim.lab import Lab
    from cnmsim.swarm.objects import Network, Service, Task
    from cnmsim.swarm.store import Store

_VNIS = "com.docker.network.driver.overlay.vxlanid_list"
_IPV4, _ARP = b"\x08\x00", b"\x08\x06"


def engines_of(lab: Lab) -> list[Engine]:
    """Return the engines of the lab that are members of a swarm."""
    engines = (host.docker for host in lab.hosts.values() if host.has_docker)
    return [engine for engine in engines if engine.controller.cluster is not None]


def store_of_swarm(lab: Lab) -> Store:
    """Return the store of the swarm to which the lab's hosts belong. Raises `LookupError` if there is no manager."""
    for engine in engines_of(lab):
        if engine.cluster.manager_node is not None:
            return engine.cluster.manager_node.store
    raise LookupError("no host of the lab manages a swarm")


def running(store: Store, service: Service) -> list[Task]:
    """Return the tasks of a service that are running, are meant to run, and are on nodes that are ready."""
    tasks = []
    for task in store.tasks.by_service(service.id):
        node = store.nodes.get(task.node_id)
        is_up = node is not None and node.status.state is NodeState.READY
        if is_up and task.state is TaskState.RUNNING and task.desired_state is TaskState.RUNNING:
            tasks.append(task)
    return tasks


def address_on(task: Task, network: Network) -> Address | None:
    """Return a task's IPv4 address on a network, or `None` if it has none."""
    for attachment in task.networks:
        if attachment.network.id == network.id and attachment.addresses:
            return parse_ip(attachment.addresses[0].partition("/")[0])
    return None


def check_swarm(lab: Lab) -> None:
    """Check the invariants of a swarm at rest. Raises `AssertionError` if one is violated."""
    check_gossip(lab)
    check_addresses(lab)
    check_vnis(lab)
    check_balancers(lab)
    check_names(lab)
    check_tunnels(lab)


def check_gossip(lab: Lab) -> None:
    """Check that all nodes hold the same gossip tables."""
    difference = first_difference(databases_of(lab.clock))
    assert not difference, difference


def check_addresses(lab: Lab) -> None:
    """Check that no address of a network is assigned twice, in the managers' store or on the nodes."""
    store = store_of_swarm(lab)
    owners: dict[tuple[str, Address], str] = {}
    for network_id, text, who in _allocated(store):
        address = parse_ip(text.partition("/")[0])
        known = owners.setdefault((network_id, address), who)
        assert known == who, f"{format_ip(address)} is the address of {known} and of {who}"
    held: dict[tuple[str, Address], str] = {}
    for engine in engines_of(lab):
        for network in engine.controller.networks:
            for endpoint in network.endpoints.values() if network.driver_name == "overlay" else ():
                if endpoint.ipv4 is None:
                    continue
                who = f"{endpoint.name} on {engine.machine.name}"
                other = held.setdefault((network.id, endpoint.ipv4[0]), who)
                assert other == who, f"{format_ip(endpoint.ipv4[0])} is held by {other} and by {who}"
                assert (network.id, endpoint.ipv4[0]) in owners, (
                    f"{who} has {format_ip(endpoint.ipv4[0])}, given to nobody"
                )


def _allocated(store: Store) -> Iterator[tuple[str, str, str]]:
    for service in store.services:
        for vip in service.endpoint.virtual_ips if service.endpoint is not None else ():
            if vip.addr:
                yield vip.network_id, vip.addr, f"service {service.name}"
    for task in store.tasks:
        node = store.nodes.get(task.node_id)
        is_gone = task.state > TaskState.RUNNING or (node is None and task.node_id)
        for attachment in () if is_gone else task.networks:
            for text in attachment.addresses:
                yield attachment.network.id, text, f"task {task.id}"
    for node in store.nodes:
        for attachment in node.attachments:
            for text in attachment.addresses:
                yield attachment.network.id, text, f"the load balancer of {node.hostname}"


def check_vnis(lab: Lab) -> None:
    """Check that no two networks share a VNI or a subnet."""
    store = store_of_swarm(lab)
    owners: dict[str, str] = {}
    subnets: dict[Prefix, str] = {}
    for network in store.networks:
        options = network.driver_state.options if network.driver_state is not None else None
        for vni in filter(None, (options or {}).get(_VNIS, "").split(",")):
            assert vni not in owners, f"VNI {vni} is of {owners[vni]} and of {network.name}"
            owners[vni] = network.name
        for config in network.ipam.configs if network.ipam is not None else ():
            prefix = Prefix.parse(config.subnet)
            for other, name in subnets.items():
                assert not other.overlaps(prefix), f"{network.name} {prefix} overlaps {name} {other}"
            subnets[prefix] = network.name


def check_balancers(lab: Lab) -> None:
    """Check that a service's IPVS backends are exactly its running tasks, on each node that has its network."""
    store = store_of_swarm(lab)
    for engine in engines_of(lab):
        discovery = engine.controller.discovery
        for local in engine.controller.networks:
            network = store.networks.get(local.id)
            if network is None or not local.is_gossiped:
                continue
            for service in store.services:
                known = {
                    backend.endpoint_ip
                    for (service_id, _ports), entry in discovery.services.items()
                    if service_id == service.id and network.id in entry.networks
                    for backend in entry.networks[network.id].backends.values()
                }
                addresses = {address_on(task, network) for task in running(store, service)}
                expected = {address for address in addresses if address is not None}
                assert known == expected, (
                    f"{engine.machine.name} sends {service.name} on {network.name} "
                    f"to {sorted(map(format_ip, known))}, its tasks are {sorted(map(format_ip, expected))}"
                )


def check_names(lab: Lab) -> None:
    """Check that a service's name resolves correctly, on each node that has its network.

    The result must be the service's virtual address, or with DNS round robin the addresses of its running tasks.
    """
    store = store_of_swarm(lab)
    for engine in engines_of(lab):
        for local in engine.controller.networks:
            network = store.networks.get(local.id)
            if network is None or network.is_ingress or not local.is_gossiped:
                continue
            for service in store.services:
                if network.id not in {config.target for config in service.networks}:
                    continue
                tasks = {address_on(task, network) for task in running(store, service)} - {None}
                endpoint = service.spec.endpoint
                is_shared = endpoint is None or endpoint.mode is ResolutionMode.VIP
                vips = service.endpoint.virtual_ips if service.endpoint is not None else ()
                own = {parse_ip(vip.addr.partition("/")[0]) for vip in vips if vip.network_id == network.id}
                expected = (own if tasks else set()) if is_shared else tasks
                resolved = set(local.records.lookup(service.name) or ())
                assert resolved == expected, (
                    f"{service.name} on {network.name} is {sorted(map(format_ip, resolved))} on {engine.machine.name}"
                )


def check_tunnels(lab: Lab) -> None:
    """Check the FDB entries of VXLAN devices: there is one for each endpoint on another node, and no other one."""
    there: dict[str, dict[bytes, tuple[Address, str]]] = {}
    for engine in engines_of(lab):
        agent = engine.controller.agent
        for network in engine.controller.networks if agent is not None else ():
            for endpoint in network.endpoints.values() if network.driver_name == "overlay" else ():
                assert agent is not None
                if endpoint.mac is not None and endpoint.sandbox is not None:
                    known = there.setdefault(network.id, {})
                    known[endpoint.mac] = (agent.config.tunnel_addr, engine.machine.name)
    for engine in engines_of(lab):
        for network in engine.controller.networks:
            device = tunnel_of(engine, network.name) if network.driver_name == "overlay" else None
            if device is None:
                continue
            remote = {
                mac: where for mac, (where, host) in there.get(network.id, {}).items() if host != engine.machine.name
            }
            entries = {entry.mac: set(entry.remotes) for entry in device.fdb}
            for mac, where in remote.items():
                assert entries.get(mac) == {where}, (
                    f"{engine.machine.name} does not lead {mac.hex(':')} of {network.name} on"
                )
            more = [mac.hex(":") for mac in entries if mac not in remote]
            assert not more, f"{engine.machine.name} leads {', '.join(more)} of {network.name} on, which nobody has"


def tunnel_of(engine: Engine, network: str) -> Vxlan | None:
    """Return the VXLAN device of the overlay network named `network` on a node; `None` if there is none."""
    name = f"{engine.machine.name}: overlay {network}"
    for space in engine.machine.namespaces.values():
        if space.name == name:
            return next((device for device in space.devices.values() if isinstance(device, Vxlan)), None)
    return None


@define(eq=False)
class Isolation:
    """Watches overlay networks for stray frames: frames whose source address is not in the network's subnets.

    `strays` are descriptions of these frames; `frames` counts all IPv4 and ARP frames seen. Devices that are created
    later are watched only after another call of `look`.
    """

    lab: Lab = field(repr=False)
    frames: int = 0
    strays: list[str] = field(factory=list)
    _watched: set[Device] = field(factory=set, repr=False)

    def look(self) -> None:
        """Start to watch those devices of overlay networks that are not watched yet."""
        for engine in engines_of(self.lab):
            for network in engine.controller.networks:
                if network.driver_name != "overlay":
                    continue
                pools = [info.pool for info in network.ipam_pools(4)]
                place = f"{engine.machine.name}: overlay {network.name}"
                for space in engine.machine.namespaces.values():
                    for device in space.devices.values() if space.name == place else ():
                        self._watch(device, f"{place} {device.name}", pools)
                for endpoint in network.endpoints.values():
                    inside = endpoint.sandbox.namespace if endpoint.sandbox is not None else None
                    interface = inside.devices.get(endpoint.interface_name) if inside is not None else None
                    if interface is not None:
                        self._watch(interface, f"{endpoint.name} {interface.name} of {place}", pools)

    def _watch(self, device: Device, name: str, pools: Iterable[Prefix]) -> None:
        if device in self._watched or device.kind == "loopback":
            return
        self._watched.add(device)
        subnets = tuple(pools)

        def take(_time_ns: int, direction: str, frame: bytes) -> None:
            kind = frame[12:14]
            source = frame[26:30] if kind == _IPV4 else frame[28:32] if kind == _ARP else b""
            if not source or not any(source):
                return
            self.frames += 1
            if not any(source in pool for pool in subnets):
                self.strays.append(f"{name} {direction}: a frame from {format_ip(source)}")

        device.taps = (*device.taps, take)

    def check(self) -> None:
        """Raise `AssertionError` if a stray frame was seen."""
        assert not self.strays, "\n".join(self.strays[:10])
