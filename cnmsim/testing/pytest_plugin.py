"""The pytest plugin: fixtures `lab`, `docker_socket` and `docker_client`, and traces in the reports of failed tests.

A test marked `real_engine` runs on a simulated engine and, with the option `--real-engine`, also on the Docker Engine
of this machine.

pytest loads this module in every test run where cnmsim is installed, so it imports nothing until a test uses a lab.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cnmsim.lab import Lab
    from cnmsim.observe.trace.trace import Trace

_SIMULATED, _REAL = "simulated", "real"
#: The maximum number of lines of a trace in a report.
_LINES = 60


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Lab:
    """Return a lab without hosts. The marker `cnmsim(engine="28.5.2", seed=3)` sets the arguments of `Lab`."""
    from cnmsim.lab import Lab

    marker = request.node.get_closest_marker("cnmsim")
    new_lab = Lab(**marker.kwargs) if marker is not None else Lab()
    keep_last_trace(new_lab)
    return new_lab


@pytest.fixture
def cnmsim_engine(request: pytest.FixtureRequest) -> str:
    """Return the kind of engine that the test uses: `simulated` or `real`."""
    return str(getattr(request, "param", _SIMULATED))


@pytest.fixture
def docker_socket(request: pytest.FixtureRequest, cnmsim_engine: str) -> Generator[Path, None, None]:
    """Yield the path of a Docker Engine's socket.

    By default it is the socket of the first Docker host of the fixture `lab`; if there is no Docker host, a host
    `docker` (10.0.0.15) is added. The lab is served while the test runs, so use it only through its sockets. If a
    test marked `real_engine` runs on the real engine, it is the socket of that engine.
    """
    if cnmsim_engine == _REAL:
        yield _real_socket()
        return
    lab: Lab = request.getfixturevalue("lab")
    if not any(host.has_docker for host in lab.hosts.values()):
        lab.add_host("docker", "10.0.0.15/24", docker=True)
    with lab.serve() as sockets:
        yield Path(next(iter(sockets.values())))


@pytest.fixture
def docker_client(docker_socket: Path, cnmsim_engine: str) -> Generator[Any, None, None]:
    """Yield a docker-py client for the engine at `docker_socket`.

    On a real engine, the objects that this client created are removed after the test: containers with their anonymous
    volumes, networks, services, secrets and configs. Nothing else is touched. The test is skipped if docker-py is not
    installed.
    """
    docker = pytest.importorskip("docker")
    from cnmsim.testing.created import Created

    client = docker.DockerClient(base_url=f"unix://{docker_socket}", version="auto")
    try:
        created = Created(client) if cnmsim_engine == _REAL else None
        yield client
        left = created.remove() if created is not None else []
        if left:
            warnings.warn(f"left on the real engine: {'; '.join(left)}", stacklevel=2)
    finally:
        client.close()


def _real_socket() -> Path:
    named = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    path = Path(named.removeprefix("unix://"))
    if not named.startswith("unix://") or not path.is_socket():
        pytest.skip(f"no Docker Engine at {named}")
    return path


def keep_last_trace(lab: Lab) -> None:
    """Replace the lab's `trace` and `explain` by versions that store the trace they made, until the end of the test.

    If a test fails, its report shows the last stored trace.
    """
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
    """Return the last trace that `keep_last_trace` stored for a lab, or `None`."""
    return _LAST.get(id(lab))


#: The last trace of each lab by the lab's `id()`, until the end of the test.
_LAST: dict[int, Trace] = {}


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers `cnmsim` and `real_engine`."""
    config.addinivalue_line("markers", "cnmsim(engine=..., seed=...): what the fixture `lab` is built with")
    config.addinivalue_line("markers", "real_engine: runs on a real Docker Engine too, with --real-engine")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option `--real-engine`."""
    group = parser.getgroup("cnmsim")
    group.addoption(
        "--real-engine", action="store_true", help="run tests marked real_engine on this machine's Docker too"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test marked `real_engine` on the simulated engine and, if `--real-engine` is set, on the real one."""
    marked = metafunc.definition.get_closest_marker("real_engine") is not None
    if marked and "cnmsim_engine" in metafunc.fixturenames:
        engines = [_SIMULATED, _REAL] if metafunc.config.getoption("real_engine") else [_SIMULATED]
        metafunc.parametrize("cnmsim_engine", engines, indirect=True)


def pytest_collection_finish() -> None:
    """Register cnmsim's types with Hypothesis if the collected tests use both cnmsim and Hypothesis."""
    if "cnmsim.lab.lab" in sys.modules and "hypothesis" in sys.modules:
        from cnmsim.testing.hypothesis_types import register_if_used

        register_if_used()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the last trace to the report of a failed test.

    It is the last trace of a lab among the test's fixtures, if `keep_last_trace` was called for this lab.
    """
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
