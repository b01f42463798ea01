"""Send a real probe from one location to another and trace every event that it causes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from attrs import evolve

from cnmsim.digits import is_number
from cnmsim.errors import CnmsimError, InvalidParameter, NotFound, Unavailable
from cnmsim.kernel.address import Address, format_ip, is_loopback
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.netfilter.netdb import SERVICES
from cnmsim.libnetwork.endpoint import Endpoint
from cnmsim.libnetwork.sandbox import Sandbox
from cnmsim.observe.capture.capture import Capture
from cnmsim.observe.diagnosis.diagnose import diagnose
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext
from cnmsim.observe.diagnosis.file_names import names_of
from cnmsim.observe.directory import Directory
from cnmsim.observe.lab_locations import is_internal, sandbox_location
from cnmsim.observe.location import Location, shared_networks
from cnmsim.observe.trace.probe import DEFAULT_TIMEOUT_S, Probe
from cnmsim.observe.trace.target import Target, destination_text, split_pair, split_service
from cnmsim.observe.trace.trace import Trace

#: The virtual time in seconds after which a probe that has not ended is reported as an error.
_LIMIT_S = 300.0
#: After the probe has ended, events are recorded for this time in seconds, to include the end of its connection.
_TAIL_S = 0.05


class LabView(Protocol):
    """The part of a lab that the package `observe` uses: its clock and its hosts."""

    @property
    def clock(self) -> Clock:
        """The lab's clock."""

    @property
    def hosts(self) -> Mapping[str, Any]:
        """The hosts by name: objects with `name`, `machine`, `programs` and `docker`."""


def directory_of(lab: LabView) -> Directory:
    """Return a directory of the hosts and containers of a lab as they are now."""
    inactive: dict[str, tuple[str, ...]] = {}
    for project in getattr(lab, "projects", ()):
        inactive |= project.model.inactive
    is_offline = bool(getattr(getattr(lab, "source", None), "is_offline", False))
    return Directory.of(lab.hosts.values(), inactive, is_offline=is_offline)


def location_of(directory: Directory, what: object) -> Location:
    """Return the location for a name, a host, a container, a sandbox, an endpoint or a location.

    For an endpoint, this is the location of the sandbox that the endpoint has joined. Raises `NotFound` if there is
    no such location, and `Conflict` if a name matches several. Raises `Unavailable` for a sandbox without namespace,
    and for an endpoint outside any sandbox. Raises `InvalidParameter` for any other object, and for an object of
    another lab.
    """
    if isinstance(what, Location):
        return what
    if isinstance(what, str):
        return directory.find(what)
    if isinstance(what, Endpoint):
        if what.sandbox is None:
            raise Unavailable(f"{what} has joined no sandbox")
        return location_of(directory, what.sandbox)
    if isinstance(what, Sandbox):
        _require_own(directory, what, what.controller.machine)
        containers = (item for item in directory.locations if item.is_container and item.id == what.container_id)
        return next(containers, None) or sandbox_location(what)
    if getattr(what, "name", None) is None:
        raise InvalidParameter(f"{what!r} is no place: a host, a container, a sandbox, an endpoint or a name is")
    _require_own(directory, what, getattr(what, "machine", None))
    identity = getattr(what, "id", None)
    for location in directory.locations:
        if identity is not None and location.is_container and location.id == identity:
            return location
        if identity is None and not location.is_container and location.name == getattr(what, "name", None):
            return location
    return directory.find(str(getattr(what, "name", what)))


def _require_own(directory: Directory, what: object, machine: Machine | None) -> None:
    """Raise `InvalidParameter` if `what` does not belong to the lab of `directory`.

    `machine` is the machine on which `what` is. If it is `None`, nothing is checked.
    """
    if machine is not None and all(location.machine is not machine for location in directory.locations):
        raise InvalidParameter(f"{what!r} belongs to another lab")


def address_towards(source: Location, target: Location, family: int = 0) -> Address:
    """Return an address of `target`: on a network that it shares with `source` if there is one, else its first.

    `family` (4 or 6) is the IP version; with 0 any is returned. Raises `Unavailable` if there is no such address.
    """
    size = {4: (4,), 6: (16,)}.get(family, (4, 16))
    for name in shared_networks(source, target):
        attachment = target.on_network(name)
        for address in attachment.addresses if attachment else ():
            if len(address) in size:
                return address
    for address in target.addresses:
        if len(address) in size:
            return address
    if family and target.addresses:
        raise Unavailable(f"{target.label} has no IPv{family} address")
    raise Unavailable(f"{target.label} has no address: it is attached to no network")


