"""The pytest plugin: the fixture `lab`, and the walk of the last probe in the report of a test that failed.

It is loaded in every test run of whoever has cnmsim installed, so it imports nothing until a test asks for a lab.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cnmsim.lab import Lab
    from cnmsim.observe import Trace

#: Lines of a walk that a report shows at most.
_LINES = 60


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Lab:
    """Make a lab without hosts. The marker `cnmsim(engine="28.5.2", seed=3)` says what `Lab` is told."""
    from cnmsim.lab import Lab

    marker = request.node.get_closest_marker("cnmsim")
    made = Lab(**marker.kwargs) if marker is not None else Lab()
    keep_last_trace(made)
    return made


def keep_last_trace(lab: Lab) -> None:
    """Have `lab.trace` and `lab.explain` put the walk they give aside, for the report of a test that fails."""
    trace, explain = lab.trace, lab.explain

    def traced(*arguments: Any, **options: Any) -> Trace:
        walk = trace(*arguments, **options)
        _LAST[id(lab)] = walk
        return walk

    def explained(*arguments: Any, **options: Any) -> Any:
        answer = explain(*arguments, **options)
        _LAST[id(lab)] = answer.trace
        return answer

    lab.__dict__.update(trace=traced, explain=explained)


def last_trace(lab: object) -> Trace | None:
    """Give the last walk of a lab that the fixture made, or `None`."""
    return _LAST.get(id(lab))


#: The last walk of each lab, by the lab's identity, until its test is over.
_LAST: dict[int, Trace] = {}


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "cnmsim(engine=..., seed=...): what the fixture `lab` is built with")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the walk to the report of a test that failed: of `lab`, and of whatever fixture called `keep_last_trace`."""
    report = yield
    for value in getattr(item, "funcargs", {}).values():
        walk = last_trace(value)
        if walk is not None and report.when == "call" and report.failed:
            report.sections.append((f"cnmsim: {walk.title}", _shortened(str(walk))))
        if call.when == "teardown":
            _LAST.pop(id(value), None)
    return report


def _shortened(text: str) -> str:
    lines = text.splitlines()
    if len(lines) > _LINES:
        lines = [*lines[: _LINES // 2], "…", *lines[-_LINES // 2 :]]
    return "\n".join(lines)
