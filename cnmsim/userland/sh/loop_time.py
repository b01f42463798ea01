"""The virtual time that loops in a shell take. Without it, an endless loop would stop virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

# A loop that hardly waits would keep virtual time from advancing. The first _FREE_ROUNDS quick iterations in a row
# are free. After that each iteration takes at least the time below: one that starts programs, one that runs only
# builtins.
_FREE_ROUNDS = 1000
_PROGRAM_ROUND_NS = 1_000_000
_BUILTIN_ROUND_NS = 20_000


@define(eq=False)
class LoopTime:
    """Accounts for the virtual time of the loops in one shell, whose process is `process`."""

    process: Process
    #: Whether the current iteration has started a program or a subshell.
    has_started_program: bool = False
    _quick_rounds: int = 0
    _round_began_ns: int = 0

    async def charge(self) -> None:
        """Wait, at the end of an iteration, until the iteration has taken its minimum of virtual time.

        The first quick iterations in a row are not delayed.
        """
        clock = self.process.clock
        least_ns = _PROGRAM_ROUND_NS if self.has_started_program else _BUILTIN_ROUND_NS
        missing_ns = self._round_began_ns + least_ns - clock.now_ns
        self._quick_rounds = self._quick_rounds + 1 if missing_ns > 0 else 0
        if self._quick_rounds > _FREE_ROUNDS:
            await self.process.compute(missing_ns)
        self._round_began_ns, self.has_started_program = clock.now_ns, False
