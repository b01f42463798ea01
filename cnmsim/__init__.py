"""Docker networking without Docker: engines, networks, sandboxes and every packet between them, simulated.

>>> from cnmsim import Lab
>>> lab = Lab()
>>> node = lab.add_host("node1", "10.0.0.15/24", docker=True)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cnmsim.errors import (
    CnmsimError,
    Conflict,
    EngineError,
    FileError,
    Forbidden,
    InvalidParameter,
    NotFound,
    NotSimulated,
    SystemFault,
    Unavailable,
)

if TYPE_CHECKING:
    from cnmsim.lab import ExecResult, Host, Lab
    from cnmsim.observe.flows.flow import Flow

__version__ = "0.1.0"

__all__ = [
    "CnmsimError",
    "Conflict",
    "EngineError",
    "ExecResult",
    "FileError",
    "Flow",
    "Forbidden",
    "Host",
    "InvalidParameter",
    "Lab",
    "NotFound",
    "NotSimulated",
    "SystemFault",
    "Unavailable",
    "__version__",
]

_LAZY = {"ExecResult", "Host", "Lab"}


def __getattr__(name: str) -> Any:
    """Import `Lab` and the other classes on first use, so that importing only errors and versions is fast."""
    if name in _LAZY:
        return getattr(import_module("cnmsim.lab"), name)
    if name == "Flow":
        return import_module("cnmsim.observe.flows.flow").Flow
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
