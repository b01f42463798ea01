"""The rules and routes of a host, grouped by the bridges and containers whose packets they can affect.

The tables are read for one protocol and port; rules for other ports are ignored.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from attrs import define, field

from cnmsim.kernel.address import Address, Mac, Prefix, parse_ip
from cnmsim.kernel.bridge import Bridge
from cnmsim.kernel.netfilter.rule import HostMatch, Rule
from cnmsim.kernel.netfilter.targets import TARGETS

if TYPE_CHECKING:
    from cnmsim.kernel.machine import Machine
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.observe.directory import Directory

#: Matches whose result depends only on packet headers, devices and the connection state.
_PLAIN_MATCHES = frozenset(
    {"tcp", "udp", "icmp", "icmp6", "addrtype", "conntrack", "state", "comment", "multiport", "mark"}
)
_PLAIN_TARGETS = frozenset(
    {"ACCEPT", "DROP", "REJECT", "RETURN", "DNAT", "SNAT", "MASQUERADE", "REDIRECT", "LOG", "MARK", "NOTRACK", "CT"}
)  # fmt: skip
_EPHEMERAL = range(32768, 61000)
_PROTOCOL_NUMBERS = {"tcp": 6, "udp": 17, "icmp": 1}
_DPORT = re.compile(r"(?<!! )--dports? (\S+)")
_LAST = 1 << 30

#: A chain, as (address family, table, chain name).
Chain = tuple[int, str, str]
#: A rule or a policy, as (chain, position in the chain, text).
Entry = tuple[Chain, int, str]


@define(eq=False)
class Net:
    """A bridge and the rules that affect only its network.

    `entries` are these rules. `gaps` holds, for each chain that contains one of them, the positions of the rules in
    that chain that affect all networks. `is_special` is True if the network is not interchangeable with others: a
    rule names it together with other networks, or a route or a rule of another machine refers to its subnet.
    """

    name: str
    subnets: tuple[Prefix, ...]
    attributes: tuple[Any, ...]
    is_special: bool = False
    entries: list[Entry] = field(factory=list)
    gaps: dict[Chain, list[int]] = field(factory=dict)


@define(eq=False)
class HostTables:
    """A host's rules and routes for one protocol and port, grouped by the networks and containers they affect.

    `generic` are the rules that affect all networks, `exact` the rules for the address of one container. `prefixes`
    are those prefixes in rules that are not the subnet of a network. `alone` are the addresses of containers that
    cannot be compared with others. If `is_opaque`, no container of the host can be compared with others.
    """

    nets: dict[str, Net]
    generic: list[Entry] = field(factory=list)
    prefixes: dict[Prefix, None] = field(factory=dict)
    exact: dict[Address, list[Entry]] = field(factory=lambda: defaultdict(list))
    alone: set[Address] = field(factory=set)
    is_opaque: bool = False


def read_host(
    machine: Machine, machines: Iterable[Machine], members: frozenset[Address], protocol: str, port: int
) -> HostTables:
    """Read the rules and routes of the host `machine` for one protocol and port.

    `members` are the addresses of the containers on this host. `machines` are all machines of the lab, because routes
    and rules of other machines may refer to networks of this host.
    """
    root = machine.root
    nets = {
        device.name: Net(
            device.name,
            tuple(
                Prefix.of(address.address, address.prefixlen)
                for address in device.addresses
                if address.scope != "link"
            ),
            _bridge_attributes(root, device),
        )
        for device in root.devices.values()
        if isinstance(device, Bridge)
    }
    tables = HostTables(nets)
    tables.is_opaque = (
        root.xfrm is not None
        or root.rules4 is not None
        or root.rules6 is not None
        or (root._ipvs is not None and bool(root._ipvs.services))
        or root.netfilter.has_rules_outside_iptables_nft
    )
    reader = _Reader(tables, members, protocol, port)
    for family in (4, 6):
        for table in root.netfilter.iptables(family).tables.values():
            for chain in table.chains.values():
                place = (family, table.name, chain.name)
                reader.read_chain(place, [entry.rule for entry in chain.rules])
                if chain.policy not in {None, "ACCEPT"}:
                    tables.generic.append((place, _LAST, f"policy {chain.policy}"))
    reader.read_routes(machine, machines)
    for name, net in nets.items():
        net.entries.sort()
        for place, _, _ in net.entries:
            net.gaps.setdefault(place, sorted(at for there, at, _ in tables.generic if there == place))
        if name in reader.special:
            net.is_special = True
    return tables


class _Reader:
    """Distributes the rules of one host's chains over the fields of `HostTables`."""

    def __init__(self, tables: HostTables, members: frozenset[Address], protocol: str, port: int) -> None:
        self._tables = tables
        self._members = members
        self._protocol, self._port = protocol, port
        self._by_subnet = {prefix: net for net in tables.nets.values() for prefix in net.subnets}
        #: Bridges of networks that must not be treated as interchangeable: a rule names one of them together with
        #: others, or a route or another machine's rule refers to its subnet.
        self.special: set[str] = set()

    def read_chain(self, place: Chain, rules: Iterable[Rule]) -> None:
        """Read the rules of the chain `place` into the tables, each with its position in the chain.

        Positions are counted without the rules for the address of a single container. Such a rule gets a position
        between that of the rule before it and that of the rule after it.
        """
        tables = self._tables
        number = 0
        sides: set[str] = set()
        singled_out: set[Address] = set()
        for rule in rules:
            if not self._may_matter(rule):
                continue
            if not _is_readable(rule):
                tables.is_opaque = True
                return
            text = str(rule)
            ends = {
                side: match.address
                for side, match in (("s", rule.source), ("d", rule.destination))
                if match is not None and self._is_one(match)
            }
            if ends:
                for address in set(ends.values()):
                    tables.exact[address].append((place, 2 * number, text))
                if len(set(ends.values())) > 1:
                    tables.alone.update(ends.values())
                elif len(ends) == 1:
                    sides.update(ends)
                    singled_out.update(ends.values())
                continue
            number += 1
            self._sort(rule, (place, 2 * number - 1, text))
        if len(sides) > 1:
            # A packet can match both a rule for its source and a rule for its destination, so their order counts.
            tables.alone |= singled_out

    def _sort(self, rule: Rule, entry: Entry) -> None:
        """Add a rule to the one network whose packets it can affect or, if there is no such network, to `generic`.

        `entry` is the rule with its chain and position.
        """
        words = set(entry[2].split())
        owners = {net.name for net in self._owners(rule)}
        named = {name for name in self._tables.nets if name in words} | owners
        prefixes = list(_prefixes(entry[2]))
        self._tables.prefixes.update(dict.fromkeys(prefix for prefix in prefixes if prefix not in self._by_subnet))
        if len(owners) == 1 and named == owners:
            self._tables.nets[owners.pop()].entries.append(entry)
            return
        self._tables.generic.append(entry)
        self.special |= named
        self.special |= {self._by_subnet[prefix].name for prefix in prefixes if prefix in self._by_subnet}

    def _owners(self, rule: Rule) -> Iterator[Net]:
        """Yield the networks that a rule is restricted to.

        These are the networks whose bridge is the rule's interface, or whose subnet contains its source or
        destination.
        """
        for interface in (rule.in_interface, rule.out_interface):
            if interface is not None and not interface.is_inverted and interface.name in self._tables.nets:
                yield self._tables.nets[interface.name]
        for match in (rule.source, rule.destination):
            prefix = None if match is None or match.is_inverted else _prefix_of(match)
            if prefix is not None:
                yield from (net for subnet, net in self._by_subnet.items() if _is_within(prefix, subnet))

    def _is_one(self, match: HostMatch) -> bool:
        """Return True if a source or destination match is for the address of one container on this host."""
        if match.is_inverted or match.address not in self._members:
            return False
        return match.mask.bit_count() == len(match.address) * 8

    def _may_matter(self, rule: Rule) -> bool:
        """Return True if a rule could match a packet of the probe or of its reply, judging by protocol and ports."""
        number = _PROTOCOL_NUMBERS[self._protocol]
        if rule.protocol and not rule.is_protocol_inverted and rule.protocol not in {number, 1, 58}:
            return False
        ports = _DPORT.search(rule.matches_text())
        if ports is None:
            return True
        return any(_overlaps(part, self._port) for part in ports[1].split(","))

    def read_routes(self, machine: Machine, machines: Iterable[Machine]) -> None:
        """Mark networks as special if routes, or rules of other machines, refer to their subnets.

        Routes of this host (`machine`) and of all other machines count. This host's own routes to its subnets and to
        single addresses are ignored.
        """
        for other in machines:
            root = other.root
            texts = [str(route) for table in (root.routes4, root.routes6) for route in table.routes]
            if other is not machine:
                texts += chain_lines(root)
            for prefix in {prefix for text in texts for prefix in _prefixes(text)}:
                for subnet, net in self._by_subnet.items():
                    is_its_own = other is machine and (prefix == subnet or prefix.length == len(prefix.network) * 8)
                    if prefix.length and not is_its_own and subnet.overlaps(prefix):
                        self.special.add(net.name)


