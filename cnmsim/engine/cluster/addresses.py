"""The addresses of a swarm node: listen address, advertise address, and data path address.

Source: moby `daemon/cluster/{listen_addr,listen_addr_linux,swarm}.go` (docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen

from cnmsim.digits import is_number
from cnmsim.errors import EngineError, InvalidParameter, SystemFault
from cnmsim.kernel.address import Address, Prefix, format_ip, is_link_local, join_host_port, parse_ip
from cnmsim.kernel.device import Device, Nic
from cnmsim.kernel.namespace import NetworkNamespace

DEFAULT_SUBNET_SIZE, _LARGEST_SUBNET_SIZE = 24, 29
_DEFAULT_DATA_PATH_PORT, _FIRST_PORT, _LAST_PORT = 4789, 1024, 49151
_HIGHEST_PORT, _PORT_DIGITS = 65535, 5
_LISTEN = "listen address must be an IP address or network interface (with optional port number)"
_ADVERTISE = "advertise address must be a non-zero IP address or network interface (with optional port number)"
_DEFAULT_ADVERTISE = (
    "default advertise address must be a non-zero IP address or network interface (without a port number)"
)
_DATA_PATH = "data path address must be a non-zero IP address or network interface (without a port number)"


@frozen
class Addresses:
    """The addresses of a swarm node as text, without ports: those that the user configured, or that were detected.

    `local` is the address to which gossip is bound, `advertise` the one that the node announces to other nodes, and
    `data_path` the address of the tunnels of overlay networks.
    """

    local: str
    advertise: str
    data_path: str


@frozen
class HostPort:
    """An address and a port, both as text; `str` encloses an IPv6 address in brackets."""

    host: str
    port: str

    def __str__(self) -> str:
        return join_host_port(self.host, self.port)


def _split(text: str) -> HostPort | None:
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not (host.startswith("[") and host.endswith("]"))):
        return None
    return HostPort(host.strip("[]"), port)


def listen_address(namespace: NetworkNamespace, text: str) -> HostPort:
    """Parse the listen address of a swarm node, `ADDRESS:PORT`.

    The name of an interface in place of the address denotes this interface's address. Raises `InvalidParameter` if
    `text` cannot be parsed, or contains no address or interface of the machine.
    """
    host_port = _split(text)
    if host_port is None:
        raise InvalidParameter(f"could not parse listen address {text}")
    return HostPort(_identified(namespace, host_port.host, _LISTEN, zero_is_valid=True), host_port.port)


def advertise_address(
    namespace: NetworkNamespace, text: str, port: str, docker_subnets: Iterable[Prefix], default: str = ""
) -> HostPort:
    """Return the address and port that the node announces to other nodes.

    The address is `text` if given, else the daemon's `default`, else the machine's only address. The first two can be
    the name of an interface. `port` is used if `text` contains none. Addresses in `docker_subnets` are not counted as
    the machine's. Raises `InvalidParameter` for an unknown interface, or if the machine has not exactly one address.
    """
    if text:
        host_port = _split(text) or HostPort(text, port)
        return HostPort(_identified(namespace, host_port.host, _ADVERTISE), host_port.port)
    if default:
        return HostPort(_identified(namespace, default, _DEFAULT_ADVERTISE), port)
    return HostPort(format_ip(system_address(namespace, docker_subnets)), port)


def remote_address(text: str) -> tuple[Address, int]:
    """Parse the `ADDRESS:PORT` of the manager to join. Host names are not resolved.

    Raises `SystemFault`, with the message of Go's `net.Dial`, for a host name or an invalid port.
    """
    host_port = _split(text)
    host, port = (host_port.host, host_port.port) if host_port is not None else (text, "")
    try:
        address = parse_ip(host)
    except ValueError:
        raise SystemFault(f"could not find local IP address: dial udp: lookup {host}: no such host") from None
    if not is_number(port) or len(port) > _PORT_DIGITS or int(port) > _HIGHEST_PORT:
        raise SystemFault(f"could not find local IP address: dial udp: address {port}: invalid port")
    return address, int(port)


def data_path_address(namespace: NetworkNamespace, text: str) -> str:
    """Return the address of this node's tunnels from `text`, an address or an interface's name.

    If `text` is "", return "", which stands for the advertise address. Raises `InvalidParameter` if `text` is neither
    an address nor the name of an interface.
    """
    return _identified(namespace, text, _DATA_PATH) if text else ""


def local_address(
    namespace: NetworkNamespace, listen: HostPort, advertise: HostPort, docker_subnets: Iterable[Prefix]
) -> str:
    """Return the address to which gossip is bound.

    It is the listen address, unless that is a wildcard such as `0.0.0.0`. For a wildcard it is the advertise address
    if the machine has it, else the machine's only global address outside `docker_subnets`. Raises `InvalidParameter`
    if the machine has no such address or several.
    """
    if any(parse_ip(listen.host)):
        return listen.host
    advertised = parse_ip(advertise.host)
    if any(a.address == advertised for device in namespace.devices.values() for a in device.addresses):
        return advertise.host
    try:
        return format_ip(system_address(namespace, docker_subnets))
    except EngineError:
        raise InvalidParameter(
            "must specify a listening address because the address to advertise is not recognized as a system address,"
            " and a system's IP address to use could not be uniquely identified"
        ) from None


def system_address(namespace: NetworkNamespace, docker_subnets: Iterable[Prefix]) -> Address:
    """Return the machine's only global address.

    The addresses of network cards are considered first, then those of other devices that Docker did not create.
    Addresses in `docker_subnets` are ignored. Raises `InvalidParameter` if there is not exactly one address.
    """
    devices = [device for device in namespace.devices.values() if device.is_up and device is not namespace.loopback]
    cards = [device for device in devices if isinstance(device, Nic)]
    subnets = list(docker_subnets)
    others = [
        device
        for device in devices
        if not any(a.address in subnet for a in device.addresses for subnet in subnets if a.family == 4)
    ]
    address = _only_address(cards) or _only_address(others)
    if address is None:
        raise InvalidParameter("could not find the system's IP address")
    return address


def _only_address(devices: Iterable[Device]) -> Address | None:
    addresses: tuple[str, Address] | None = None
    for device in devices:
        usable = [a.address for a in device.addresses if _is_global(a.address)]
        for family in (4, 16):
            mine = [address for address in usable if len(address) == family]
            if len(mine) > 1:
                raise _several(device.name, mine[0], device.name, mine[1])
        first = next(iter(sorted(usable, key=len)), None)
        if first is None:
            continue
        if addresses is not None:
            raise _several(addresses[0], addresses[1], device.name, first)
        addresses = device.name, first
    return addresses[1] if addresses is not None else None


def _several(left: str, one: Address, right: str, other: Address) -> InvalidParameter:
    if left == right:
        where = f"multiple addresses on interface {left} ({format_ip(one)} and {format_ip(other)})"
    else:
        pair = f"{format_ip(one)} on {left} and {format_ip(other)} on {right}"
        where = f"multiple addresses on different interfaces ({pair})"
    return InvalidParameter(f"could not choose an IP address to advertise since this system has {where}")


def _is_global(address: Address) -> bool:
    return any(address) and not is_link_local(address) and address[0] != 127 and address != bytes(15) + b"\x01"


def _identified(namespace: NetworkNamespace, word: str, text: str, *, zero_is_valid: bool = False) -> str:
    """Return the address that `word` denotes: that of the interface with this name, or the address itself.

    Raises `InvalidParameter` with the message `text` if the word is neither. The wildcard address is accepted only if
    `zero_is_valid`.
    """
    device = namespace.devices.get(word)
    if device is not None:
        return format_ip(_of_interface(device, word))
    try:
        address = parse_ip(word)
    except ValueError:
        raise InvalidParameter(text) from None
    if not any(address) and not zero_is_valid:
        raise InvalidParameter(text)
    return format_ip(address)


def _of_interface(device: Device, name: str) -> Address:
    by_family = {family: [a.address for a in device.addresses if a.family == family] for family in (4, 6)}
    for family in (4, 6):
        addresses = by_family[family]
        if len(addresses) > 1:
            raise InvalidParameter(
                f"interface {name} has more than one IPv{family} address"
                f" ({format_ip(addresses[0])} and {format_ip(addresses[1])})"
            )
    for family in (4, 6):
        if by_family[family]:
            return by_family[family][0]
    raise InvalidParameter(f"interface {name} has no usable IPv4 or IPv6 address")


def check_address_pools(pools: Sequence[str], subnet_size: int) -> None:
    """Check that the address pools of a swarm can be divided into subnets with the prefix length `subnet_size`.

    A pool is a prefix such as `10.0.0.0/8`. Raises `SystemFault` for a malformed pool, a pool that is smaller than
    the subnets, or a `subnet_size` that is too large; 0 selects the default.
    """
    if not pools:
        return
    size = subnet_size or DEFAULT_SUBNET_SIZE
    if size > _LARGEST_SUBNET_SIZE:
        raise SystemFault(f"subnet size is out of range: {size}")
    for pool in pools:
        try:
            prefix = Prefix.parse(pool, strict=False)
        except ValueError:
            raise SystemFault(f"invalid CIDR address: {pool}") from None
        if size < prefix.length:
            raise SystemFault(f'invalid CIDR: "{pool}". Subnet size is too small for pool: {size}')


def data_path_port(number: int) -> int:
    """Return the UDP port that the tunnels use; 0 selects the default.

    Raises `SystemFault` if the number is outside the range that Docker permits.
    """
    if number == 0:
        return _DEFAULT_DATA_PATH_PORT
    if not _FIRST_PORT <= number <= _LAST_PORT:
        raise SystemFault(f"Datapath port number is not in valid range ({_FIRST_PORT}-{_LAST_PORT}) : {number}")
    return number
