"""The assumptions of a verdict about programs that are not simulated: on which ports such a program listens."""

from __future__ import annotations

from cnmsim.engine.standins.knownport import PortSource, Provenance
from cnmsim.kernel.events import DropReason
from cnmsim.observe.diagnosis.causes.base import Assumption
from cnmsim.observe.diagnosis.causes.programs import (
    InternetAssumed,
    ListenerAssumed,
    MachineAssumed,
    NoOtherListenerAssumed,
    PathOpen,
    StateListener,
)
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext
from cnmsim.observe.diagnosis.finding import Finding
from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.observe.location import Location
from cnmsim.observe.trace.hops import Hop
from cnmsim.underlay.nameserver import is_public_name


def path_open(context: DiagnosisContext, hop: Hop, server: Location, endpoint: str) -> Finding | None:
    """Return a finding with the verdict "path open", for a probe that reached a program that is not simulated.

    The program runs at `server`, and the probe was sent to `endpoint` (address and port). In the simulation it was
    refused at `hop`, but in reality the program may listen there. Return `None` if the port is known to be closed.
    """
    protocol, port = context.target.protocol, hop.destination_port
    if not server.is_open_to(protocol, port):
        return None
    stand_ins = server.stand_ins
    program = " or ".join(dict.fromkeys(item.program for item in stand_ins if not item.is_complete))
    known = dict.fromkeys(str(item) for stand_in in stand_ins for item in stand_in.ports)
    text = str(port) if protocol == "tcp" else f"{port}/{protocol}"
    remark = StateListener(server.service or server.name, text)
    cause = PathOpen(server.name, endpoint, program, tuple(known))
    return Finding(Verdict.PATH_OPEN, cause, (), (remark,), hop)


def assumptions_of(context: DiagnosisContext, finding: Finding) -> tuple[Assumption, ...]:
    """Return the assumptions on which a finding is based; empty if it is based on the simulation alone."""
    hop = finding.hop
    server = context.location_at(hop.place) if hop is not None else None
    if hop is None or server is None:
        return ()
    if server.stands_for_internet and finding.verdict.is_reachable and is_assumed_public(context, server):
        return (InternetAssumed(server.name, context.target.host),)
    if server.stands_for_machine and finding.verdict.is_reachable:
        return (MachineAssumed(context.address_text),)
    if context.target.protocol == "icmp":
        return ()
    protocol, port = context.target.protocol, hop.destination_port
    if finding.verdict.is_reachable or finding.verdict is Verdict.REFUSED:
        for listener in server.listening_on(protocol, port):
            if listener.known is not None and listener.provenance is Provenance.ASSUMED:
                known = [(own, item) for item in server.stand_ins if (own := item.port(protocol, port)) is not None]
                # Of containers that share a network stack, the one that is known best for the port is named.
                best, owner = min(known, key=lambda pair: list(PortSource).index(pair[0].source))
                return (ListenerAssumed(owner.container or server.name, owner.program, best),)
    if finding.verdict is Verdict.REFUSED and hop.reason is DropReason.PORT_CLOSED:
        return tuple(
            NoOtherListenerAssumed(item.container or server.name, item.program, item.ports)
            for item in server.stand_ins
            if item.ports and not all(port.source.provenance is Provenance.STATED for port in item.ports)
        )
    return ()


def is_assumed_public(context: DiagnosisContext, server: Location) -> bool:
    """Return True if `server` answered in place of the public machine that the probe's destination names.

    In a lab, a host can represent the internet. It answered in place of another machine if the destination is an
    address that `server` does not have, or a public name that is not one of the server's own names.
    """
    address = context.outcome.address
    if address is not None and address not in server.addresses:
        return True
    return is_public_name(context.target.host) and context.target.host.lower() not in server.own_names