def chain_lines(space: NetworkNamespace) -> list[str]:
    """Return the rules and policies of a namespace as lines like `4 filter FORWARD -i br0 -j ACCEPT`.

    Lines of nftables and iptables-legacy rules come first, in their own format. ACCEPT policies are left out.
    """
    others = (
        space.netfilter.rules_outside_iptables_nft().splitlines()
        if space.netfilter.has_rules_outside_iptables_nft
        else []
    )
    return others + [
        line
        for family in (4, 6)
        for table in space.netfilter.iptables(family).tables.values()
        for chain in table.chains.values()
        for line in (
            *(
                [f"{family} {table.name} {chain.name} policy {chain.policy}"]
                if chain.policy not in {None, "ACCEPT"}
                else []
            ),
            *(f"{family} {table.name} {chain.name} {entry.rule}" for entry in chain.rules),
        )
    ]


def renamed(text: str, own: Mapping[str, str]) -> str:
    """Return `text` with a container's own names and addresses (the keys of `own`) replaced by placeholders."""
    return " ".join(
        own.get(word) or own.get(word.removesuffix("/32").removesuffix("/128")) or word for word in text.split()
    )


def duplicates(directory: Directory) -> frozenset[Address | Mac]:
    """Return the IP and MAC addresses that are in use in more than one network namespace of the lab."""
    spaces = {location.namespace for location in directory.locations}
    seen: Counter[bytes] = Counter()
    for space in spaces:
        seen.update({device.mac for device in space.devices.values() if any(device.mac)})
        seen.update(
            {own.address for device in space.devices.values() for own in device.addresses if own.scope == "global"}
        )
    return frozenset(address for address, count in seen.items() if count > 1)


