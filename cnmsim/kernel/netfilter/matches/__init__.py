"""The matches of iptables: one module a subject, one table entry a match."""

from __future__ import annotations

from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.netfilter.matches import (
    address,
    comment,
    conntrack,
    icmp,
    ip_header,
    ipsec,
    ipvs,
    limit,
    marks,
    ports,
)
from cnmsim.kernel.netfilter.matches.kind import MatchKind, Test

__all__ = ["MATCHES", "MatchKind", "Test", "match_kind"]

#: Every match by name and by its other names.
MATCHES: dict[str, MatchKind] = {
    name: kind
    for module in (ports, icmp, conntrack, marks, address, comment, limit, ip_header, ipvs, ipsec)
    for kind in module.KINDS
    for name in (kind.name, *kind.aliases)
}


def match_kind(name: str, family: int) -> MatchKind:
    """Find the match for `-m name`. Raises `ParameterProblemError` if there is none for the family."""
    kind = MATCHES.get(name)
    if kind is None or family not in kind.families:
        raise ParameterProblemError(f"Couldn't load match `{name}':No such file or directory\n")
    return kind
