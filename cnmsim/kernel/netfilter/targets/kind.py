"""Definition of an iptables target: its options, where it is allowed, its listing text and its action."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.kernel.netfilter.extension import Extension, FinalCheck, Option, accept_any
from cnmsim.kernel.netfilter.hooks import Hook
from cnmsim.kernel.skbuff import Packet

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.packet_filter import PacketFilter


class Verdict(Enum):
    """The verdicts that end the traversal of a chain."""

    ACCEPT = "ACCEPT"
    DROP = "DROP"
    RETURN = "RETURN"
    REJECT = "REJECT"

    __hash__ = object.__hash__


#: The action of a target on a packet at a hook; None continues with the next rule.
Action = Callable[[Packet, Hook], Verdict | None]


@frozen
class TargetKind:
    """One target extension, such as `DNAT`.

    `compile` returns the action for one use of the target, `describe` its text in `iptables -L`. `tables` and
    `chains` are those in which the kernel allows the target (empty: all). The action is executed for every packet, so
    a flow whose packets reach such a target is never cached.
    """

    name: str
    options: tuple[Option, ...]
    compile: Callable[[Extension, int, PacketFilter], Action]
    describe: Callable[[Extension, bool], str]
    final_check: FinalCheck = accept_any
    tables: tuple[str, ...] = ()
    chains: tuple[str, ...] = ()
    needs_conntrack: bool = False
    families: tuple[int, ...] = (4, 6)


def no_listing_text(target: Extension, is_numeric: bool) -> str:
    """Return "": the `describe` function of targets without a text of their own in `iptables -L`."""
    return ""


def compile_to_nothing(target: Extension, family: int, netfilter: PacketFilter) -> Action:
    """Return an action that does nothing, for targets whose effect is not visible in the simulation."""
    return lambda packet, hook: None
