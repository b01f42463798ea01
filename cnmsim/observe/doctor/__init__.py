"""The doctor: finds latent faults of a lab before they cause failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from attrs import evolve

from cnmsim.observe.diagnosis.file_names import in_file_names, names_of
from cnmsim.observe.doctor.fault import Checkup, Fault, Severity
from cnmsim.observe.trace.tracer import LabView, directory_of

__all__ = ["Checkup", "Fault", "Severity", "doctor"]


def doctor(lab: LabView) -> Checkup:
    """Return the latent faults of a lab, the most severe first.

    The doctor sends real packets, which takes some virtual time, only in two cases: between swarm nodes, to find
    closed ports; and along paths with a smaller MTU, to see whether full packets arrive. The fix of a fault is
    searched for when it is read (`Fault.fix`).
    """
    from cnmsim.observe.doctor.fault_fix import FaultFixSearch

    names = names_of(directory_of(lab))
    faults = _examine(lab)
    before = Counter((fault.kind, fault.place) for fault in faults)
    return Checkup(
        tuple(evolve(fault, search=FaultFixSearch(lab, fault, before, _examine, names)) for fault in faults)
    )


def _examine(lab: LabView) -> tuple[Fault, ...]:
    """Return the faults of a lab, the most severe first, without a search for their fixes."""
    from cnmsim.observe.doctor.lab_snapshot import LabSnapshot
    from cnmsim.observe.doctor.looks import LOOKS

    snapshot = LabSnapshot.of(lab)
    names = names_of(snapshot.directory)
    faults = dict.fromkeys(_renamed(fault, names) for look in LOOKS for fault in look(snapshot))
    return tuple(sorted(faults, key=lambda fault: -fault.severity))


def _renamed(fault: Fault, names: Mapping[str, str]) -> Fault:
    place, text, advice = (in_file_names(part, names) for part in (fault.place, fault.text, fault.advice))
    return evolve(fault, place=place, text=text, advice=advice)
