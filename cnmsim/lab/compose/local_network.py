"""The LAN of a Docker host as a Compose file describes it.

The file contains the name of the host's network card, the subnets of macvlan networks, the host's addresses in
`ports`, and the addresses of other machines in `extra_hosts` and `dns`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import field, frozen

from cnmsim.kernel.address import Address, Prefix, format_ip, is_lan_address, is_loopback, parse_ip
from cnmsim.lab.compose.model import ComposeProject, Network
from cnmsim.lab.host import Host
from cnmsim.lab.internet import stand_for_machine
from cnmsim.lab.lab import Lab

#: The name of a host's network card if no file names it.
_CARD = "eth0"
_ON_THE_LAN = frozenset(("macvlan", "ipvlan"))
#: The subnet of the default bridge network, in which `extra_hosts` name the Docker host.
_DEFAULT_BRIDGE = "172.17.0.0/16"
_LENGTHS = {4: 24, 16: 64}
#: The LAN's first subnet, and the last byte of the first address by which other machines are plugged in there.
_FIRST_SUBNET, _FIRST_MACHINE = "198.51.100", 200
#: In subnets with fewer addresses, the hosts of the lab get no address.
_FEWEST = 16


@frozen
class Surroundings:
    """The machines around a Compose project: the Docker host, its router, and a client on the same LAN."""

    docker: Host
    router: Host
    client: Host
    #: The records of the name servers on the LAN (`Lab.add_host`).
    names: Mapping[str, Any] = field(factory=dict)


def fit_to_file(lab: Lab, model: ComposeProject, around: Surroundings) -> None:
    """Adapt the Docker host's LAN to the Compose file: the network card's name, its addresses, and other machines.

    The card gets the name that macvlan or ipvlan networks in the file have as parent. The subnet of such a network
    becomes a subnet of the LAN, in which the Docker host and the client get the last free addresses. The router gets
    the network's gateway address: the one in the file or, before release 29, the one that the engine chooses. A host
    address in `ports` is an address of the card. A private address in `extra_hosts` or `dns` is a machine on the LAN
    that answers everything.
    """
    docker, router, client = around.docker, around.router, around.client
    networks = [each for each in model.networks.values() if each.driver in _ON_THE_LAN and not each.is_external]
    cards = dict.fromkeys(each.driver_opts.get("parent", "").partition(".")[0] for each in networks)
    card = next((name for name in cards if name), "")
    if card and card != _CARD and "." not in card:
        # A link that is set down loses its routes and its IPv6 addresses.
        device = docker.namespace.devices[_CARD]
        lost = [str(item) for item in device.addresses if len(item.address) == 16 and item.scope == "global"]
        for command in (
            f"ip link set {_CARD} down", f"ip link set {_CARD} name {card}", f"ip link set {card} up",
            *(f"ip address add {address} dev {card} nodad" for address in lost),
            *(f"ip route replace default via {gateway}" for gateway in map(format_ip, docker.plain.spec.gateways)),
        ):  # fmt: skip
            done = docker.exec(command)
            assert done.succeeded, done.output
    has_default_gateway = not docker.docker.profile.macvlan_skips_gateway
    machines = {router: _CARD, docker: card or _CARD, client: _CARD}
    published = _published_addresses(model)
    others = _other_machines(model, published)
    for network in networks:
        if "." not in network.driver_opts.get("parent", "."):
            _plug_in(model, network, machines, [*published, *others], has_default_gateway=has_default_gateway)
    for address in (*published, *others):
        _add_subnet(model, address, machines, {*published, *others})
    for address in published:
        held = {item.address for device in docker.namespace.devices.values() for item in device.addresses}
        if address not in held and (len(address) == 16 or not _is_in_pools(model, address)):
            docker.exec(f"ip address add {format_ip(address)}/{_LENGTHS[len(address)]} dev {machines[docker]}")
    for number, (address, name) in enumerate(others.items()):
        _add_machine(lab, around, name, address, number)


def _published_addresses(model: ComposeProject) -> list[Address]:
    """Return the host addresses in `ports`, except wildcard and loopback addresses, each once."""
    texts = dict.fromkeys(port.host_ip for service in model.services.values() for port in service.ports)
    addresses = [parse_ip(text.strip("[]")) for text in texts if text]
    return [address for address in addresses if any(address) and not is_loopback(address)]


def _other_machines(model: ComposeProject, published: list[Address]) -> dict[Address, str]:
    """Return the private addresses in `extra_hosts` and `dns`, each with a name for the machine that has it.

    Left out are addresses in `published` or in a network of the file, and entries of `extra_hosts` with the name of a
    service: such an entry hides the service and means no other machine.
    """
    found: dict[Address, str] = {}
    for service in model.services.values():
        entries = [tuple(entry.split(":", 1)) for entry in service.extra_hosts] + [("", text) for text in service.dns]
        for name, text in entries:
            if name in model.services:
                continue
            try:
                address = parse_ip(text)
            except ValueError:  # host-gateway, or what the engine refuses
                continue
            if is_lan_address(address) and address not in published and not _is_in_pools(model, address):
                found[address] = found.get(address) or name
    return found


def _is_in_pools(model: ComposeProject, address: Address) -> bool:
    """Return True if an address belongs to a network of the file that is not on the LAN, or to the default bridge."""
    subnets = [
        pool.subnet
        for network in model.networks.values()
        if network.driver not in _ON_THE_LAN
        for pool in network.pools
    ]
    return any(address in Prefix.parse(text, strict=False) for text in [_DEFAULT_BRIDGE, *filter(None, subnets)])


def _add_machine(lab: Lab, around: Surroundings, name: str, address: Address, number: int) -> None:
    """Add a machine with this address to the LAN. `name` is its name in the file, `number` its index from 0."""
    shown = name.lower() if name else f"machine-{format_ip(address).replace('.', '-')}"
    while shown in lab.hosts:
        shown += "-host"
    gateway = next(
        item.address for item in around.router.namespace.devices[_CARD].addresses if address in item.prefix
    )
    # The host is plugged in by an address of the LAN's first subnet, which its own address replaces.
    first = f"{_FIRST_SUBNET}.{_FIRST_MACHINE + number % 50}/24"
    host = lab.add_host(shown, first, web=True, names=dict(around.names))
    for command in (
        f"ip address add {format_ip(address)}/24 dev {_CARD}", f"ip address del {first} dev {_CARD}",
        f"ip route replace default via {format_ip(gateway)}",
    ):  # fmt: skip
        host.exec(command)
    stand_for_machine(host)


def _add_subnet(model: ComposeProject, address: Address, machines: dict[Host, str], taken: set[Address]) -> None:
    """Add the subnet of an IPv4 address to the LAN, unless the LAN or a network of the file has it already.

    `machines` are the router, the Docker host and the client, with the names of their cards.
    """
    docker = list(machines)[1]
    device = docker.namespace.devices[machines[docker]]
    if len(address) != 4 or _is_in_pools(model, address) or any(address in item.prefix for item in device.addresses):
        return
    subnet = Prefix(address[:3] + b"\0", 24)
    free = _free_addresses(subnet, taken)
    own = [item for item in taken if item in subnet and item in _published_addresses(model)]
    router, *others = machines
    gateway = subnet.network[:3] + b"\1"
    router.exec(f"ip address add {next(free) if gateway in taken else format_ip(gateway)}/24 dev {machines[router]}")
    for host in others:
        text = format_ip(own[0]) if own and host is docker else next(free)
        host.exec(f"ip address add {text}/24 dev {machines[host]}")


def _plug_in(
    model: ComposeProject,
    network: Network,
    machines: dict[Host, str],
    named: list[Address],
    *,
    has_default_gateway: bool,
) -> None:
    """Make the subnets of a macvlan or ipvlan network subnets of the LAN.

    `machines` are the router, the Docker host and the client, with the names of their cards. `named` are other
    addresses in the file, which are not assigned. With `has_default_gateway`, the engine chooses a gateway if the
    file names none.
    """
    router, docker, _ = machines
    published = _published_addresses(model)
    for pool in network.pools:
        if not pool.subnet or ":" in pool.subnet:
            continue
        try:
            subnet = Prefix.parse(pool.subnet, strict=False)
            taken = {parse_ip(text) for text in (pool.gateway, *pool.aux_addresses.values()) if text}
        except ValueError:
            continue  # the engine refuses the network, with the line of the file
        first = int.from_bytes(subnet.network)
        if 1 << (32 - subnet.length) < _FEWEST:
            continue
        gateway = pool.gateway or (format_ip((first + 1).to_bytes(4)) if has_default_gateway else "")
        taken |= {*named, *({parse_ip(gateway)} if gateway else ())}
        for service in model.services.values():
            uses = (use for use in service.networks if use.network == network.key and use.ipv4_address)
            taken |= {parse_ip(use.ipv4_address) for use in uses}
        free = _free_addresses(subnet, taken)
        own = [address for address in published if address in subnet]
        for host, card in machines.items():
            address = format_ip(own[0]) if own and host is docker else ""
            address = address or (gateway if gateway and host is router else next(free))
            host.exec(f"ip address add {address}/{subnet.length} dev {card}")


def _free_addresses(subnet: Prefix, taken: set[Address]) -> Iterator[str]:
    """Yield the addresses of a subnet that are not in `taken`, the last one first."""
    first, count = int.from_bytes(subnet.network), 1 << (32 - subnet.length)
    for number in range(count - 2, 1, -1):
        address = (first + number).to_bytes(4)
        if address not in taken:
            yield format_ip(address)
