"""The machine and the programs of a controller that is created without a host: `Controller()`.

A lab and the programs are in higher layers than libnetwork: `lab` registers them here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.process import Program

_machines: list[Callable[[], Machine]] = []
_programs: list[Callable[[], Mapping[str, Program]]] = []


def set_defaults(new: Callable[[], Machine], programs: Callable[[], Mapping[str, Program]]) -> None:
    """Register the functions that return a new host's machine and the programs of sandboxes."""
    _machines[:], _programs[:] = [new], [programs]


def new_machine() -> Machine:
    """Return the machine of a new host; a machine without any interface if no lab is imported."""
    return _machines[0]() if _machines else Machine("node1", Clock(0))


def default_programs() -> Mapping[str, Program]:
    """Return the programs that sandboxes can run; none if no lab is imported."""
    return _programs[0]() if _programs else {}
