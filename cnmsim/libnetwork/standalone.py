"""The machine and the programs of a controller that is created without a host: `Controller()`.

The code that creates them is in higher layers than libnetwork: the package `lab` registers it here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.process import Program

_machines: list[Callable[[], Machine]] = []
_programs: list[Callable[[], Mapping[str, Program]]] = []


def set_defaults(new: Callable[[], Machine], programs: Callable[[], Mapping[str, Program]]) -> None:
    """Register two functions: `new` returns a new machine, `programs` the programs that sandboxes can run."""
    _machines[:], _programs[:] = [new], [programs]


def new_machine() -> Machine:
    """Return a new machine. If the package `lab` was not imported, the machine has no interface."""
    return _machines[0]() if _machines else Machine("node1", Clock(0))


def default_programs() -> Mapping[str, Program]:
    """Return the programs that sandboxes can run, by name. If the package `lab` was not imported, there are none."""
    return _programs[0]() if _programs else {}
