"""Assertions about a lab for tests and CI; where one fails, the message is the walk that shows why.

    assert_reachable(lab, "web", "db:5432")
    assert_isolated(lab, "web", "vault")
    assert_resolves(lab, "web", "db", to="172.18.0.3")
    assert_no_path_from_outside(lab, "db")

Each is answered by packets really sent. They change what packets change (counters, connections, neighbours); ask `lab.fork()`
where that matters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from cnmsim.kernel.address import format_ip
from cnmsim.observe.location import Directory, Location
from cnmsim.observe.trace.target import Target
from cnmsim.observe.trace.tracer import directory_of, location_of, run_probe, trace
from cnmsim.testing.prove import assert_isolated as assert_isolated_pairs
from cnmsim.testing.prove import find_addresses, has_come_to

if TYPE_CHECKING:
    from cnmsim.lab import Lab
    from cnmsim.observe import Trace

_TIMEOUT_S = 2.0


def assert_reachable(
    lab: Lab, source: object, destination: str, *, protocol: str | None = None, timeout_s: float = _TIMEOUT_S
) -> Trace:
    """Assert that `source` reaches `destination` (`"db:5432"`, `"dns:53/udp"`, `"10.0.0.15:8080"`), and give the walk.

    Without a port it is pinged; `timeout_s` is virtual time. Raises `AssertionError` with the walk, `NotFound` or `Conflict`
    for an unknown or ambiguous source, `InvalidParameter` for a wrong destination.
    """
    walk = trace(lab, source, destination, protocol=protocol, timeout_s=timeout_s)
    assert walk.is_reachable, f"{_name(source)} does not reach {destination}\n\n{walk}"
    return walk


def assert_isolated(
    lab: Lab,
    sources: object | Iterable[object],
    destinations: object | Iterable[object],
    services: Iterable[str] | None = None,
) -> None:
    """Assert that nothing that `sources` send to any address of `destinations` gets there, answered or not.

    Both are a name, host or container, or several. `services` are `icmp`, `tcp/PORT` or `udp/PORT`; unless given, an echo request
    and each port that a destination listens on. Raises `AssertionError` with the walk of what got through.
    """
    for destination in _several(destinations):
        location = location_of(directory_of(lab), destination)
        asked = services if services is not None else ["icmp", *_services(location)]
        assert_isolated_pairs(lab, _several(sources), [destination], asked)


def assert_resolves(
    lab: Lab, source: object, name: str, *, to: str | Iterable[str] | None = None, family: int = 4
) -> list[str]:
    """Assert that programs of `source` find addresses for `name`, and give them; with `to`, exactly these.

    The question goes the way that getaddrinfo goes: /etc/hosts, then the servers of resolv.conf. Raises `AssertionError` with the
    questions that were asked and the answers, and where there was none with the walk of the questions.
    """
    directory = directory_of(lab)
    location = location_of(directory, source)
    addresses, asked = find_addresses(lab, location, name, family=family)
    found = [format_ip(address) for address in addresses]
    questions = "\n".join(asked)
    if not found:
        walk = run_probe(directory, location, Target(name, 0, "icmp"), family=family)
        raise AssertionError(f"{location.name} finds no address for {name}\n{questions}\n\n{walk}")
    wanted = None if to is None else sorted([to] if isinstance(to, str) else to)
    assert wanted is None or sorted(found) == wanted, (
        f"{location.name} resolves {name} to {', '.join(sorted(found))}, not to {', '.join(wanted or ())}\n{questions}"
    )
    return found


def assert_no_path_from_outside(
    lab: Lab, destination: object, *, outside: Iterable[object] | None = None, ports: Iterable[str] | None = None
) -> None:
    """Assert that no machine without an engine gets a packet to `destination`, by its addresses or by a published port.

    `outside` are the machines to ask from, unless given all hosts that run no engine. `ports` such as `"80/tcp"` are asked at the
    container's addresses, unless given all that it listens on; besides, every port of its host that it publishes. Raises
    `AssertionError` with the walk of what came in.
    """
    for source, target, walk in paths_from_outside(lab, destination, outside=outside, ports=ports):
        raise AssertionError(f"{source.name} gets to {target.name} from outside\n\n{walk}")


def paths_from_outside(
    lab: Lab, destination: object, *, outside: Iterable[object] | None = None, ports: Iterable[str] | None = None
) -> Iterator[tuple[Location, Location, Trace]]:
    """Find the ways by which machines outside get packets to `destination`; arguments as `assert_no_path_from_outside`."""
    directory = directory_of(lab)
    target = location_of(directory, destination)
    asking = [location_of(directory, each) for each in outside] if outside is not None else _outsiders(directory)
    for source in asking:
        for asked in _doors(directory, target, ports):
            walk = run_probe(directory, source, asked, timeout_s=_TIMEOUT_S)
            if has_come_to(walk, target.namespace):
                yield source, target, walk


def _outsiders(directory: Directory) -> list[Location]:
    return [each for each in directory.locations if not each.is_container and not each.has_engine]


def _doors(directory: Directory, target: Location, ports: Iterable[str] | None) -> Iterator[Target]:
    """Give what to knock at: the container's own addresses, then the ports published for it."""
    services = list(ports) if ports is not None else [*_services(target), "icmp"]
    for address in target.addresses:
        yield from (Target.of_service(format_ip(address), service) for service in services)
    hosts = [each for each in directory.locations if each.namespace is target.machine.root and not each.is_container]
    for published in target.published:
        if published.is_loopback_only:
            continue
        for address in hosts[0].addresses if hosts else ():
            if published.host_ip in {"", "0.0.0.0", "::", format_ip(address)}:  # noqa: S104 - compared, not bound
                yield Target(format_ip(address), published.host_port, published.protocol)


def _services(location: Location) -> list[str]:
    return list(
        dict.fromkeys(f"{each.protocol}/{each.port}" for each in location.services if not each.is_loopback_only)
    )


def _several(what: object | Iterable[object]) -> list[object]:
    return list(what) if isinstance(what, (list, tuple, set, frozenset)) else [what]


def _name(what: object) -> str:
    return str(getattr(what, "name", what))
