"""The reachability matrix of a lab: a verdict for every pair of source and service.

One real probe is sent for each signature (see `equivalence`); pairs with the same signature share its result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from attrs import define, evolve, field, frozen

from cnmsim.digits import is_number
from cnmsim.errors import InvalidParameter
from cnmsim.observe.diagnosis.causes.silence import OtherMachinesAddress
from cnmsim.observe.diagnosis.file_names import names_of
from cnmsim.observe.diagnosis.finding import Finding
from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.observe.directory import Directory
from cnmsim.observe.display import Displayable, views
from cnmsim.observe.fixes.changes import Manual
from cnmsim.observe.fixes.tasks import Task
from cnmsim.observe.location import Location
from cnmsim.observe.reachability.equivalence import EquivalenceClasses
from cnmsim.observe.reachability.nameclasses import NameClasses
from cnmsim.observe.trace.table import plain_grid
from cnmsim.observe.trace.target import PROTOCOLS, Target, port_number
from cnmsim.observe.trace.trace import Trace
from cnmsim.observe.trace.tracer import LabView, address_towards, directory_of, location_of, run_probe

#: The largest number of pairs that are shown one by one. For a larger matrix only the number of pairs with each
#: verdict is shown.
_SHOWN_CELLS = 10_000
#: The timeout of a probe, in seconds of virtual time.
_TIMEOUT_S = 1.0


@frozen(eq=False)
class Service:
    """The destination of a probe: a location, a protocol and a port."""

    location: Location
    target: Target


class Cells(Mapping[tuple[str, str], Trace]):
    """The results of all pairs, as a mapping from (source name, service name) to the trace of a probe.

    A probe is sent once for each signature (see `equivalence`), so equivalent pairs share one trace. If `by_name` is
    set, a probe of a service uses the name of its container, which the source looks up; otherwise it uses the
    container's address.
    """

    def __init__(
        self,
        directory: Directory,
        sources: dict[str, Location],
        services: dict[str, Service],
        timeout_s: float,
        *,
        by_name: bool,
        family: int = 0,
    ) -> None:
        self._directory, self._timeout_s, self._family = directory, timeout_s, family
        self.sources, self.services = sources, services
        self._equivalence: dict[tuple[str, int], EquivalenceClasses] = {}
        self._names = NameClasses(directory) if by_name else None
        self._walks: dict[Any, Trace] = {}

    def add(self, port: tuple[str, int], equivalence: EquivalenceClasses) -> None:
        """Set the equivalence classes of the locations for probes of `port`, a pair of protocol and port number."""
        self._equivalence[port] = equivalence

    def signature(self, source: Location, service: Service) -> Any:
        """Return the signature of a source and a service. Pairs with equal signatures share one probe."""
        port = (service.target.protocol, service.target.port)
        name = self._names.of_pair(source, service.location) if self._names is not None else None
        return port, self._equivalence[port].signature(source, service.location), name

    def __getitem__(self, key: tuple[str, str]) -> Trace:
        source, service = key
        return self._walks[self.signature(self.sources[source], self.services[service])]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((source, service) for source in self.sources for service in self.services)

    def __len__(self) -> int:
        return len(self.sources) * len(self.services)

    @property
    def probes(self) -> int:
        """The number of probes that were sent."""
        return len(self._walks)

    def named(self, source: str, service: str) -> tuple[str, str]:
        """Return this mapping's key for the pair (`source`, `service`), which may be given by any of their names.

        A location may have several names (`web`, `web-2`, `node1:web`). Raises `KeyError` for a pair that was not
        probed.
        """
        if source in self.sources and service in self.services:
            return source, service
        source_location = self.sources.get(source) or self._one(source)
        source_name = next((name for name, location in self.sources.items() if location is source_location), None)
        name, _, port = service.rpartition(":")
        goal = self._one(name)
        suffix = f":{port}" if port else ""
        service_name = next(
            (key for key, candidate in self.services.items() if candidate.location is goal and key.endswith(suffix)),
            None,
        )
        if source_name is None or (service_name is None and service not in self.services):
            raise KeyError(f"{source} to {service} was not probed")
        return source_name, service if service in self.services else str(service_name)

    def _one(self, name: str) -> Location | None:
        known = self._directory.matching(name)
        return known[0] if len(known) == 1 else None

    def send_one(self, source: str, service: str) -> Trace:
        """Send a new probe for one pair, and return its trace. The stored results remain as they are."""
        return self._probe(self.sources[source], self.services[service])

    def send(self) -> None:
        """Send one probe for every signature, and store its trace."""
        for port, equivalence in self._equivalence.items():
            services = [
                service
                for service in self.services.values()
                if (service.target.protocol, service.target.port) == port
            ]
            by_group: dict[Any, list[Location]] = {}
            for source in self.sources.values():
                name_class = self._names.of_source(source) if self._names is not None else None
                by_group.setdefault((equivalence.group(source).number, name_class), []).append(source)
            served: dict[Any, list[Service]] = {}
            for service in services:
                name_class = self._names.of_target(service.location) if self._names is not None else None
                served.setdefault((equivalence.group(service.location).number, name_class), []).append(service)
            for sources in by_group.values():
                for targets in served.values():
                    for source, service in _representatives(sources, targets):
                        self._send_for(source, service)
            by_location = {id(service.location): service for service in services}
            for source, location in self._names.pairs_in_hosts_files(self.sources.values()) if self._names else ():
                if id(location) in by_location:
                    self._send_for(source, by_location[id(location)])

    def _send_for(self, source: Location, service: Service) -> None:
        """Send a probe for a pair, unless one was already sent for a pair with the same signature."""
        signature = self.signature(source, service)
        if signature not in self._walks:
            self._walks[signature] = self._probe(source, service)

    def _probe(self, source: Location, service: Service) -> Trace:
        location = service.location
        if self._names is not None and location.is_container:
            return _probe(self._directory, source, service, self._name(location), self._timeout_s, self._family)
        return _probe(self._directory, source, service, "", self._timeout_s, self._family)

    def _name(self, location: Location) -> str:
        """Return the name by which to look up a container.

        It is that of the container, as all replicas of a service share the service's name. A container in the network
        namespace of another one has no name there: the user then means its service.
        """
        is_shared = location.network_mode.startswith("container:") and location.service
        is_only = is_shared and self._directory.matching(location.service) == (location,)
        return location.service if is_only else location.name


def _representatives(sources: list[Location], targets: list[Service]) -> Iterator[tuple[Location, Service]]:
    """Yield the pairs to probe for one class of sources and one class of targets; there are at most two.

    One is a pair in different network namespaces, the other a pair in one namespace.
    """
    pairs = ((source, target) for source in sources for target in targets)
    other = next((pair for pair in pairs if pair[1].location.namespace is not pair[0].namespace), None)
    if other is not None:
        yield other
    by_namespace = {id(target.location.namespace): target for target in targets}
    itself = next((source for source in sources if id(source.namespace) in by_namespace), None)
    if itself is not None:
        yield itself, by_namespace[id(itself.namespace)]


def _probe(
    directory: Directory, source: Location, service: Service, name: str, timeout_s: float, family: int
) -> Trace:
    """Send a probe to a service and return its trace.

    The probe looks up `name`. If that is "", it uses an address of the service's location, on a network that this
    location shares with the source if there is one. If another container received the probe, the verdict
    is set to unreachable.
    """
    location = service.location
    target = evolve(service.target, host=name or location.name)
    address = None if name else address_towards(source, location, family)
    walk = run_probe(directory, source, target, address=address, timeout_s=timeout_s, family=family)
    if walk.is_reachable and not _has_come_to(walk, source, location):
        used = walk.question["address"]
        walk.finding = Finding(
            Verdict.UNREACHABLE,
            OtherMachinesAddress(source.label, used, location.label),
            (Manual(Task.PUBLISH_ANY_PORT, location.label), Manual(Task.USE_OVERLAY)),
        )
    return walk


def _has_come_to(walk: Trace, source: Location, target: Location) -> bool:
    """Return True if the probe reached `target` itself, and not another container with the same address.

    `walk` is the trace of the probe. Containers on different hosts may have the same addresses.
    """
    places = {event.place for event in walk.events}
    is_far = target.is_container and source.host != target.host
    return target.namespace.name in places and (not is_far or target.host in places)


@frozen(eq=False)
class Change:
    """A pair whose verdict differs between two labs. `before` or `after` is `None` if the pair is not in that lab."""

    source: str
    service: str
    before: Verdict | None
    after: Verdict | None

    def __str__(self) -> str:
        before, after = (verdict.value if verdict else "not there" for verdict in (self.before, self.after))
        return f"{self.source} → {self.service}: {before}, now {after}"


@frozen(eq=False)
class Difference(Displayable):
    """The pairs whose verdicts differ between two labs.

    `opened` are the pairs that became reachable, `closed` those that became unreachable.
    """

    changes: tuple[Change, ...]

    @property
    def opened(self) -> tuple[Change, ...]:
        """The pairs that were not reachable before and are reachable now."""
        return tuple(change for change in self.changes if _reaches(change.after) and not _reaches(change.before))

    @property
    def closed(self) -> tuple[Change, ...]:
        """The pairs that were reachable before and are not reachable now."""
        return tuple(change for change in self.changes if _reaches(change.before) and not _reaches(change.after))

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __len__(self) -> int:
        return len(self.changes)

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)

    def __str__(self) -> str:
        return "\n".join(map(str, self.changes)) or "no difference"

    def to_json(self) -> list[dict[str, Any]]:
        """Return the changes as a list of JSON-compatible dicts: `source`, `service`, `before` and `after`."""
        return [
            {
                "source": change.source,
                "service": change.service,
                "before": change.before.value if change.before else None,
                "after": change.after.value if change.after else None,
            }
            for change in self.changes
        ]


@define(eq=False)
class Reachability(Displayable):
    """The reachability of `services` (`db:5432`, `dns:53/udp`) from `sources`.

    `cells[source, service]` is the trace of a real probe: of the pair itself, or of an equivalent pair. Two pairs are
    equivalent if they differ in no rule, route, socket or bridge that could change the result. `probes` is the number
    of probes sent.
    """

    sources: tuple[str, ...]
    services: tuple[str, ...]
    cells: Cells = field(repr=False)

    def __getitem__(self, key: tuple[str, str]) -> Trace:
        return self.cells[self.cells.named(*key)]

    @property
    def probes(self) -> int:
        """The number of probes that were sent to get the results of all pairs."""
        return self.cells.probes

    def source(self, name: str) -> Location:
        """Return the location of the source with this name."""
        return self.cells.sources[name]

    def service(self, name: str) -> tuple[Location, str, int]:
        """Return the location, protocol and port of the service with this name, such as `db:5432`."""
        service = self.cells.services[name]
        return service.location, service.target.protocol, service.target.port

    def walk(self, source: str, service: str) -> Trace:
        """Send a new probe for this pair, and return its trace."""
        return self.cells.send_one(*self.cells.named(source, service))

    def verdict(self, source: str, service: str) -> Verdict:
        """Return the verdict of a pair. Any name of the source and of the service is accepted.

        Raises `KeyError` for a pair that was not probed.
        """
        return self[source, service].verdict

    def reaches(self, source: str, service: str) -> bool:
        """Return True if `source` reaches `service`. Any name of the two is accepted, as in `verdict`."""
        return self.verdict(source, service).is_reachable

    def pairs(self) -> Iterator[tuple[str, str, Verdict]]:
        """Yield (source name, service name, verdict) for every pair."""
        return (
            (source, service, self.verdict(source, service)) for source in self.sources for service in self.services
        )

    def counts(self) -> dict[Verdict, int]:
        """Return the number of pairs for each verdict."""
        counts: dict[Verdict, int] = {}
        for _, _, verdict in self.pairs():
            counts[verdict] = counts.get(verdict, 0) + 1
        return counts

    def diff(self, other: Reachability) -> Difference:
        """Return the pairs whose verdict in this matrix differs from the one in `other`, the later matrix.

        Pairs are compared by name.
        """
        ours, theirs = (set(matrix.services) for matrix in (self, other))
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

    def to_json(self) -> dict[str, Any]:
        """Return the matrix as plain values: `sources`, `services` and `pairs` with verdicts, causes, assumptions."""
        pairs = [
            {
                "source": source, "service": service, "verdict": verdict.value, "reachable": verdict.is_reachable,
                "cause": finding.cause_text, "assumptions": list(finding.assumption_texts),
            }
            for source, service, verdict in self.pairs()
            if (finding := self[source, service].finding) is not None
        ]  # fmt: skip
        return {"sources": list(self.sources), "services": list(self.services), "pairs": pairs}

    @property
    def is_large(self) -> bool:
        """Whether the matrix has too many pairs to be shown one by one."""
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
        """Draw the matrix as SVG: one square for each pair, with a tick if reachable and the verdict as its tooltip.

        Raises `InvalidParameter` for a matrix of more than 10,000 pairs.
        """
        if self.is_large:
            raise InvalidParameter(
                f"{len(self.sources)} by {len(self.services)} pairs are too many to draw: name fewer sources"
            )
        return str(views().matrix_svg(self))

    def to_frame(self) -> Any:
        """Return the verdicts as a pandas data frame: a row for each source, a column for each service.

        Raises `ImportError` if pandas is not installed.
        """
        return import_module("pandas").DataFrame(
            [row[1:] for row in self._rows()], index=self.sources, columns=self.services
        )


def _reaches(verdict: Verdict | None) -> bool:
    return verdict is not None and verdict.is_reachable


def reachability(
    lab: LabView, sources: Sequence[object] | None = None, *, protocols: Sequence[str] = ("tcp",),
    protocol: str | None = None, port: int | str | None = None, by: str = "name", timeout_s: float = _TIMEOUT_S,
    family: int = 0,
) -> Reachability:  # fmt: skip
    """Probe which containers can reach which: from every container (or `sources`) to every container.

    A probe uses the container's name, which the source looks up; with `by="address"`, the container's address.

    With `port`, that port of `protocol` is probed on every container. Without it, every port on which a container
    listens by one of `protocols` is probed, except listeners on loopback only. `protocol` is short for `protocols`
    with one element; `icmp` needs no port. `family` (4 or 6) is the IP version to use, 0 for either. Raises
    `InvalidParameter` for an unknown protocol or an invalid port, `NotFound` or `Conflict` for an unknown or
    ambiguous source.
    """
    probed_protocols = (protocol,) if protocol is not None else tuple(protocols)
    number = None if port is None else port_number(port)
    if number is not None:
        probed_protocols = probed_protocols[:1]
    for name in probed_protocols:
        if name not in PROTOCOLS:
            raise InvalidParameter(f"unknown protocol {name!r}: tcp, udp or icmp")
    if by not in {"name", "address"}:
        raise InvalidParameter(f"by={by!r} is invalid: write name or address")
    directory = directory_of(lab)
    names = _names(directory)
    everyone = [location for location in directory.locations if location.is_container]
    given: object = sources
    if isinstance(given, (str, int)):
        is_port = isinstance(given, int) or is_number(given)
        meant = f"reachability(port={sources})" if is_port else f"reachability([{sources!r}])"
        raise InvalidParameter(f"{sources!r} is no list of sources: write {meant}")
    askers = [location_of(directory, source) for source in sources] if sources is not None else everyone
    services: dict[str, Service] = {}
    for location in everyone:
        if not location.addresses:
            continue
        for target in _targets(location, names[id(location)], probed_protocols, number):
            services.setdefault(str(target), Service(location, target))
    cells = Cells(
        directory, {names[id(source)]: source for source in askers}, services, timeout_s, by_name=by == "name",
        family=family,
    )  # fmt: skip
    targets = [service.location for service in services.values()]
    locations = list({id(location): location for location in (*askers, *targets)}.values())
    for probed_port in dict.fromkeys((service.target.protocol, service.target.port) for service in services.values()):
        cells.add(probed_port, EquivalenceClasses(directory, locations, *probed_port))
    cells.send()
    return Reachability(tuple(names[id(source)] for source in askers), tuple(services), cells)


def _names(directory: Directory) -> dict[int, str]:
    """Return a mapping from the `id()` of each location to its name in the matrix: as in the Compose or stack file.

    A name that is used on several hosts gets the host as prefix (`node1/web`).
    """
    names = names_of(directory)
    seen: dict[str, int] = {}
    for location in directory.locations:
        seen[location.name] = seen.get(location.name, 0) + 1
    return {
        id(location): names.get(location.name, location.name)
        if seen[location.name] == 1
        else location.label.replace(":", "/")
        for location in directory.locations
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
