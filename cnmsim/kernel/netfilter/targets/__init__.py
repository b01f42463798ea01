"""The targets of iptables by name; each module registers its own in `KINDS`."""

from __future__ import annotations

from cnmsim.kernel.netfilter.targets import log, mangle, marks, nat, raw, verdicts
from cnmsim.kernel.netfilter.targets.kind import Action, TargetKind, Verdict

__all__ = ["TARGETS", "Action", "TargetKind", "Verdict"]

#: Every target by name.
TARGETS: dict[str, TargetKind] = {
    kind.name: kind for module in (verdicts, nat, marks, raw, mangle, log) for kind in module.KINDS
}
