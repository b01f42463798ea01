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
    from cnmsim.cnm import Controller, Driver, Endpoint, Network, Sandbox
    from cnmsim.engine.client.containers import Container
    from cnmsim.engine.engine import Engine
    from cnmsim.lab import ExecResult, Host, Lab
    from cnmsim.observe.capture.capture import Capture
    from cnmsim.observe.diagnosis.finding import Finding
    from cnmsim.observe.diagnosis.verdict import Verdict
    from cnmsim.observe.doctor import Checkup
    from cnmsim.observe.explain import Explanation
    from cnmsim.observe.fixes.fix import Fix
    from cnmsim.observe.flows.flow import Flow
    from cnmsim.observe.reachability.matrix import Reachability
    from cnmsim.observe.trace.hops import Hop
    from cnmsim.observe.trace.trace import Trace

__version__ = "0.1.0"

__all__ = [
    "Capture",
    "Checkup",
    "CnmsimError",
    "Conflict",
    "Container",
    "Controller",
    "Driver",
    "Endpoint",
    "Engine",
    "EngineError",
    "ExecResult",
    "Explanation",
    "FileError",
    "Finding",
    "Fix",
    "Flow",
    "Forbidden",
    "Hop",
    "Host",
    "InvalidParameter",
    "Lab",
    "Network",
    "NotFound",
    "NotSimulated",
    "Reachability",
    "Sandbox",
    "SystemFault",
    "Trace",
    "Unavailable",
    "Verdict",
    "__version__",
]

#: The classes that are imported on first use, by module.
_LAZY = {
    "Container": "cnmsim.engine.client.containers",
    "Engine": "cnmsim.engine.engine",
    "Flow": "cnmsim.observe.flows.flow",
    "Capture": "cnmsim.observe.capture.capture",
    "Checkup": "cnmsim.observe.doctor",
    "Explanation": "cnmsim.observe.explain",
    "Finding": "cnmsim.observe.diagnosis.finding",
    "Fix": "cnmsim.observe.fixes.fix",
    "Hop": "cnmsim.observe.trace.hops",
    "Reachability": "cnmsim.observe.reachability.matrix",
    "Trace": "cnmsim.observe.trace.trace",
    "Verdict": "cnmsim.observe.diagnosis.verdict",
    **dict.fromkeys(("ExecResult", "Host", "Lab"), "cnmsim.lab"),
    **dict.fromkeys(("Controller", "Driver", "Endpoint", "Network", "Sandbox"), "cnmsim.cnm"),
}


def __getattr__(name: str) -> Any:
    """Import a class such as `Lab` on first use, so that importing only errors and the version is fast."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    hint = ""
    if not name.startswith("_"):
        from cnmsim.other_names import for_module

        hint = for_module(name, _LAZY, import_module("cnmsim.lab").Lab)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")


def __dir__() -> list[str]:
    return sorted(__all__)
