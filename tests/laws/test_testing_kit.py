"""The testing kit: what its strategies give, what they shrink to, and that they find mistakes."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

import cnmsim.testing as kit
from cnmsim import Lab
from cnmsim.testing import Fault, LabSpec, NetworkSpec, Operation
from cnmsim.testing.changes import FaultKind, Verb

ROOT = Path(__file__).parents[2]
quick = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))


def mistakes():
    spec = importlib.util.spec_from_file_location("mistakes", ROOT / "examples" / "testing" / "mistakes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_everything_listed_is_there():
    assert {name for name in kit.__all__ if not callable(getattr(kit, name))} == set()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        kit.nothing  # noqa: B018


@given(content=kit.compose_files())
@quick
def test_compose_files_come_up(content):
    lab = Lab.from_compose(content)
    wanted = sum(each.get("deploy", {}).get("replicas", 1) for each in content["services"].values())
    assert [each.status for each in lab.host("host").docker.containers.list(all=True)] == ["running"] * wanted


def test_what_strategies_shrink_to():
    assert find(kit.compose_files(), lambda _: True) == {"services": {"web": {"image": "nginx"}}}
    assert find(kit.services(networks=["front"]), lambda each: "networks" in each) == {
        "image": "nginx",
        "networks": ["front"],
    }
    assert find(kit.lab_specs(), lambda _: True).networks == ()
    assert find(kit.operations(), lambda each: each.verb is Verb.CONNECT) == Operation(Verb.CONNECT, "web", "front")
    assert find(kit.faults(), lambda _: True) == Fault(FaultKind.LOSS, "node", "client", 0.1)
    assert str(find(kit.operations(), lambda _: True)) == "docker run -d --name web --network front nginx"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: kit.services(images=[]),
        lambda: kit.services(max_networks=1),
        lambda: kit.services(max_replicas=0),
        lambda: kit.services(max_ports=9),
        lambda: kit.compose_files(min_services=3, max_services=2),
        lambda: kit.compose_files(max_networks=9),
        lambda: kit.operations(verbs=[]),
        lambda: kit.faults(hosts=["one"]),
        lambda: kit.faults(kinds=[]),
    ],
)
def test_impossible_bounds_are_refused(wrong):
    with pytest.raises(InvalidArgument):
        wrong()


@given(steps=st.lists(kit.operations(), max_size=8))
@quick
def test_operations_are_done_or_refused(steps):
    lab = Lab()
    engine = lab.add_host("node", "10.0.0.15/24", docker=True).docker
    there = set()
    for step in steps:
        done = step.apply(engine)
        if step.verb is Verb.CREATE_NETWORK:
            assert done is (step.network not in there)
            there.add(step.network)
        if step.verb is Verb.REMOVE_NETWORK and done:
            there.remove(step.network)
    assert {each.name for each in engine.networks.list()} - {"bridge", "host", "none"} == there


@given(fault=kit.faults(ports=[80]))
@quick
def test_faults_have_their_effect(fault):
    lab = Lab()
    for number, name in enumerate(("node", "client"), start=1):
        lab.add_host(name, f"10.0.0.{number}/24", web=True)
    fault.apply(lab)
    verdicts = [
        lab.trace(one, f"{other}:80", timeout_s=3).is_reachable
        for one, other in (("node", "client"), ("client", "node"))
    ]
    match fault.kind:
        case FaultKind.ONE_WAY | FaultKind.CUT:
            assert verdicts == [False, False]
        case FaultKind.BLOCKED_PORT:
            assert verdicts == [fault.host == "node", fault.host == "client"]
        case FaultKind.NO_FORWARDING:
            assert verdicts == [True, True]


@given(spec=..., network=..., step=..., fault=...)
@settings(max_examples=5, deadline=None)
def test_hypothesis_knows_the_types(spec: LabSpec, network: NetworkSpec, step: Operation, fault: Fault):
    assert isinstance(spec, LabSpec)
    assert isinstance(network, NetworkSpec)
    assert isinstance(step, Operation)
    assert isinstance(fault, Fault)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("networks_are_isolated", "is not isolated from"),
        ("a_failed_deployment_leaves_nothing", "left behind"),
        ("the_name_leads_to_the_database", "resolves database to"),
    ],
)
def test_the_mistakes_of_the_documentation_are_found(name, message):
    with pytest.raises(AssertionError, match=message):
        getattr(mistakes(), name)()


SERVED = """
import pytest

@pytest.mark.real_engine
def test_a_network_can_be_made(docker_client):
    made = docker_client.networks.create("kit-test")
    assert made.name in {each.name for each in docker_client.networks.list()}

@pytest.fixture
def lab(lab):
    lab.add_host("other", "10.0.0.20/24", docker=True)
    return lab

def test_the_labs_own_host(docker_client, docker_socket):
    assert docker_client.info()["Name"] == "other"
    assert docker_socket.is_socket()
"""


@pytest.mark.parametrize("options", [[], ["--real-engine"]])
def test_fixtures_of_a_served_engine(tmp_path, options):
    pytest.importorskip("docker")
    (tmp_path / "test_it.py").write_text(SERVED, encoding="utf-8")
    environment = {
        **os.environ,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": str(ROOT),
        "DOCKER_HOST": "unix:///nowhere.sock",
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "cnmsim.testing.pytest_plugin",
        "-p",
        "no:cacheprovider",
        "-rs",
        *options,
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    assert ("1 skipped" in done.stdout) is bool(options)
    assert not options or "no Docker Engine at unix:///nowhere.sock" in done.stdout


@pytest.mark.parametrize("module", ["strategies", "changes", "composefiles", "machine"])
def test_a_module_of_strategies_may_be_what_imports_hypothesis(module: str) -> None:
    program = (
        f"import cnmsim.lab.lab, cnmsim.testing.{module}, cnmsim.testing\n"
        "from hypothesis import strategies as st\n"
        "cnmsim.testing.labs\n"
        "assert 'build()' in repr(st.from_type(cnmsim.lab.lab.Lab)), 'not registered'"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
