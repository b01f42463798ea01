"""Assertions and policies about labs, and Hypothesis strategies and state machines that generate labs.

    from cnmsim.testing import assert_isolated, compose_files, labs

Names are imported on first use. `assertions`, `policy`, `prove`, `invariants`, `snapshot` and `plugin` (a Docker
plugin for tests of engines) need only cnmsim. `drivers` (conformance tests for network drivers) and `pytest_plugin`
need pytest; strategies and state machines need Hypothesis. `cnm` has the strategies and the state machine for the
container network model.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnmsim.testing.assertions import (
        assert_isolated,
        assert_no_path_from_outside,
        assert_reachable,
        assert_resolves,
        paths_from_outside,
    )
    from cnmsim.testing.changes import Fault, Operation, faults, operations
    from cnmsim.testing.cnm import CnmMachine, endpoints, sandboxes
    from cnmsim.testing.composefiles import compose_files, services
    from cnmsim.testing.graphs import topologies
    from cnmsim.testing.machine import DockerHostMachine as DockerNetworkMachine
    from cnmsim.testing.policy import Policy, check_policy
    from cnmsim.testing.policy_report import Report
    from cnmsim.testing.strategies import (
        ContainerSpec,
        LabSpec,
        NetworkSpec,
        frames,
        lab_specs,
        labs,
        networks,
        packets,
        published_ports,
        releases,
        subnets,
    )
    from cnmsim.testing.strategies import container_specs as containers

_WHERE = {
    "assert_isolated": "assertions",
    "assert_no_path_from_outside": "assertions",
    "assert_reachable": "assertions",
    "assert_resolves": "assertions",
    "paths_from_outside": "assertions",
    "Fault": "changes",
    "Operation": "changes",
    "faults": "changes",
    "operations": "changes",
    "compose_files": "composefiles",
    "services": "composefiles",
    "topologies": "graphs",
    "CnmMachine": "cnm",
    "endpoints": "cnm",
    "sandboxes": "cnm",
    "DockerNetworkMachine": "machine:DockerHostMachine",
    "Policy": "policy",
    "Report": "policy_report",
    "check_policy": "policy",
    "ContainerSpec": "strategies",
    "LabSpec": "strategies",
    "NetworkSpec": "strategies",
    "containers": "strategies:container_specs",
    "frames": "strategies",
    "lab_specs": "strategies",
    "labs": "strategies",
    "networks": "strategies",
    "packets": "strategies",
    "published_ports": "strategies",
    "releases": "strategies",
    "subnets": "strategies",
}

_NEED_HYPOTHESIS = frozenset({"changes", "cnm", "composefiles", "graphs", "machine", "strategies"})

__all__ = [
    "CnmMachine",
    "ContainerSpec",
    "DockerNetworkMachine",
    "Fault",
    "LabSpec",
    "NetworkSpec",
    "Operation",
    "Policy",
    "Report",
    "assert_isolated",
    "assert_no_path_from_outside",
    "assert_reachable",
    "assert_resolves",
    "check_policy",
    "compose_files",
    "containers",
    "endpoints",
    "faults",
    "frames",
    "lab_specs",
    "labs",
    "networks",
    "operations",
    "packets",
    "paths_from_outside",
    "published_ports",
    "releases",
    "sandboxes",
    "services",
    "subnets",
    "topologies",
]


def __getattr__(name: str) -> Any:
    where = _WHERE.get(name)
    if where is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, own_name = where.partition(":")
    if module in _NEED_HYPOTHESIS:
        from cnmsim.testing.hypothesis_types import register_if_used

        value = getattr(import_module(f"{__name__}.{module}"), own_name or name)
        register_if_used()
        return value
    return getattr(import_module(f"{__name__}.{module}"), own_name or name)
