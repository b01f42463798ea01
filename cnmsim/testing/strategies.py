"""Hypothesis strategies for networks, containers, whole labs, and packets.

The values drawn print as Python source. They shrink towards the smallest: one network, one container, no published
port, an empty payload. Bounds are keyword-only; impossible bounds raise Hypothesis's `InvalidArgument`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import field, frozen
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.strategies import SearchStrategy

from cnmsim.kernel.address import Address, Mac, Prefix, from_int
from cnmsim.kernel.checksum import checksum, transport_checksum
from cnmsim.kernel.packet import build_ip
from cnmsim.kernel.transport import ArpMessage, TcpSegment, icmp_message, icmpv6_message, udp_message
from cnmsim.lab import Lab
from cnmsim.libnetwork.profile import PROFILES

if TYPE_CHECKING:
    from cnmsim.engine.client.containers import Container
    from cnmsim.engine.client.networks import Network
    from cnmsim.engine.engine import Engine

#: The simulated releases, newest first, because examples shrink to the first.
RELEASES: tuple[str, ...] = tuple(sorted(PROFILES, reverse=True))

#: The names of the Docker host and of the client host in generated labs.
NODE, CLIENT = "node", "client"
_LENGTHS = {4: 32, 6: 128}
# Subnets are drawn from these: 10/8 without 10.0.0.0/24, which the lab's hosts use, and fd00::/8.
_BASES = {4: Prefix.parse("10.0.0.0/8"), 6: Prefix.parse("fd00::/8")}
_HOSTS = Prefix.parse("10.0.0.0/24")
_BROADCAST = b"\xff" * 6
_ETHERTYPES = {4: b"\x08\x00", 6: b"\x86\xdd"}
_FUZZED_BYTES = 8


@frozen
class NetworkSpec:
    """The parameters of a network, as for `docker network create`."""

    name: str
    subnets: tuple[str, ...] = ()
    internal: bool = False
    driver_opts: dict[str, str] = field(factory=dict)

    def create(self, engine: Engine) -> Network:
        """Create the network on an engine and return it. Raises an `EngineError` if the engine refuses it."""
        return engine.networks.create(
            self.name,
            subnet=self.subnets or None,
            internal=self.internal,
            enable_ipv6=any(":" in subnet for subnet in self.subnets),
            options=self.driver_opts,
        )


@frozen
class ContainerSpec:
    """The parameters of a container.

    `networks` are the names of its networks (if empty: the default bridge); `ports` are the published ports as in
    docker-py, e.g. `{"80/tcp": 8080}`.
    """

    name: str
    networks: tuple[str, ...] = ()
    ports: dict[str, int | None] = field(factory=dict)
    image: str = "nginx"

    def run(self, engine: Engine) -> Container:
        """Run the container in the background on all its networks, and return it.

        Raises an `EngineError` if the engine refuses it.
        """
        first, *others = self.networks or ("bridge",)
        container: Container = engine.containers.run(
            self.image, name=self.name, network=first, ports=self.ports, detach=True
        )
        for network in others:
            engine.networks.get(network).connect(container)
        return container


@frozen
class LabSpec:
    """The parameters of a lab with a Docker host `node` (10.0.0.15) and a host `client` (10.0.0.50).

    `release` is the Docker release of `node`; `networks` and `containers` are created there.
    """

    release: str
    networks: tuple[NetworkSpec, ...]
    containers: tuple[ContainerSpec, ...]
    userland_proxy: bool = True
    seed: int = 0

    def build(self) -> Lab:
        """Return a lab with these hosts, networks and running containers."""
        lab = Lab(self.release, self.seed)
        options = {} if self.userland_proxy else {"userland-proxy": False}
        node = lab.add_host(NODE, "10.0.0.15/24", docker=options or True)
        lab.add_host(CLIENT, "10.0.0.50/24")
        for network in self.networks:
            network.create(node.docker)
        for container in self.containers:
            container.run(node.docker)
        lab.settle()
        return lab


def releases() -> SearchStrategy[str]:
    """Return a strategy for simulated releases, such as `29.7.2`."""
    return st.sampled_from(RELEASES)


def subnets(*, family: int = 4, min_length: int | None = None, max_length: int | None = None) -> SearchStrategy[str]:
    """Return a strategy for private subnets of a family (4 or 6), as text.

    The prefix length is from `min_length` (default: 16; 64 for IPv6) to `max_length` (default: 29; 64 for IPv6). No
    subnet overlaps the addresses of the hosts in generated labs.
    """
    _require_family(family)
    shortest, longest = (16, 29) if family == 4 else (64, 64)
    low = shortest if min_length is None else min_length
    high = max(longest, low) if max_length is None else max_length
    base = _BASES[family]
    _require_range("length", low, high, base.length + 1, _LENGTHS[family])

    @st.composite
    def subnet(draw: st.DrawFn) -> str:
        length = draw(st.integers(low, high))
        number = draw(st.integers(1, (1 << (length - base.length)) - 1))
        network = from_int(base.first_int + (number << (_LENGTHS[family] - length)), family)
        return str(Prefix(network, length))

    return subnet().filter(lambda text: family == 6 or not Prefix.parse(text).overlaps(_HOSTS))


def networks(
    *, names: Sequence[str] = ("front", "back", "data"), allow_internal: bool = True, allow_ipv6: bool = True
) -> SearchStrategy[NetworkSpec]:
    """Return a strategy for bridge networks with a name from `names`.

    Some have explicit subnets, the others get one from the default pools. Without `allow_internal` or `allow_ipv6`,
    no network is internal or has IPv6.
    """
    if not names:
        raise InvalidArgument("names must not be empty")
    choices: list[SearchStrategy[tuple[str, ...]]] = [st.just(()), st.tuples(subnets())]
    if allow_ipv6:
        choices.append(st.tuples(subnets(), subnets(family=6)))
    return st.builds(
        NetworkSpec,
        st.sampled_from(list(names)),
        st.one_of(choices),
        st.booleans() if allow_internal else st.just(value=False),
    )


def published_ports(
    *,
    min_size: int = 0,
    max_size: int = 2,
    container_ports: Sequence[str] = ("80/tcp", "53/udp", "443/tcp"),
    host_ports: Sequence[int | None] = (8080, 8081, None),
) -> SearchStrategy[dict[str, int | None]]:
    """Return a strategy for published ports as in docker-py: `{"80/tcp": 8080}`.

    If a host port is `None`, the engine chooses one. Several containers may publish the same host port, the more
    often the fewer `host_ports` there are; this is intended.
    """
    _require_range("size", min_size, max_size, 0, len(container_ports))
    if not host_ports:
        raise InvalidArgument("host_ports must not be empty")
    return st.dictionaries(
        st.sampled_from(list(container_ports)),
        st.sampled_from(list(host_ports)),
        min_size=min_size,
        max_size=max_size,
    )


def container_specs(
    *,
    names: Sequence[str] = ("web", "db", "cache"),
    networks: Sequence[str] = (),
    max_networks: int | None = None,
    ports: SearchStrategy[dict[str, int | None]] | None = None,
) -> SearchStrategy[ContainerSpec]:
    """Return a strategy for containers with a name from `names`.

    Each is on up to `max_networks` of `networks`, or on the default bridge. `ports` is a strategy for its published
    ports (default: `published_ports()`).
    """
    if not names:
        raise InvalidArgument("names must not be empty")
    limit = len(networks) if max_networks is None else max_networks
    _require_range("networks", 0, limit, 0, len(networks))
    chosen = st.lists(st.sampled_from(list(networks)), max_size=limit, unique=True) if networks else st.just([])
    return st.builds(
        ContainerSpec,
        st.sampled_from(list(names)),
        chosen.map(tuple),
        published_ports() if ports is None else ports,
    )


def lab_specs(
    *,
    min_networks: int = 0,
    max_networks: int = 3,
    min_containers: int = 1,
    max_containers: int = 3,
    engines: Sequence[str] = RELEASES,
    allow_internal: bool = True,
    allow_ipv6: bool = True,
    max_ports: int = 2,
) -> SearchStrategy[LabSpec]:
    """Return a strategy for specs of labs with one Docker host. Networks and containers do not conflict.

    The bounds limit the number of networks, of containers, and of published ports of a container. `engines` are the
    Docker releases to draw from. Without `allow_internal` or `allow_ipv6`, no network is internal or has IPv6.
    """
    _require_range("networks", min_networks, max_networks, 0, 20)
    _require_range("containers", min_containers, max_containers, 0, 50)
    _require_range("ports", 0, max_ports, 0, 3)
    if not engines or not set(engines) <= set(RELEASES):
        raise InvalidArgument(f"engines must be some of {', '.join(RELEASES)}")

    @st.composite
    def lab_spec(draw: st.DrawFn) -> LabSpec:
        chosen: list[NetworkSpec] = []
        for number in range(draw(st.integers(min_networks, max_networks))):
            spec = draw(networks(names=[f"net{number}"], allow_internal=allow_internal, allow_ipv6=allow_ipv6))
            chosen.append(spec if not _overlaps(spec, chosen) else NetworkSpec(spec.name, (), spec.internal))
        names = [spec.name for spec in chosen]
        containers: list[ContainerSpec] = []
        for number in range(draw(st.integers(min_containers, max_containers))):
            first = 8080 + 10 * number
            ports = published_ports(
                max_size=max_ports, host_ports=(first, None), container_ports=("80/tcp", "53/udp")
            )
            containers.append(draw(container_specs(names=[f"box{number}"], networks=names, ports=ports)))
        return LabSpec(draw(st.sampled_from(list(engines))), tuple(chosen), tuple(containers), draw(st.booleans()))

    return lab_spec()


def labs(
    *,
    min_networks: int = 0,
    max_networks: int = 3,
    min_containers: int = 1,
    max_containers: int = 3,
    engines: Sequence[str] = RELEASES,
) -> SearchStrategy[Lab]:
    """Return a strategy for running labs. The parameters are as in `lab_specs`.

    With `lab_specs` the report of a failed test is more useful, because a `LabSpec` prints as Python source.
    """
    specs = lab_specs(
        min_networks=min_networks,
        max_networks=max_networks,
        min_containers=min_containers,
        max_containers=max_containers,
        engines=engines,
    )
    return specs.map(lambda spec: spec.build())


def addresses(*, family: int = 4) -> SearchStrategy[Address]:
    """Return a strategy for addresses of a family (4 or 6), as bytes in network order."""
    _require_family(family)
    return st.binary(min_size=_LENGTHS[family] // 8, max_size=_LENGTHS[family] // 8)


def packets(
    *,
    family: int | None = None,
    sources: SearchStrategy[Address] | None = None,
    destinations: SearchStrategy[Address] | None = None,
    max_payload: int = 64,
) -> SearchStrategy[bytes]:
    """Return a strategy for well-formed IP packets: UDP, TCP and ICMP echo, with valid checksums.

    `family` is 4 or 6 (`None`: both). `sources` and `destinations` are strategies for the addresses, which must be of
    this family; with `None` they cannot be given. `max_payload` is the greatest length of the payload in bytes.
    """
    if family is None:
        if sources is not None or destinations is not None:
            raise InvalidArgument("family must be given along with sources or destinations")
        return st.one_of(packets(family=4, max_payload=max_payload), packets(family=6, max_payload=max_payload))
    _require_family(family)
    _require_range("payload", 0, max_payload, 0, 1400)
    where_from = addresses(family=family) if sources is None else sources
    where_to = addresses(family=family) if destinations is None else destinations

    @st.composite
    def packet(draw: st.DrawFn) -> bytes:
        source, destination = draw(where_from), draw(where_to)
        payload = draw(st.binary(max_size=max_payload))
        kind = draw(st.sampled_from(["udp", "tcp", "icmp"]))
        sport, dport = draw(_PORTS), draw(_PORTS)
        if kind == "udp":
            message, protocol = udp_message(source, destination, sport, dport, payload), 17
        elif kind == "tcp":
            segment = TcpSegment(
                sport, dport, draw(_SEQUENCES), draw(_SEQUENCES), draw(st.integers(0, 63)), 65535, b"", payload
            )
            message, protocol = segment.to_wire(source, destination), 6
        elif family == 4:
            message, protocol = icmp_message(draw(st.sampled_from([8, 0])), 0, payload=payload), 1
        else:
            echo = draw(st.sampled_from([128, 129]))
            message, protocol = icmpv6_message(source, destination, echo, 0, payload=payload), 58
        return build_ip(protocol, source, destination, message, ttl=draw(st.integers(1, 64)))

    return packet()


def frames(
    *,
    family: int | None = None,
    sources: SearchStrategy[Address] | None = None,
    destinations: SearchStrategy[Address] | None = None,
    macs: SearchStrategy[Mac] | None = None,
) -> SearchStrategy[bytes]:
    """Return a strategy for well-formed Ethernet frames that contain `packets` or ARP requests.

    `macs` is a strategy for the destination MAC address; some frames are broadcast. The other parameters are those of
    `packets`.
    """
    to = st.binary(min_size=6, max_size=6) if macs is None else macs
    head = st.tuples(to | st.just(_BROADCAST), st.just(b"\x02\x00\x00\x00\xee\xee"))
    carried = packets(family=family, sources=sources, destinations=destinations)

    def frame(ends: tuple[Mac, Mac], packet: bytes) -> bytes:
        return b"".join(ends) + _ETHERTYPES[packet[0] >> 4] + packet

    arp = st.builds(
        lambda ends, asker, target: (
            b"".join(ends) + b"\x08\x06" + ArpMessage(1, ends[1], asker, bytes(6), target).to_wire()
        ),
        head,
        addresses(),
        addresses() if destinations is None or family == 6 else destinations,
    )
    return st.builds(frame, head, carried) | arp


def malformed_frames(*, whole: SearchStrategy[bytes] | None = None) -> SearchStrategy[bytes]:
    """Return a strategy for frames that are truncated, partly overwritten, or random.

    `whole` is a strategy for the frames before the damage (default: `frames()`). Some results are well-formed by
    chance. Some of the overwritten frames have valid checksums, so that they are not dropped early.
    """
    base = frames() if whole is None else whole

    @st.composite
    def malformed(draw: st.DrawFn) -> bytes:
        data = bytearray(draw(base))
        for _ in range(draw(st.integers(0, _FUZZED_BYTES))):
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
        if draw(st.booleans()):
            _fix_checksums(data)
            return bytes(data)
        return bytes(data[: draw(st.integers(0, len(data)))]) + draw(st.binary(max_size=8))

    return malformed() | st.binary(max_size=80)


#: The offset of the checksum in a transport header, by protocol number.
_CHECKSUM_AT = {1: 2, 6: 16, 17: 6, 58: 2}


def _fix_checksums(frame: bytearray) -> None:
    """Write valid checksums into an IP frame, if the headers that contain them are complete."""
    ip = frame[14:]
    if frame[12:14] == _ETHERTYPES[4] and len(ip) >= 20:
        start = min((ip[0] & 15) * 4, len(ip))
        ip[10:12] = bytes(2)
        ip[10:12] = checksum(bytes(ip[:start])).to_bytes(2)
        source, destination, protocol = bytes(ip[12:16]), bytes(ip[16:20]), ip[9]
    elif frame[12:14] == _ETHERTYPES[6] and len(ip) >= 40:
        start = 40
        source, destination, protocol = bytes(ip[8:24]), bytes(ip[24:40]), ip[6]
    else:
        return
    at = _CHECKSUM_AT.get(protocol)
    if at is not None and len(ip) >= start + at + 2:
        ip[start + at : start + at + 2] = bytes(2)
        message = bytes(ip[start:])
        sum_ = checksum(message) if protocol == 1 else transport_checksum(source, destination, protocol, message)
        ip[start + at : start + at + 2] = sum_.to_bytes(2)
    frame[14:] = ip


_PORTS = st.sampled_from([80, 53, 8080, 1, 65535]) | st.integers(0, 65535)
_SEQUENCES = st.integers(0, (1 << 32) - 1)


def _overlaps(spec: NetworkSpec, others: Sequence[NetworkSpec]) -> bool:
    held = [Prefix.parse(subnet) for other in others for subnet in other.subnets]
    return any(Prefix.parse(subnet).overlaps(pool) for subnet in spec.subnets for pool in held)


def _require_family(family: int) -> None:
    if family not in _LENGTHS:
        raise InvalidArgument(f"family must be 4 or 6, not {family!r}")


def _require_range(what: str, low: int, high: int, least: int, most: int) -> None:
    for name, value in ((f"min_{what}", low), (f"max_{what}", high)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidArgument(f"{name} must be a whole number, not {value!r}")
        if not least <= value <= most:
            raise InvalidArgument(f"{name}={value} is not within {least} to {most}")
    if low > high:
        raise InvalidArgument(f"min_{what}={low} is larger than max_{what}={high}")
