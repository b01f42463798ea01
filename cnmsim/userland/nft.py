"""nft: not simulated; it says so. The rules are there all the same, and iptables prints them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process


async def main(process: Process) -> int:
    """Say that nft's language is not simulated; gives 1."""
    process.error("nft: not simulated; see iptables-save and ip6tables-save\n")
    return 1
