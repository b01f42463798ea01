"""Start flows, let them run on virtual time, and collect their results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from attrs import evolve

from cnmsim.errors import Conflict, InvalidParameter, NotFound
from cnmsim.kernel.address import Address, family_of, is_loopback
from cnmsim.kernel.clock import NS_PER_S, rare_garbage_collection
from cnmsim.observe.flows.flow import Flow
from cnmsim.observe.flows.links import LinkWatch
from cnmsim.observe.flows.meter import FlowRecord, Meter
from cnmsim.observe.flows.result import FlowReport, FlowResult
from cnmsim.observe.flows.senders import Sender, receiver
from cnmsim.observe.trace.target import PROTOCOLS, Target
from cnmsim.observe.trace.tracer import LabView, directory_of, location_of, parse_destination

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process
    from cnmsim.observe.directory import Directory
    from cnmsim.observe.location import Location
    from cnmsim.underlay.segment import Segment

#: The number of samples taken of each link if the duration of the flows is known; else the interval of samples in ns.
_SAMPLES = 100
_SAMPLE_NS = NS_PER_S // 100
_MIN_SAMPLE_NS = 100_000
#: If nothing arrives or is dropped for this time in seconds, the missing messages are given up. It is longer than
#: neighbour resolution takes to fail.
_GRACE_S = 5.0
#: The interval in seconds at which `finish` checks whether all messages have arrived or were dropped.
_CHECK_S = 0.01


class LabWithSegments(LabView, Protocol):
    """The interface of a lab in which flows (`cnmsim.Flow`, sequences of measured packets) can run."""

    @property
    def segments(self) -> Mapping[str, Segment]:
        """The segments by name."""


class RunningFlows:
    """Flows that were started. Let time pass with `lab.run`, possibly changing the lab, then call `finish`."""

    def __init__(self, lab: LabWithSegments, flows: Sequence[Flow]) -> None:
        directory = directory_of(lab)
        self._lab = lab
        self._clock = lab.clock
        # All checks that can fail come before anything is started.
        plans = [_plan(directory, flow) for flow in flows]
        self._sources = [source for source, _, _ in plans]
        self._meter = Meter.of(lab.clock)
        self._records = [self._meter.add(flow) for flow in _with_unique_names(flows, self._sources)]
        self._is_encrypted = any(
            location.namespace.xfrm is not None and location.namespace.xfrm.states for location in directory.locations
        )
        self._receivers: list[Process] = []
        self._report: FlowReport | None = None
        expected_s = max(flow.expected_s for flow in flows)
        step_ns = round(expected_s * NS_PER_S / _SAMPLES) if expected_s < float("inf") else _SAMPLE_NS
        links = {id(each): each for each in (*lab.segments.values(), *getattr(lab, "links", ()))}
        segments = [each for each in links.values() if hasattr(each, "attachments")]
        self._links = LinkWatch(lab.clock, segments, directory, max(step_ns, _MIN_SAMPLE_NS))
        self._begun_ns = lab.clock.now_ns
        finite = [flow.expected_s for flow in flows if flow.expected_s < float("inf")]
        self._expected_ns = self._begun_ns + round(max(finite, default=0.0) * NS_PER_S)
        self._senders = [
            self._start(directory, record, *plan) for record, plan in zip(self._records, plans, strict=True)
        ]

    def __repr__(self) -> str:
        return f"<RunningFlows {len(self._records)}, {'running' if self.is_running else 'finished'}>"

    def _start(
        self, directory: Directory, record: FlowRecord, source: Location, target: Target, address: Address | None
    ) -> Process:
        def prepare(destination: Address) -> None:
            if record.flow.receive:
                self._start_receivers(directory, source, target, destination)

        random = self._clock.stream(f"flow/{record.number}/{source.label}")
        sender = Sender(record, target, address, prepare, random, self._is_encrypted)
        return source.spawn(sender.run, ["flow", str(target)])

    def _start_receivers(self, directory: Directory, source: Location, target: Target, address: Address) -> None:
        for location, port in _destinations(directory, source, target, address):
            if not location.listening_on(target.protocol, port):
                # A dual-stack socket would conflict with a program that binds the other family.
                program = receiver(target.protocol, port, family_of(address), self._meter)
                argv = ["flow-receiver", f"{port}/{target.protocol}"]
                # The receiver binds its port at once, before the first message is sent.
                self._receivers.append(self._clock.run_isolated(partial(location.spawn, program, argv)))

    @property
    def is_running(self) -> bool:
        """Whether at least one flow is still sending."""
        return self._report is None and not all(record.is_done for record in self._records)

    def finish(self, limit_s: float | None = None) -> FlowReport:
        """Advance virtual time until all flows have ended and each of their messages has arrived or was lost.

        Flows that still run after `limit_s` seconds are stopped; with `None` there is no limit. Return the results; a
        second call returns the same.
        """
        if self._report is not None:
            return self._report
        clock = self._clock
        with rare_garbage_collection():
            until_s = None if limit_s is None else clock.now + limit_s
            # No flow can end before this time, so the clock runs to it without checking the flows in between.
            sure_s = min(self._expected_ns / NS_PER_S, clock.now + 1e9 if until_s is None else until_s)
            if sure_s > clock.now and self.is_running:
                clock.run(sure_s)
            self._run_until(lambda: all(record.is_done for record in self._records), until_s)
            for process, record in zip(self._senders, self._records, strict=True):
                if process.is_running:
                    record.error = record.error or "stopped before its end"
                    record.ended_ns = clock.now_ns
                    process.kill()
            self._await_arrivals()
        self._close()
        names = {location.namespace.name: location.name for location in reversed(directory_of(self._lab).locations)}
        self._report = FlowReport(
            tuple(
                FlowResult.of(record, source.name, names, self._begun_ns)
                for record, source in zip(self._records, self._sources, strict=True)
            ),
            self._links.stop(),
        )
        return self._report

    def _await_arrivals(self) -> None:
        """Run the lab until every datagram has arrived or was dropped.

        Return early if for `_GRACE_S` seconds no datagram arrived or was dropped.
        """
        accounted, last_s = -1, self._clock.now
        while not all(record.is_accounted for record in self._records):
            progress = sum(len(record.arrived) + len(record.reasons) for record in self._records)
            if progress != accounted:
                accounted, last_s = progress, self._clock.now
            elif self._clock.now - last_s >= _GRACE_S:
                return
            self._clock.run_for(_CHECK_S)

    def _run_until(self, holds: Any, until_s: float | None) -> None:
        clock = self._clock
        while not holds():
            if until_s is not None and clock.now_ns >= round(until_s * NS_PER_S):
                return
            step_s = clock.now + _CHECK_S
            next_ns = clock.next_event_ns()
            if next_ns is not None:
                step_s = max(step_s, next_ns / NS_PER_S)
            clock.run(step_s if until_s is None else min(step_s, until_s))

    def _close(self) -> None:
        self._meter.remove(self._records)
        for process in self._receivers:
            if process.is_running:
                process.kill()


def start_flows(lab: LabWithSegments, flows: Iterable[Flow]) -> RunningFlows:
    """Start flows now, on virtual time, and return an object to wait for their results.

    Raises `InvalidParameter` if `flows` is empty or an item is no `Flow` or has an invalid source or destination, and
    `NotFound` or `Conflict` for an unknown or ambiguous source. In these cases no flow is started.
    """
    wanted = list(flows)
    for flow in wanted:
        if not isinstance(flow, Flow):
            raise InvalidParameter(f"a flow is a cnmsim.Flow, such as Flow('c1', 'web:80'), not {flow!r}")
    if not wanted:
        raise InvalidParameter("there are no flows to start: pass at least one Flow")
    return RunningFlows(lab, wanted)


def _plan(directory: Directory, flow: Flow) -> tuple[Location, Target, Address | None]:
    source = location_of(directory, flow.source)
    suffix = flow.destination.rpartition("/")[2].lower()
    if suffix in PROTOCOLS and suffix != flow.protocol:
        raise InvalidParameter(f"{flow.destination} names {suffix}, but the flow's protocol is {flow.protocol}")
    return source, *parse_destination(directory, source, flow.destination, flow.protocol, flow.family)


def _with_unique_names(flows: Sequence[Flow], sources: Sequence[Location]) -> list[Flow]:
    names = [flow.name or f"{source.name} → {flow.destination}" for flow, source in zip(flows, sources, strict=True)]
    frequency, used = Counter(names), Counter[str]()
    named = []
    for flow, name in zip(flows, names, strict=True):
        used[name] += 1
        named.append(evolve(flow, name=f"{name} #{used[name]}" if frequency[name] > 1 else name))
    return named


def _destinations(
    directory: Directory, source: Location, target: Target, address: Address
) -> list[tuple[Location, int]]:
    """Return the locations that receive packets sent to a target, each with the port at which it receives them.

    `address` is the target's address, `source` the sender. The receivers are the tasks of a swarm service, the
    container behind a published port, or the location that has the address; for a loopback address, that is the
    sender.
    """
    for swarm in directory.swarms:
        service = swarm.service_of_address(address) or swarm.service_at(target.port, target.protocol)
        owner = directory.owner(address)
        if service is not None and (owner is None or owner.name in swarm.members):
            return [
                (location, _task_port(service, target, address, swarm))
                for location in directory.locations
                if location.is_container and location.service == service.name
            ]
    owner = source if is_loopback(address) else directory.owner(address)
    published = [
        (location, item.port)
        for location in directory.locations
        for item in location.published
        if owner is not None
        and not owner.is_container
        and location.host == owner.name
        and (item.host_port, item.protocol) == (target.port, target.protocol)
    ]
    if published:
        return published
    if owner is not None:
        return [(owner, target.port)]
    try:
        return [(directory.find(target.host), target.port)]
    except (NotFound, Conflict):
        return []


def _task_port(service: Any, target: Target, address: Address, swarm: Any) -> int:
    """Return the port on which the tasks of `service` receive packets for the target.

    If the target is a port that the service publishes in `swarm`, return the target port of the published port. If
    `address` is the service's virtual IP, return the port of `target`.
    """
    from cnmsim.observe.swarm_view import ports_of

    if swarm.service_of_address(address) is None:
        for port in ports_of(service):
            if (port.published_port, port.protocol) == (target.port, target.protocol):
                return port.target_port
    return target.port
