"""The table of ash's builtins by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.userland.sh.builtins.flow import FLOW_BUILTINS
from cnmsim.userland.sh.builtins.jobs import JOB_BUILTINS
from cnmsim.userland.sh.builtins.output import OUTPUT_BUILTINS
from cnmsim.userland.sh.builtins.parameters import PARAMETER_BUILTINS
from cnmsim.userland.sh.builtins.process import PROCESS_BUILTINS
from cnmsim.userland.sh.builtins.variables import VARIABLE_BUILTINS
from cnmsim.userland.sh.read import read

if TYPE_CHECKING:
    from cnmsim.userland.sh.interpreter import Builtin

#: name → builtin.
BUILTINS: dict[str, Builtin] = {
    **OUTPUT_BUILTINS,
    **PROCESS_BUILTINS,
    **VARIABLE_BUILTINS,
    **PARAMETER_BUILTINS,
    **FLOW_BUILTINS,
    **JOB_BUILTINS,
    "read": read,
}
