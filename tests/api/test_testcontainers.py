"""testcontainers, unmodified: it starts a container and talks to its mapped port on this machine."""

import urllib.request

import pytest
from support.patience import PATIENCE_S

from cnmsim import Lab

pytest.importorskip("docker", reason="docker-py is not installed")
pytest.importorskip("testcontainers", reason="testcontainers is not installed")
# docker-py leaves a duplicate of a hijacked socket to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::DeprecationWarning"
)


@pytest.fixture(params=["26.1.5", "29.7.2"])
def lab(request, monkeypatch):
    lab = Lab(engine=request.param)
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    with lab.serve(expose_ports="node1") as sockets:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{sockets['node1']}")
        from testcontainers.core.config import testcontainers_config

        # Its reaper is a program that drives the engine from inside a container.
        monkeypatch.setattr(testcontainers_config, "ryuk_disabled", True)
        monkeypatch.setattr(testcontainers_config, "tc_host_override", "localhost", raising=False)
        yield lab


def page(container, port=80):
    url = f"http://{container.get_container_host_ip()}:{container.get_exposed_port(port)}/"
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        return answer.read()


def test_a_mapped_port_answers(lab):
    from testcontainers.core.container import DockerContainer

    with DockerContainer("nginx:alpine").with_exposed_ports(80) as web:
        for _ in range(3):
            assert b"Welcome to nginx!" in page(web)
        code, output = web.exec(["hostname", "-i"])
        assert code == 0
        assert output.startswith(b"172.17.")
    assert lab.host("node1").docker.containers.list(all=True) == []


def test_it_waits_for_a_line_of_the_log_and_for_an_answer(lab):
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import HttpWaitStrategy, LogMessageWaitStrategy

    command = "sh -c 'sleep 3; echo ready; httpd -f -p 8000'"
    one = (
        DockerContainer("nginx:alpine")
        .with_command(command)
        .with_exposed_ports(8000)
        .waiting_for(LogMessageWaitStrategy("ready"))
    )
    with one:
        assert b"ready" in one.get_logs()[0]
    two = (
        DockerContainer("nginx:alpine").with_exposed_ports(80).waiting_for(HttpWaitStrategy(80).for_status_code(200))
    )
    with two:
        assert b"Welcome to nginx!" in page(two)


def test_containers_of_one_network_reach_each_other(lab):
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.network import Network

    with Network() as net:
        web = DockerContainer("nginx:alpine").with_network(net).with_network_aliases("web")
        peer = DockerContainer("alpine").with_network(net).with_command("sleep 1d")
        with web, peer:
            assert peer.exec(["wget", "-qO-", "http://web/"]).output.count(b"Welcome to nginx!") == 2
