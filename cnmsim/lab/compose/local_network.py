"""The LAN of a Docker host as a Compose file describes it.

The file contains the name of the host's network card, and the subnets of macvlan networks.
"""

from __future__ import annotations

from collections.abc import Iterator

from cnmsim.kernel.address import Address, Prefix, format_ip, parse_ip
from cnmsim.lab.compose.model import ComposeProject, Network
from cnmsim.lab.host import Host

#: The name of a host's network card if no file names it.
_CARD = "eth0"
_ON_THE_LAN = frozenset(("macvlan", "ipvlan"))
#: In subnets with fewer addresses, the hosts of the lab get no address.
_FEWEST = 16


def fit_to_file(model: ComposeProject, docker: Host, router: Host, client: Host) -> None:
    """Adapt the Docker host's LAN to a Compose file: the name of the network card, and additional subnets.

    The card gets the name that macvlan or ipvlan networks in the file state as their parent. The subnet of such a
    network becomes a subnet of the LAN. There, the router gets the network's gateway address (from the file or,
    before release 29, chosen by the engine); the Docker host and the client get the last free addresses.
    """
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
    profile = docker.docker.profile
    for network in networks:
        if "." not in network.driver_opts.get("parent", "."):
            machines = {router: "", docker: card or _CARD, client: _CARD}
            _plug_in(model, network, machines, has_default_gateway=not profile.macvlan_skips_gateway)


def _plug_in(
    model: ComposeProject, network: Network, machines: dict[Host, str], *, has_default_gateway: bool
) -> None:
    for pool in network.pools:
        if not pool.subnet or ":" in pool.subnet:
            continue
        try:
            subnet = Prefix.parse(pool.subnet, strict=False)
            free_of = {parse_ip(text) for text in (pool.gateway, *pool.aux_addresses.values()) if text}
        except ValueError:
            continue  # the engine refuses the network, with the line of the file
        first = int.from_bytes(subnet.network)
        count = 1 << (32 - subnet.length)
        if count < _FEWEST:
            continue
        gateway = pool.gateway or (format_ip((first + 1).to_bytes(4)) if has_default_gateway else "")
        free = _free_addresses(model, network, first, count, free_of | ({parse_ip(gateway)} if gateway else set()))
        for host, card in machines.items():
            address = next(free) if card or not gateway else gateway
            host.exec(f"ip address add {address}/{subnet.length} dev {card or _CARD}")


def _free_addresses(
    model: ComposeProject, network: Network, first: int, count: int, taken: set[Address]
) -> Iterator[str]:
    """Yield the addresses of a subnet that are neither in `taken` nor assigned by the file, the last one first.

    `first` is the first address of the subnet as a number, `count` the number of its addresses.
    """
    used = set(taken)
    for service in model.services.values():
        for use in service.networks:
            if use.network == network.key and use.ipv4_address:
                used.add(parse_ip(use.ipv4_address))
    for number in range(count - 2, 1, -1):
        address = (first + number).to_bytes(4)
        if address not in used:
            yield format_ip(address)
