"""Who reaches what in a lab: every pair answered, one real probe for all pairs that nothing tells apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from attrs import define, field, frozen

from cnmsim.errors import InvalidParameter
from cnmsim.kernel.address import format_ip
from cnmsim.observe.diagnosis.causes import OtherMachinesAddress
from cnmsim.observe.diagnosis.finding import Finding, Verdict
from cnmsim.observe.display import Displayable, views
from cnmsim.observe.fixes.changes import Manual, Task
from cnmsim.observe.location import Directory, Location
from cnmsim.observe.reachability.equivalence import EquivalenceClasses
from cnmsim.observe.trace.table import plain_grid
from cnmsim.observe.trace.target import PROTOCOLS, Target
from cnmsim.observe.trace.trace import Trace
from cnmsim.observe.trace.tracer import LabView, address_towards, directory_of, location_of, run_probe

#: Larger matrices are shown as counts of verdicts, not cell by cell.
_SHOWN_CELLS = 10_000
#: How long a probe waits for an answer, in seconds of virtual time.
_TIMEOUT_S = 1.0


@frozen(eq=False)
class Service:
    """What a station is asked for."""

    location: Location
    target: Target


class Cells(Mapping[tuple[str, str], Trace]):
    """The answer of every pair: the walk of the probe that was sent for its class."""

    def __init__(
        self, directory: Directory, sources: dict[str, Location], services: dict[str, Service], timeout_s: float
    ) -> None:
        self._directory, self._timeout_s = directory, timeout_s
        self.sources, self.services = sources, services
        self._equivalence: dict[tuple[str, int], EquivalenceClasses] = {}
        self._walks: dict[Any, Trace] = {}

    def add(self, port: tuple[str, int], equivalence: EquivalenceClasses) -> None:
        """Take the classes for a protocol and a port."""
        self._equivalence[port] = equivalence

    def signature(self, source: Location, service: Service) -> Any:
        """Give what the answer of a pair depends on."""
        port = (service.target.protocol, service.target.port)
        return (port, self._equivalence[port].signature(source, service.location))

    def __getitem__(self, key: tuple[str, str]) -> Trace:
        source, service = key
        return self._walks[self.signature(self.sources[source], self.services[service])]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((source, service) for source in self.sources for service in self.services)

    def __len__(self) -> int:
        return len(self.sources) * len(self.services)

    @property
    def probes(self) -> int:
        """How many probes were sent."""
        return len(self._walks)

    def named(self, source: str, service: str) -> tuple[str, str]:
        """Give the pair that is meant: names may be all that the lab knows its stations by (`web`, `web-2`, `node1:web`).

        Raises `KeyError` for a pair that was not asked.
        """
        if source in self.sources and service in self.services:
            return source, service
        asker = self.sources.get(source) or self._one(source)
        found = next((name for name, location in self.sources.items() if location is asker), None)
        name, _, port = service.rpartition(":")
        goal = self._one(name)
        suffix = f":{port}" if port else ""
        heard = next(
            (key for key, each in self.services.items() if each.location is goal and key.endswith(suffix)), None
        )
        if found is None or (heard is None and service not in self.services):
            raise KeyError(f"{source} to {service} was not asked")
        return found, service if service in self.services else str(heard)

    def _one(self, name: str) -> Location | None:
        known = self._directory.matching(name)
        return known[0] if len(known) == 1 else None

    def send_one(self, source: str, service: str) -> Trace:
        """Send a probe for one pair."""
        return _probe(self._directory, self.sources[source], self.services[service], self._timeout_s)

    def send(self) -> None:
        """Send a probe for every form of pair that there is."""
        for port, equivalence in self._equivalence.items():
            services = [each for each in self.services.values() if (each.target.protocol, each.target.port) == port]
            by_group: dict[int, list[Location]] = {}
            for source in self.sources.values():
                by_group.setdefault(equivalence.group(source).number, []).append(source)
            served: dict[int, list[Service]] = {}
            for service in services:
                served.setdefault(equivalence.group(service.location).number, []).append(service)
            for sources in by_group.values():
                for targets in served.values():
                    for source, service in _representatives(sources, targets):
                        signature = (port, equivalence.signature(source, service.location))
                        if signature not in self._walks:
                            self._walks[signature] = _probe(self._directory, source, service, self._timeout_s)


def _representatives(sources: list[Location], targets: list[Service]) -> Iterator[tuple[Location, Service]]:
    """Give a pair of two stations, and where there are any all that ask themselves: one stands for the others."""
    other = next(
        ((source, each) for source in sources[:2] for each in targets[:2] if each.location is not source), None
    )
    if other is not None:
        yield other
    asked = {id(each.location): each for each in targets}
    itself = next((source for source in sources if id(source) in asked), None)
    if itself is not None:
        yield itself, asked[id(itself)]


def _probe(directory: Directory, source: Location, service: Service, timeout_s: float) -> Trace:
    target = service.location
    address = address_towards(source, target)
    walk = run_probe(directory, source, service.target, address=address, timeout_s=timeout_s)
    if walk.is_reachable and not _has_come_to(walk, source, target):
        walk.finding = Finding(
            Verdict.UNREACHABLE,
            OtherMachinesAddress(source.label, format_ip(address), target.label),
            (Manual(Task.PUBLISH_ANY_PORT, target.label), Manual(Task.USE_OVERLAY)),
        )
    return walk


def _has_come_to(walk: Trace, source: Location, target: Location) -> bool:
    """Tell whether it was `target` that answered: hosts give their containers the same addresses, and names too."""
    places = {event.place for event in walk.events}
    is_far = target.is_container and source.host != target.host
    return target.namespace.name in places and (not is_far or target.host in places)


@frozen(eq=False)
class Change:
    """A pair that is answered otherwise in another lab; `None` where a lab has no such pair."""

    source: str
    service: str
    before: Verdict | None
    after: Verdict | None

    def __str__(self) -> str:
        before, after = (each.value if each else "not there" for each in (self.before, self.after))
        return f"{self.source} → {self.service}: {before}, now {after}"


@frozen(eq=False)
class Difference(Displayable):
    """What differs in reachability between two labs: `opened` and `closed` are the changes that let something through, or stop it."""

    changes: tuple[Change, ...]

    @property
    def opened(self) -> tuple[Change, ...]:
        """Pairs that reach each other now and did not before."""
        return tuple(each for each in self.changes if _reaches(each.after) and not _reaches(each.before))

    @property
    def closed(self) -> tuple[Change, ...]:
        """Pairs that reached each other before and do not now."""
        return tuple(each for each in self.changes if _reaches(each.before) and not _reaches(each.after))

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __len__(self) -> int:
        return len(self.changes)

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)

    def __str__(self) -> str:
        return "\n".join(map(str, self.changes)) or "no difference"

    def to_json(self) -> list[dict[str, Any]]:
        """Give the changes as plain values."""
        return [
            {
                "source": each.source,
                "service": each.service,
                "before": each.before.value if each.before else None,
                "after": each.after.value if each.after else None,
            }
            for each in self.changes
        ]


@define(eq=False)
class Reachability(Displayable):
    """Who reaches what: `sources` by `services` (`db:5432`, `dns:53/udp`).

    `cells[source, service]` is the walk of a real probe: that of the pair itself, or of one that no rule, route, socket or
    bridge tells from it. `probes` counts how many were sent.
    """

    sources: tuple[str, ...]
    services: tuple[str, ...]
    cells: Cells = field(repr=False)

    def __getitem__(self, key: tuple[str, str]) -> Trace:
        return self.cells[self.cells.named(*key)]

    @property
    def probes(self) -> int:
        """How many probes answered all pairs."""
        return self.cells.probes

    def source(self, name: str) -> Location:
        """Give the station that a source is."""
        return self.cells.sources[name]

    def service(self, name: str) -> tuple[Location, str, int]:
        """Give the station, protocol and port that a service is."""
        found = self.cells.services[name]
        return found.location, found.target.protocol, found.target.port

    def walk(self, source: str, service: str) -> Trace:
        """Send a probe for this very pair now, and give its walk."""
        return self.cells.send_one(*self.cells.named(source, service))

    def verdict(self, source: str, service: str) -> Verdict:
        """Give the verdict of a pair, by any names of the two. Raises `KeyError` for one that was not asked."""
        found = self[source, service].verdict
        assert found is not None, "a probe that has ended has a verdict"
        return found

    def reaches(self, source: str, service: str) -> bool:
        """Tell whether `source` reaches `service`."""
        return self.verdict(source, service).is_reachable

    def pairs(self) -> Iterator[tuple[str, str, Verdict]]:
        """Give every pair with its verdict."""
        return (
            (source, service, self.verdict(source, service)) for source in self.sources for service in self.services
        )

    def counts(self) -> dict[Verdict, int]:
        """Give how many pairs have which verdict."""
        found: dict[Verdict, int] = {}
        for _, _, verdict in self.pairs():
            found[verdict] = found.get(verdict, 0) + 1
        return found

    def diff(self, other: Reachability) -> Difference:
        """Tell what is answered otherwise in `other`: pairs are the same if their names are."""
        ours, theirs = (set(each.services) for each in (self, other))
        changes = []
        for source in dict.fromkeys((*self.sources, *other.sources)):
            for service in dict.fromkeys((*self.services, *other.services)):
                before = self.verdict(source, service) if source in self._known and service in ours else None
                after = other.verdict(source, service) if source in other._known and service in theirs else None
                if before is not after:
                    changes.append(Change(source, service, before, after))
        return Difference(tuple(changes))

    @property
    def _known(self) -> frozenset[str]:
        return frozenset(self.sources)

    @property
    def is_large(self) -> bool:
        """Whether it has too many pairs to be shown one by one."""
        return len(self.sources) * len(self.services) > _SHOWN_CELLS

    def _rows(self) -> list[list[str]]:
        return [
            [source, *(self.verdict(source, service).value for service in self.services)] for source in self.sources
        ]

    def _summary(self) -> list[list[str]]:
        return [[verdict.value, str(count)] for verdict, count in self.counts().items()]

    def __str__(self) -> str:
        if self.is_large:
            return plain_grid(("VERDICT", "PAIRS"), self._summary())
        return plain_grid(("FROM \\ TO", *self.services), self._rows())

    def to_svg(self) -> str:
        """Draw the matrix: a square a pair, with a tick where it is reached; each has its verdict as tooltip.

        Raises `InvalidParameter` for a matrix of more than 10,000 pairs.
        """
        if self.is_large:
            raise InvalidParameter(
                f"{len(self.sources)} by {len(self.services)} pairs are too many to draw: ask for fewer sources"
            )
        return str(views().matrix_svg(self))

    def to_frame(self) -> Any:
        """Give the verdicts as a pandas data frame. Raises `ImportError` where pandas is not installed."""
        return import_module("pandas").DataFrame(
            [row[1:] for row in self._rows()], index=self.sources, columns=self.services
        )


def _reaches(verdict: Verdict | None) -> bool:
    return verdict is not None and verdict.is_reachable


def reachability(
    lab: LabView, sources: Sequence[object] | None = None, *, protocols: Sequence[str] = ("tcp",), protocol: str | None = None,
    port: int | None = None, timeout_s: float = _TIMEOUT_S,
) -> Reachability:  # fmt: skip
    """Find out who reaches what, by address: from every container (or `sources`) to every container.

    With `port` every container is asked at that port of `protocol`; without, at each port that it listens on by one of `protocols`, a
    listener on 127.0.0.1 left out. `protocol` alone stands for `protocols`; `icmp` needs no port. Raises `InvalidParameter` for
    an unknown protocol, `NotFound` or `Conflict` for an unknown or ambiguous source.
    """
    wanted = (protocol,) if protocol is not None else tuple(protocols)
    if port is not None:
        wanted = wanted[:1]
    for each in wanted:
        if each not in PROTOCOLS:
            raise InvalidParameter(f"unknown protocol {each!r}: tcp, udp or icmp")
    directory = directory_of(lab)
    names = _names(directory)
    everyone = [location for location in directory.locations if location.is_container]
    askers = [location_of(directory, source) for source in sources] if sources is not None else everyone
    services: dict[str, Service] = {}
    for location in everyone:
        if not location.addresses:
            continue
        for target in _targets(location, names[id(location)], wanted, port):
            services.setdefault(str(target), Service(location, target))
    cells = Cells(directory, {names[id(each)]: each for each in askers}, services, timeout_s)
    asked = list({id(each): each for each in (*askers, *(each.location for each in services.values()))}.values())
    for there in dict.fromkeys((each.target.protocol, each.target.port) for each in services.values()):
        cells.add(there, EquivalenceClasses(directory, asked, *there))
    cells.send()
    return Reachability(tuple(names[id(each)] for each in askers), tuple(services), cells)


def _names(directory: Directory) -> dict[int, str]:
    """Name each station: where several hosts have a container of one name, with its host."""
    seen: dict[str, int] = {}
    for location in directory.locations:
        seen[location.name] = seen.get(location.name, 0) + 1
    return {
        id(each): each.name if seen[each.name] == 1 else each.label.replace(":", "/") for each in directory.locations
    }


def _targets(location: Location, name: str, protocols: Sequence[str], port: int | None) -> Iterator[Target]:
    label = name.replace("/", ".")
    if protocols == ("icmp",):
        yield Target(label, 0, "icmp")
    elif port is not None:
        yield Target(label, port, protocols[0])
    else:
        for item in location.services:
            if item.protocol in protocols and not item.is_loopback_only:
                yield Target(label, item.port, item.protocol)