def destination_address(directory: Directory, what: object, family: int = 0) -> Address | None:
    """Return the address of an endpoint; `None` if `what` is not an endpoint.

    `family` (4 or 6) is the IP version; with 0, return an address of either. Raises `Unavailable` if the endpoint has
    no such address, and `InvalidParameter` if the endpoint belongs to another lab.
    """
    if not isinstance(what, Endpoint):
        return None
    _require_own(directory, what, what.network.controller.machine)
    for assigned in (what.ipv4, what.ipv6):
        if assigned is not None and (not family or len(assigned[0]) == (16 if family == 6 else 4)):
            return assigned[0]
    raise Unavailable(f"{what} has no address" + (f" of IPv{family}" if family else ""))


def parse_destination(
    directory: Directory, source: Location, text: str, protocol: str | None = None, family: int = 0
) -> tuple[Target, Address | None]:
    """Parse a destination, and return (target, address).

    The address is `None` if the probe must look up the target's name: names of containers and services are looked up
    by the source's own resolver, as programs do. The name of a host, or `host:container`, is not looked up: the
    address is that of the location with this name.

    The name of a swarm task may be written without its id (`service.1`). `protocol` and `family` are as in `trace`.
    Raises `InvalidParameter` if the text is not a destination, `NotFound` or `Conflict` if the name after `host:` is
    unknown or ambiguous.
    """
    head, _, rest = text.partition(":")
    hosts = {location.name for location in directory.locations if not location.is_container}
    inner = rest.partition("/")[0]
    is_port = is_number(inner) or (inner in SERVICES and not directory.matching(f"{head}:{inner}"))
    if head in hosts and rest and "//" not in rest and not is_port:
        target = Target.parse(rest, protocol)
        return target, address_towards(source, directory.find(f"{head}:{target.host}"), family)
    return locate(directory, source, Target.parse(text, protocol), family)


def locate(directory: Directory, source: Location, target: Target, family: int = 0) -> tuple[Target, Address | None]:
    """Return (target, address) for a probe; the address is `None` if the target's name is to be looked up.

    The returned target differs from `target` only for a swarm task: it then has the task's full name, with the id.
    `family` is as in `trace`. See `parse_destination` for which names are looked up.
    """
    known = directory.matching(target.host)
    if len(known) == 1 and not known[0].is_container and source is not known[0]:
        return target, address_towards(source, known[0], family)
    if len(known) == 1 and known[0].task and target.host in known[0].replica_names:
        # The resolver has only the full name of a task, which ends in the task's id.
        return evolve(target, host=known[0].name), None
    return target, None


def run_probe(
    directory: Directory,
    source: Location,
    target: Target,
    *,
    address: Address | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    family: int = 0,
) -> Trace:
    """Run one probe from `source` to `target` to its end and return its trace with a finding.

    If `address` is given, it is used without a name lookup. `timeout_s` limits the wait for an answer, in virtual
    seconds. `family` (4 or 6) is the IP version to use, 0 for either. Raises `InvalidParameter` for an invalid
    timeout or family, or a target address of the other IP version; `CnmsimError` if the probe does not end.
    """
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, (int, float)) or not timeout_s > 0:
        raise InvalidParameter(f"timeout_s={timeout_s!r}: write the seconds to wait as a number greater than 0")
    if family not in (0, 4, 6):
        raise InvalidParameter(f"family={family!r}: write 4 or 6, the IP version, or 0 for either")
    wrong = {4: ":" in target.host, 6: is_number(target.host.replace(".", ""))}
    if wrong.get(family):
        raise InvalidParameter(f"{target.host} is no IPv{family} address")
    probe = Probe(target, timeout_s, address, family)
    walk = send_probe(directory, source, probe)
    assert probe.outcome is not None, "the probe has ended"
    walk.finding = diagnose(
        DiagnosisContext(
            source, target, probe.outcome, walk.hops, directory, probe.connect_started_ns - walk.start_ns
        )
    )
    return walk


def send_probe(directory: Directory, source: Location, probe: Probe) -> Trace:
    """Run `probe` to its end at `source`, and return its trace, without a finding.

    Raises `CnmsimError` if the probe does not end.
    """
    clock, target = source.machine.clock, probe.target
    names = names_of(directory)
    shown = evolve(target, host=names.get(target.host, target.host))
    walk = Trace(f"{names.get(source.name, source.name)} → {shown.title}", clock.now_ns)
    walk.directory = directory
    walk.question = {
        "source": source.label, "destination": target.host, "port": target.port or None, "protocol": target.protocol,
    }  # fmt: skip
    with walk.watching(clock):
        process = source.spawn(probe.run, ["probe", str(target)])
        clock.run_for(_LIMIT_S, stop=lambda: not process.is_running)
    clock.run_for(_TAIL_S)
    walk.close()
    if probe.outcome is None:
        process.kill()
        raise CnmsimError(f"the probe from {source.label} did not end within {_LIMIT_S:g} s")
    walk.outcome = probe.outcome
    used = probe.outcome.address
    walk.question["address"] = format_ip(used) if used else None
    return walk


