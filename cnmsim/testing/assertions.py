"""Assertions about a lab, for tests and CI. The message of a failed assertion contains the trace.

    assert_reachable(lab, "web", "db:5432")
    assert_isolated(lab, "web", "vault")
    assert_resolves(lab, "web", "db", to="172.18.0.3")
    assert_no_path_from_outside(lab, "db")

Each assertion sends real packets, which change the counters, connections and neighbour entries of the lab. Pass
`lab.fork()` if they must not change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from cnmsim.kernel.address import format_ip
from cnmsim.observe.diagnosis.file_names import in_file_names, names_of
from cnmsim.observe.directory import Directory
from cnmsim.observe.location import Location
from cnmsim.observe.trace.target import Target
from cnmsim.observe.trace.tracer import directory_of, location_of, run_probe, trace
from cnmsim.observe.views.rules import lookup
from cnmsim.testing.prove import assert_isolated as assert_isolated_pairs
from cnmsim.testing.prove import has_come_to

if TYPE_CHECKING:
    from cnmsim.lab import Lab
    from cnmsim.observe.trace.trace import Trace

_TIMEOUT_S = 2.0


def assert_reachable(
    lab: Lab, source: object, destination: str, *, protocol: str | None = None, timeout_s: float = _TIMEOUT_S
) -> Trace:
    """Assert that `source` reaches `destination`, and return the trace.

    `destination` is written as `"db:5432"`, `"dns:53/udp"` or `"10.0.0.15:8080"`; a destination without a port is
    pinged. `protocol` applies to a destination that states none. `timeout_s` is in seconds of virtual time. Raises
    `AssertionError` with the trace, `NotFound` or `Conflict` for an unknown or ambiguous source, `InvalidParameter`
    for an invalid destination.
    """
    walk = trace(lab, source, destination, protocol=protocol, timeout_s=timeout_s)
    head = in_file_names(f"{_name(source)} does not reach {destination}", walk.file_names)
    assert walk.is_reachable, f"{head}\n\n{walk}"
    return walk


def assert_isolated(
    lab: Lab,
    sources: object | Iterable[object],
    destinations: object | Iterable[object],
    services: Iterable[str] | None = None,
) -> None:
    """Assert that no packet from `sources` arrives at any address of `destinations`, even if nothing answers it.

    `sources` and `destinations` are each one or several names, hosts or containers. `services` are `icmp`, `tcp/PORT`
    or `udp/PORT`; the default is `icmp` and each port on which a destination listens. Raises `AssertionError` with
    the trace of the packet that arrived.
    """
    for destination in _several(destinations):
        location = location_of(directory_of(lab), destination)
        probed = services if services is not None else ["icmp", *_services(location)]
        assert_isolated_pairs(lab, _several(sources), [destination], probed)


def assert_resolves(
    lab: Lab, source: object, name: str, *, to: str | Iterable[str] | None = None, family: int = 4
) -> list[str]:
    """Assert that `name` resolves in `source`, and return the addresses found.

    With `to`, exactly these addresses must be found. `family` is 4 or 6. The lookup follows getaddrinfo: /etc/hosts,
    then the servers of resolv.conf. Raises `AssertionError` with the queries and their answers; if no address was
    found, the text also contains the trace of the queries.
    """
    directory = directory_of(lab)
    location = location_of(directory, source)
    own = names_of(directory).get(location.name, location.name)
    found = lookup(lab, location, name, family=family)
    resolved, questions = list(found.addresses), found.questions
    if not resolved:
        walk = run_probe(directory, location, Target(name, 0, "icmp"), family=family)
        raise AssertionError(f"{own} finds no address for {name}\n{questions}\n\n{walk}")
    expected = None if to is None else sorted([to] if isinstance(to, str) else to)
    shown = ", ".join(sorted(resolved))
    assert expected is None or sorted(resolved) == expected, (
        f"{own} resolves {name} to {shown}, not to {', '.join(expected or ())}\n{questions}"
    )
    return resolved


def assert_no_path_from_outside(
    lab: Lab, destination: object, *, outside: Iterable[object] | None = None, ports: Iterable[str] | None = None
) -> None:
    """Assert that no packet from an outside host arrives at `destination`.

    `outside` are the hosts from which to probe; the default is all hosts without an engine. `ports`, such as
    `"80/tcp"`, are probed at the container's own addresses; the default is all ports on which it listens. Every port
    that is published for the container is probed too. Raises `AssertionError` with the trace of the packet that
    arrived.
    """
    for source, target, walk in paths_from_outside(lab, destination, outside=outside, ports=ports):
        head = in_file_names(f"{source.name} reaches {target.name} from outside", walk.file_names)
        raise AssertionError(f"{head}\n\n{walk}")


def paths_from_outside(
    lab: Lab, destination: object, *, outside: Iterable[object] | None = None, ports: Iterable[str] | None = None
) -> Iterator[tuple[Location, Location, Trace]]:
    """Probe `destination` from outside hosts; yield (source, target, trace) for each probe that arrives there.

    The parameters are those of `assert_no_path_from_outside`.
    """
    directory = directory_of(lab)
    target = location_of(directory, destination)
    probing = [location_of(directory, host) for host in outside] if outside is not None else _outsiders(directory)
    for source in probing:
        for probe in _probe_targets(directory, target, ports):
            walk = run_probe(directory, source, probe, timeout_s=_TIMEOUT_S)
            if has_come_to(walk, target.namespace):
                yield source, target, walk


def _outsiders(directory: Directory) -> list[Location]:
    return [location for location in directory.locations if not location.is_container and not location.has_engine]


def _probe_targets(directory: Directory, target: Location, ports: Iterable[str] | None) -> Iterator[Target]:
    """Yield the targets to probe: first the container's own addresses, then the ports published for it.

    `ports` are the ports to probe at the container's own addresses; `None` means ICMP and the ports on which it
    listens.
    """
    services = list(ports) if ports is not None else [*_services(target), "icmp"]
    for address in target.addresses:
        yield from (Target.of_service(format_ip(address), service) for service in services)
    hosts = [
        location
        for location in directory.locations
        if location.namespace is target.machine.root and not location.is_container
    ]
    for published in target.published:
        if published.is_loopback_only:
            continue
        for address in hosts[0].addresses if hosts else ():
            if published.host_ip in {"", "0.0.0.0", "::", format_ip(address)}:  # noqa: S104 - compared, not bound
                yield Target(format_ip(address), published.host_port, published.protocol)


def _services(location: Location) -> list[str]:
    return list(
        dict.fromkeys(
            f"{socket.protocol}/{socket.port}" for socket in location.services if not socket.is_loopback_only
        )
    )


def _several(what: object | Iterable[object]) -> list[object]:
    return list(what) if isinstance(what, (list, tuple, set, frozenset)) else [what]


def _name(what: object) -> str:
    return str(getattr(what, "name", what))
