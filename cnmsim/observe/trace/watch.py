"""Trace packets that are not sent by a probe, e.g. by a command typed into a container."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cnmsim.errors import InvalidParameter
from cnmsim.kernel.events import Step
from cnmsim.observe.diagnosis.diagnose import diagnose
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext
from cnmsim.observe.trace.probe import Ending, Outcome
from cnmsim.observe.trace.target import Target
from cnmsim.observe.trace.trace import Trace

if TYPE_CHECKING:
    from cnmsim.kernel.clock import Clock
    from cnmsim.observe.directory import Directory
    from cnmsim.observe.location import Location
    from cnmsim.observe.trace.hops import Hop

_PROTOCOLS = {"tcp": "tcp", "udp": "udp", "icmp": "icmp", "icmp6": "icmp"}


@contextmanager
def watch(clock: Clock, directory: Directory, source: Location) -> Iterator[Trace]:
    """Record all events inside the `with` block, and then diagnose the first packet that `source` sent in it.

    Yield the trace. Only TCP, UDP and ICMP packets are considered, and DNS messages are not. If `source` sent none,
    the trace has no finding.
    """
    walk = Trace(f"{source.name}, watched", clock.now_ns)
    walk.directory = directory
    try:
        with walk.watching(clock):
            yield walk
    finally:
        walk.close()
    first = next((hop for hop in walk.hops if _is_sent_by(hop, source)), None)
    target = target_of(first) if first is not None else None
    if first is None or target is None:
        return
    walk.title = f"{source.name} → {target.title}, watched"
    walk.question = {
        "source": source.label, "destination": target.host, "port": target.port or None, "protocol": target.protocol,
        "address": target.host,
    }  # fmt: skip
    walk.outcome = Outcome(_ending(walk, source), first.destination, elapsed_ns=clock.now_ns - walk.start_ns)
    walk.finding = diagnose(DiagnosisContext(source, target, walk.outcome, walk.hops, directory, first.time_ns))


def _is_sent_by(hop: Hop, source: Location) -> bool:
    if hop.step is not Step.SENT or hop.place != source.namespace.name:
        return False
    return hop.layer4.protocol in _PROTOCOLS and not hop.layer4.is_dns


def target_of(hop: Hop) -> Target | None:
    """Return the target to which a packet was sent; `None` for a protocol that a probe does not send."""
    if hop.layer4.protocol not in _PROTOCOLS:
        return None
    try:
        return Target(hop.destination_text, hop.destination_port, _PROTOCOLS[hop.layer4.protocol])
    except InvalidParameter:
        return None


def _ending(walk: Trace, source: Location) -> Ending:
    deliveries = [
        hop
        for hop in walk.hops
        if hop.step is Step.DELIVERED and hop.place == source.namespace.name and not hop.layer4.is_dns
    ]
    if any(hop.layer4.is_rst for hop in deliveries):
        return Ending.REFUSED
    if not deliveries:
        return Ending.SILENCE
    return Ending.ERROR if deliveries[-1].layer4.is_unreachable else Ending.ANSWERED
