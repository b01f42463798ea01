"""The doctor: finds latent faults of a lab before they cause failures."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from cnmsim.observe.diagnosis.file_names import in_file_names, names_of
from cnmsim.observe.doctor.fault import Checkup, Fault, Severity
from cnmsim.observe.trace.tracer import LabView

__all__ = ["Checkup", "Fault", "Severity", "doctor"]


def doctor(lab: LabView) -> Checkup:
    """Return the latent faults of a lab, the most severe first.

    The doctor sends real packets, which takes some virtual time, only in two cases: between swarm nodes, to find
    closed ports; and along paths with a smaller MTU, to see whether full packets arrive.
    """
    from cnmsim.observe.doctor.lab_snapshot import LabSnapshot
    from cnmsim.observe.doctor.looks import LOOKS

    snapshot = LabSnapshot.of(lab)
    names = names_of(snapshot.directory)
    faults = dict.fromkeys(_renamed(fault, names) for look in LOOKS for fault in look(snapshot))
    return Checkup(tuple(sorted(faults, key=lambda fault: -fault.severity)))


def _renamed(fault: Fault, names: Mapping[str, str]) -> Fault:
    place, text, fix = (in_file_names(part, names) for part in (fault.place, fault.text, fault.fix))
    return evolve(fault, place=place, text=text, fix=fix)
