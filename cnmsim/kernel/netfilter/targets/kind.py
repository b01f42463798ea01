"""What an iptables target is made of: its options, where it may stand, its listing text and its action."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.kernel.netfilter.extension import Extension, FinalCheck, Option, accept_any
from cnmsim.kernel.netfilter.hooks import Dependency, Hook
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter


class Verdict(Enum):
    """How a rule ends the walk of a packet through one chain."""

    ACCEPT = "ACCEPT"
    DROP = "DROP"
    RETURN = "RETURN"
    REJECT = "REJECT"

    __hash__ = object.__hash__


#: What a target does to a packet at a hook; `None` lets the walk go on with the next rule.
Action = Callable[[Packet, Hook], Verdict | None]


@frozen
class TargetKind:
    """One target extension.

    `tables` and `chains` tell where the kernel takes it (empty: everywhere); `depends` declares what the action's verdict
    and effect depend on.
    """

    name: str
    options: tuple[Option, ...]
    compile: Callable[[Extension, int, PacketFilter], Action]
    describe: Callable[[Extension, bool], str]
    final_check: FinalCheck = accept_any
    tables: tuple[str, ...] = ()
    chains: tuple[str, ...] = ()
    needs_conntrack: bool = False
    depends: Dependency = Dependency.ANYTHING
    families: tuple[int, ...] = (4, 6)


def no_listing_text(target: Extension, is_numeric: bool) -> str:
    """Give no listing text."""
    return ""
