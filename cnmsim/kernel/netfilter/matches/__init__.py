"""The matches of iptables by name; each module registers its own in `KINDS`."""

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

#: Every match by its name and aliases.
MATCHES: dict[str, MatchKind] = {
    name: kind
    for module in (ports, icmp, conntrack, marks, address, comment, limit, ip_header, ipvs, ipsec)
    for kind in module.KINDS
    for name in (kind.name, *kind.aliases)
}


def match_kind(name: str, family: int) -> MatchKind:
    """Return the match for `-m name`. Raises `ParameterProblemError` if the family has none."""
    kind = MATCHES.get(name)
    if kind is None or family not in kind.families:
        raise ParameterProblemError(f"Couldn't load match `{name}':No such file or directory\n")
    return kind
