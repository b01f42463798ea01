"""Register cnmsim's types with Hypothesis, for `st.from_type(LabSpec)` and for tests with annotated arguments.

Hypothesis calls `register_if_used` when it is imported, because cnmsim's package metadata have an entry point named
`hypothesis`. In programs that do not use cnmsim nothing else is imported. `cnmsim.testing`, when imported after
Hypothesis, and the pytest plugin call it too.
"""

from __future__ import annotations

import sys

_done: set[str] = set()


def register_if_used() -> None:
    """Register the types if the program has imported both `cnmsim.lab` and Hypothesis.

    If a strategy module of `cnmsim.testing` is being imported, nothing is registered, because the module is
    incomplete. The function is called again afterwards.
    """
    if (
        "cnmsim.lab.lab" in sys.modules
        and "hypothesis.strategies" in sys.modules
        and not _done
        and not _is_beginning()
    ):
        register()


def _is_beginning() -> bool:
    """Return True if a module of strategies is being imported: its import has started but not finished."""
    return any(
        name in sys.modules and not hasattr(sys.modules[name], last)
        for name, last in (("cnmsim.testing.strategies", "packets"), ("cnmsim.testing.changes", "operations"))
    )


def register() -> None:
    """Register strategies for labs, specs, operations and faults.

    Nothing is drawn before a test uses one of the types.
    """
    _done.add("registered")
    from hypothesis import strategies as st
    from hypothesis.strategies import register_type_strategy

    from cnmsim.lab import Lab
    from cnmsim.testing.changes import Fault, Operation, faults, operations
    from cnmsim.testing.strategies import (
        ContainerSpec,
        LabSpec,
        NetworkSpec,
        container_specs,
        lab_specs,
        labs,
        networks,
    )

    register_type_strategy(NetworkSpec, st.deferred(networks))
    register_type_strategy(ContainerSpec, st.deferred(container_specs))
    register_type_strategy(LabSpec, st.deferred(lab_specs))
    register_type_strategy(Lab, st.deferred(labs))
    register_type_strategy(Operation, st.deferred(operations))
    register_type_strategy(Fault, st.deferred(faults))
