"""Diagnose why a user's packet was not delivered, as if a probe had sent it.

This is possible only for packets that a probe could have sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.events import DropReason, Step
from cnmsim.observe.diagnosis.diagnose import diagnose
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext
from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.observe.trace.probe import Ending, Outcome
from cnmsim.observe.trace.watch import target_of

_ENDINGS = {
    Verdict.REFUSED: Ending.REFUSED,
    Verdict.UNREACHABLE: Ending.ERROR,
    Verdict.TIMEOUT: Ending.SILENCE,
}

#: Reasons for drops of packets that no program with an ordinary socket could send.
_SENDERS_FAULT = frozenset({DropReason.CHECKSUM, DropReason.MALFORMED})

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.observe.diagnosis.finding import Finding
    from cnmsim.observe.directory import Directory
    from cnmsim.observe.packets.walk import Walk


def find_cause(walk: Walk, directory: Directory, namespace: NetworkNamespace) -> Finding | None:
    """Return the finding on a packet that was not delivered; `None` if no probe could have sent such a packet.

    A probe sends TCP SYN, UDP datagrams and echo requests from a host or container through the kernel.
    """
    if walk.is_frame or walk.is_reachable or not walk.own_hops or walk.reason in _SENDERS_FAULT:
        return None
    source = directory.at(namespace.name)
    sent = walk.own_hops[0]
    layer4 = sent.layer4
    target = target_of(sent)
    if source is None or target is None or sent.step is not Step.SENT:
        return None
    if not (layer4.is_syn or layer4.is_echo_request or (layer4.protocol == "udp" and not layer4.is_dns)):
        return None
    elapsed_ns = namespace.clock.now_ns - walk.start_ns
    outcome = Outcome(_ENDINGS[walk.verdict], sent.destination, elapsed_ns=elapsed_ns)
    # The packet was sent without a socket, so the sender's kernel drops the reply; a program would have received it.
    hops = tuple(
        hop for hop in walk.hops if not (hop.is_drop and hop.place == namespace.name and hop.message != sent.message)
    )
    return diagnose(DiagnosisContext(source, target, outcome, hops, directory, sent.time_ns))
