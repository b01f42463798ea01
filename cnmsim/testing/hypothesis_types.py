"""What Hypothesis makes of cnmsim's types: `st.from_type(LabSpec)`, or a test's argument annotated with one.

The entry point `hypothesis` in the package's metadata has Hypothesis call `register_if_used` when it is imported; who does not use
cnmsim pays nothing. So do `cnmsim.testing`, when it is imported after Hypothesis, and the pytest plugin before the tests.
"""

from __future__ import annotations

import sys

_done: set[str] = set()


def register_if_used() -> None:
    """Register the types if a program has imported both cnmsim's labs and Hypothesis.

    Where it is one of the strategies' own modules that imports Hypothesis, they are not to be had yet: whoever imports it asks again.
    """
    if (
        "cnmsim.lab.lab" in sys.modules
        and "hypothesis.strategies" in sys.modules
        and not _done
        and not _is_beginning()
    ):
        register()


def _is_beginning() -> bool:
    """Whether a module of the strategies has begun to be imported, and is not there yet."""
    return any(
        name in sys.modules and not hasattr(sys.modules[name], last)
        for name, last in (("cnmsim.testing.strategies", "packets"), ("cnmsim.testing.changes", "operations"))
    )


def register() -> None:
    """Tell Hypothesis how to make labs, specs, operations and faults; they are imported when a test wants one."""
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
