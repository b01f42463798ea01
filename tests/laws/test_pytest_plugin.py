"""The pytest plugin, in pytest runs of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import docker

from cnmsim import Lab
from cnmsim.testing.created import Created

INNER = """
import pytest
from cnmsim.testing.pytest_plugin import last_trace

def two_hosts(lab):
    lab.add_host("one", "10.0.0.1/24")
    lab.add_host("two", "10.0.0.2/24")

def test_the_fixture_remembers_its_last_trace(lab):
    two_hosts(lab)
    walk = lab.trace("one", "10.0.0.2")
    assert last_trace(lab) is walk
    assert lab.explain("one", "two").trace is last_trace(lab)

@pytest.mark.cnmsim(engine="26.1.5", seed=7)
def test_the_marker_says_what_lab_is_built(lab):
    assert (lab.engine, lab.clock.seed) == ("26.1.5", 7)

def test_a_connection_to_a_closed_port(lab):
    two_hosts(lab)
    assert lab.trace("one", "10.0.0.2:80")
"""


def pytest_run(
    directory: Path, *options: str, text: str = INNER, engine: str = "unix:///nowhere"
) -> subprocess.CompletedProcess[str]:
    (directory / "test_it.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "cnmsim.testing.pytest_plugin", "-p", "no:cacheprovider"]
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": root, "DOCKER_HOST": engine}
    return subprocess.run(
        [*command, "--strict-markers", *options, "test_it.py"],
        cwd=directory, capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip


def test_the_fixture_is_a_lab_that_remembers_its_last_trace(tmp_path):
    done = pytest_run(tmp_path, "-k", "fixture or marker")
    assert "2 passed" in done.stdout, done.stdout


def test_a_failed_test_reports_the_walk_of_its_last_probe(tmp_path):
    done = pytest_run(tmp_path, "-k", "closed_port")
    assert done.returncode == 1
    assert "cnmsim: one → 10.0.0.2:80 (tcp)" in done.stdout
    assert "REFUSED: " in done.stdout


def test_the_plugin_alone_imports_nothing_heavy():
    code = (
        "import sys, cnmsim.testing.pytest_plugin\n"
        "print([name for name in ('scapy', 'networkx', 'hypothesis', 'dns', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


SHARED = """
import docker
import pytest

@pytest.mark.real_engine
def test_beside_somebody_else(docker_client, docker_socket, cnmsim_engine):
    other = docker.DockerClient(base_url=f"unix://{docker_socket}")
    other.networks.create("theirs")
    other.containers.run("alpine", "sleep 1d", name="neighbour", network="theirs", detach=True)
    ours = docker_client.networks.create("ours")
    docker_client.containers.run("alpine", "sleep 1d", name="visitor", network="ours", detach=True)
    gone = docker_client.containers.create("alpine", "true", name="gone")
    gone.remove()
    docker_client.networks.get("theirs").connect("visitor")
    other.close()
    assert cnmsim_engine in {"simulated", "real"}
"""


def test_on_a_shared_engine_only_what_the_client_created_is_removed(tmp_path):
    lab = Lab()
    lab.add_host("docker", "10.0.0.15/24", docker=True)
    with lab.serve() as sockets:
        done = pytest_run(tmp_path, "--real-engine", "-W", "error", text=SHARED, engine=f"unix://{sockets['docker']}")
    assert "2 passed" in done.stdout, done.stdout
    held = lab.host("docker").docker
    assert [each.name for each in held.containers.list(all=True)] == ["neighbour"]
    assert {each.name for each in held.networks.list()} == {"bridge", "host", "none", "theirs"}


def test_a_network_that_somebody_else_uses_is_left_and_said():
    lab = Lab()
    lab.add_host("docker", "10.0.0.15/24", docker=True)
    with lab.serve() as sockets:
        client, other = (docker.DockerClient(base_url=f"unix://{sockets['docker']}") for _ in range(2))
        created = Created(client)
        network = client.networks.create("ours")
        other.containers.run("alpine", "sleep 1d", name="neighbour", network="ours", detach=True)
        left = created.remove()
        client.close()
        other.close()
    assert len(left) == 1
    assert left[0].startswith(f"network {network.id[:12]}: ")
    assert "has active endpoints" in left[0]
    assert [each.name for each in lab.host("docker").docker.containers.list()] == ["neighbour"]


def test_services_and_secrets_of_a_swarm_are_removed_too():
    lab = Lab()
    lab.add_host("docker", "10.0.0.15/24", docker=True)
    with lab.serve() as sockets:
        client = docker.DockerClient(base_url=f"unix://{sockets['docker']}")
        client.swarm.init(advertise_addr="10.0.0.15")
        created = Created(client)
        client.secrets.create(name="key", data=b"12345")
        client.networks.create("mesh", driver="overlay")
        client.services.create("nginx", name="web", networks=["mesh"])
        assert created.remove() == []
        assert client.services.list() == []
        assert client.secrets.list() == []
        assert client.networks.list(names=["mesh"]) == []
        client.close()
