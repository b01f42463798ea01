"""Checks for tests, by real packets: reachability, isolation and name resolution.

The assertions raise `AssertionError` with the trace of the packet that violates them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cnmsim.kernel.address import format_ip
from cnmsim.kernel.events import Step
from cnmsim.observe.diagnosis.file_names import in_file_names
from cnmsim.observe.location import Location
from cnmsim.observe.trace.target import Target
from cnmsim.observe.trace.tracer import directory_of, location_of, run_probe

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.process import Process
    from cnmsim.lab import Lab
    from cnmsim.observe.trace.trace import Trace

_RESOLVER = ("127.0.0.11", 53)
_TIMEOUT_S = 2.0
_IP = (b"\x08\x00", b"\x86\xdd")
#: The services that are probed by default: by an ICMP echo request, a TCP connection and a UDP datagram.
_SERVICES = ("icmp", "tcp/80", "udp/53")


def assert_isolated(
    lab: Lab, sources: Iterable[object], destinations: Iterable[object], services: Iterable[str] = _SERVICES
) -> None:
    """Assert that no packet from any of `sources` arrives at any address of `destinations`.

    `sources` and `destinations` are names, hosts or containers. `services` are `icmp`, `tcp/PORT` or `udp/PORT`. This
    is stricter than a check of the verdict: a packet that arrives at a device of the destination violates it, even if
    nothing answers.
    """
    for source, target in _pairs(lab, sources, destinations):
        for address in target.addresses:
            for service in services:
                walk = _probe(lab, source, format_ip(address), service)
                assert not walk.is_reachable and not has_come_to(walk, target.namespace), (
                    in_file_names(f"{source.name} is not isolated from {target.name}", walk.file_names)
                    + f" by {service}:\n{walk}"
                )


def has_come_to(walk: Trace, space: NetworkNamespace) -> bool:
    """Return True if an IP packet of the trace arrived at a device of `space` and was addressed to it.

    The packet's destination MAC must be the address of a device in `space`; flooded frames and ARP do not count.
    """
    macs = {device.mac for device in space.devices.values()}
    return any(
        event.place == space.name
        and event.step is Step.RECEIVED
        and event.is_frame
        and event.data[:6] in macs
        and event.data[12:14] in _IP
        for event in walk.events
    )


def resolve(lab: Lab, source: object, name: str, *, family: int = 4) -> list[str]:
    """Query a container's embedded resolver for `name` by UDP. Return its addresses, [] if there are none.

    `family` is 4 (type A) or 6 (type AAAA).
    """
    from dns.message import from_wire, make_query

    location = location_of(directory_of(lab), source)
    kind = "A" if family == 4 else "AAAA"
    question = make_query(f"{name}.", kind, id=1).to_wire()
    answers: list[bytes] = []

    async def query(process: Process) -> int:
        socket = process.udp(4)
        socket.connect(_RESOLVER)
        try:
            socket.send(question)
            answers.append((await socket.recvfrom(timeout=30))[0])
        except OSError:  # no listener at that address, or no answer (TimeoutError)
            return 1
        return 0

    process = location.spawn(query, ["dig", name])
    lab.clock.run_for(60, stop=lambda: not process.is_running)
    return sorted(
        item.to_text()
        for answer in answers
        for records in from_wire(answer).answer
        if records.rdtype.name == kind
        for item in records
    )


def _pairs(lab: Lab, sources: Iterable[object], destinations: Iterable[object]) -> list[tuple[Location, Location]]:
    directory = directory_of(lab)
    targets = [location_of(directory, destination) for destination in destinations]
    return [(location_of(directory, source), target) for source in sources for target in targets]


def _probe(lab: Lab, source: Location, address: str, service: str) -> Trace:
    return run_probe(directory_of(lab), source, Target.of_service(address, service), timeout_s=_TIMEOUT_S)