def permanent_neighbours(space: NetworkNamespace) -> frozenset[Address]:
    """Return the addresses of the permanent neighbour entries of a namespace."""
    return frozenset(entry.address for entry in space.neighbours.entries() if entry.state.name == "PERMANENT")


def _bridge_attributes(root: NetworkNamespace, bridge: Bridge) -> tuple[Any, ...]:
    settings = sorted(
        (key.replace(bridge.name, "*"), str(value)) for key, value in root.sysctl.items() if f".{bridge.name}." in key
    )
    addresses = tuple((address.prefixlen, address.scope) for address in bridge.addresses)
    return (bridge.mtu, bridge.is_up, addresses, tuple(settings))


def _is_readable(rule: Rule) -> bool:
    """Return True if the result of a rule depends only on packet headers, devices and the connection state.

    A jump to another chain is allowed; a built-in target must be in `_PLAIN_TARGETS`.
    """
    target = rule.target
    if target is not None and target.name in TARGETS and target.name not in _PLAIN_TARGETS:
        return False
    return all(match.name in _PLAIN_MATCHES for match in rule.matches)


def _prefix_of(match: HostMatch) -> Prefix | None:
    bits = len(match.address) * 8
    length = match.mask.bit_count()
    is_prefix = match.mask == ((1 << bits) - 1) ^ ((1 << (bits - length)) - 1)
    return Prefix.of(match.address, length) if is_prefix else None


def _is_within(prefix: Prefix, subnet: Prefix) -> bool:
    return prefix.length >= subnet.length and prefix.network in subnet


def _prefixes(text: str) -> Iterator[Prefix]:
    """Yield the addresses and prefixes that occur in the text of a rule or route."""
    for word in text.replace(",", " ").split():
        if "." in word or ":" in word:
            try:
                yield Prefix.parse(word, strict=False)
            except ValueError:  # an address with a port, or no address at all
                head = word.rpartition(":")[0].strip("[]")
                try:
                    parsed = parse_ip(head)
                except ValueError:
                    continue
                yield Prefix.of(parsed, len(parsed) * 8)


def _overlaps(part: str, port: int) -> bool:
    """Return True if `part`, a `--dport` value (`80`, `8000:9000`), can match the probed port or an ephemeral port.

    Ephemeral ports count because replies to the probe are sent to one. Return True for a service name, which is not
    resolved.
    """
    first, colon, last = part.partition(":")
    try:
        low, high = int(first or 0), int((last or 65535) if colon else first)
    except ValueError:  # the name of a service
        return True
    return low <= port <= high or (low <= _EPHEMERAL[-1] and high >= _EPHEMERAL[0])