def trace(
    lab: LabView,
    source: object,
    destination: object,
    service: str | int | None = None,
    *,
    port: int | str | None = None,
    protocol: str | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    family: int = 0,
) -> Trace:
    """Trace a probe from `source` to `destination`.

    `source` is a name, a host, a container, a sandbox or an endpoint. `destination` is `db:5432`, `web:53/udp`,
    `db:http`, `("db", 5432)`, a URL, a name, or an object of the kinds that `source` can be. Its port may be given as
    `port`, or as `service` (`"tcp/80"`); without any port, the destination is pinged. If the destination is a name,
    the source looks it up; if it is an object, its address is used. `protocol` applies to a destination without one;
    `timeout_s` limits the wait for an answer, in virtual seconds; `family` (4 or 6) is the IP version to use, 0 for
    either. Raises `NotFound` or `Conflict` for an unknown or ambiguous source, `InvalidParameter` for an invalid
    destination.
    """
    directory = directory_of(lab)
    location = location_of(directory, source)
    if service is not None:
        port, protocol = split_service(service, port)
    destination, port = split_pair(destination, port)
    place = None
    if isinstance(destination, str):
        text = destination_text(destination, port)
        target, address = parse_destination(directory, location, text, protocol, family)
        name = target.host
        if address is not None:
            place = directory.owner(address)
    else:
        own = destination_address(directory, destination, family)
        if own is None:
            place = location_of(directory, destination)
            own = address_towards(location, place, family)
        target, address = Target.parse(destination_text(format_ip(own), port), protocol), None
        name = target.host
    walk = run_probe(directory, location, target, address=address, timeout_s=timeout_s, family=family)
    if walk.is_reachable:
        return walk
    from cnmsim.observe.explain import repeat  # explain imports this module
    from cnmsim.observe.fixes.search import FailedProbe, FixSearch, Question

    name = name if place is None else place.lasting_name
    question = Question(location.lasting_name, name, target.service, place is not None, family, timeout_s)
    walk.fix_search = FixSearch(lab, FailedProbe(question, target, walk, directory), repeat, names_of(directory))
    return walk


def namespaces_of(directory: Directory) -> Iterable[NetworkNamespace]:
    """Return the network namespaces of all locations, each once."""
    return dict.fromkeys(location.namespace for location in directory.locations)


def _patterns(where: object) -> str:
    """Return the capture pattern for `where`, a text, a sandbox or an endpoint.

    For a sandbox it matches the devices except loopback, for an endpoint its device in its sandbox; a text is
    returned as it is. Raises `Unavailable` for an endpoint that has joined no sandbox, `InvalidParameter` for any
    other object.
    """
    if isinstance(where, Endpoint):
        if where.sandbox is None or where.sandbox.namespace is None or not where.interface_name:
            raise Unavailable(f"{where} has no device: it has joined no sandbox")
        return f"{where.sandbox.namespace.name}:{where.interface_name}"
    if isinstance(where, Sandbox):
        return f"{where.place.namespace.name}:[!l]*"
    if not isinstance(where, str):
        raise InvalidParameter(f"{where!r} is no place to capture at: a pattern such as 'node1:eth0' is")
    return where


def capture(lab: LabView, *places: str | Sandbox | Endpoint, **options: Any) -> Capture:
    """Start a capture on the devices that match `places`, e.g. `"node1:eth0"` or `"web:*"`.

    A place may also be a sandbox (all its devices except loopback) or an endpoint (its device in its sandbox).
    Without `places`, all devices except loopback are captured. `options` are `filter`, `prn` and `verdicts` of
    `Capture`. Raises `NotFound` if the lab has no hosts or no device matches, `InvalidParameter` for an invalid
    filter.
    """
    patterns = tuple(map(_patterns, places))
    # The sandbox of a load balancer is not a location, so its namespace is added here.
    sandboxes = [where.sandbox if isinstance(where, Endpoint) else where for where in places]
    inside = dict.fromkeys(
        where.namespace
        for where in sandboxes
        if isinstance(where, Sandbox) and where.namespace is not None and is_internal(where)
    )

    def names() -> dict[Address, tuple[str, ...]]:
        known = directory_of(lab).names()
        return {address: texts for address, texts in known.items() if not is_loopback(address)}

    def stacks() -> Iterable[NetworkNamespace]:
        return [*namespaces_of(directory_of(lab)), *inside]

    if not any(stacks()):
        raise NotFound("the lab has no hosts")
    options["file_names"] = lambda: names_of(directory_of(lab))
    return Capture(patterns or ("*:[!l]*",), stacks, names, lab.clock.epoch_s, **options)
