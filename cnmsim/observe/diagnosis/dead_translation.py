"""Diagnose packets that a NAT rule sends to an address that no machine of the lab has."""

from __future__ import annotations

from cnmsim.observe.diagnosis.causes.filters import TranslatedToNobody
from cnmsim.observe.diagnosis.diagnosis import Diagnosis, diagnosis
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext
from cnmsim.observe.diagnosis.success import REWRITES_DESTINATION
from cnmsim.observe.fixes.changes import Manual, RestartDaemon
from cnmsim.observe.fixes.fix_candidates import deciding_rule
from cnmsim.observe.fixes.tasks import Task
from cnmsim.observe.trace.hops import Hop


def dead_translation(context: DiagnosisContext, drop: Hop) -> Diagnosis | None:
    """Return a diagnosis if a NAT rule sent the dropped packet to an address that nothing in the lab has.

    Such a rule is left over from a container that is gone or has another address now. Return `None` for any other
    packet.
    """
    address = drop.destination
    if address is None or context.is_reply(drop) or context.directory.owner(address) is not None:
        return None
    rewriting = [hop for hop in context.translations() if REWRITES_DESTINATION.search(hop.decision)]
    if not rewriting or rewriting[-1].destination != address:
        return None
    hop = rewriting[-1]
    cause = TranslatedToNobody(hop.place, hop.decision, drop.destination_text)
    removal = tuple(deciding_rule(hop, context.directory))
    return diagnosis(cause, *(removal or (RestartDaemon(hop.place),)), Manual(Task.CHANGE_RULE, hop.place))
