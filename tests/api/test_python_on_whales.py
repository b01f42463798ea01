"""python-on-whales, which runs the docker command for everything, drives a served engine."""

import shutil

import pytest
from support.api_client import new_lab

whales = pytest.importorskip("python_on_whales", reason="python-on-whales is not installed")
pytestmark = [
    pytest.mark.skipif(shutil.which("docker") is None, reason="no docker command here"),
    # It leaves the streams of a client that it has read to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def docker(tmp_path_factory):
    with new_lab().serve() as sockets:
        config = tmp_path_factory.mktemp("config")
        yield whales.DockerClient(host=f"unix://{sockets['node1']}", config=config)


def test_a_run_gives_its_output(docker):
    assert docker.run("alpine", ["echo", "hi"], remove=True) == "hi"


def test_a_failing_run_carries_status_and_streams(docker):
    with pytest.raises(whales.exceptions.DockerException) as failure:
        docker.run("alpine", ["sh", "-c", "echo no >&2; exit 4"], remove=True)
    assert failure.value.return_code == 4
    assert "docker" in failure.value.docker_command[0]


def test_containers_are_inspected_listed_used_and_removed(docker):
    with docker.run("nginx", detach=True, name="web", publish=[(8080, 80)], labels={"a": "b"}) as web:
        assert web.state.running
        assert web.state.status == "running"
        assert web.config.labels["a"] == "b"
        assert web.network_settings.ports["80/tcp"][0]["HostPort"] == "8080"
        assert [each.name for each in docker.ps(filters=[("label", "a=b")])] == ["web"]
        assert docker.execute(web, ["hostname", "-i"]).startswith("172.17.")
        web.rename("other")
        assert docker.container.inspect("other").id == web.id
        docker.pause(web)
        assert docker.container.inspect(web.id).state.paused
        docker.unpause(web)
        docker.stop(web, time=1)
        assert docker.wait(web) == docker.container.inspect(web.id).state.exit_code
    assert not docker.container.exists("other")


def test_output_of_an_exec_is_streamed(docker):
    with docker.run("alpine", ["sleep", "1d"], detach=True) as one:
        lines = list(docker.execute(one, ["sh", "-c", "echo a; echo b >&2"], stream=True))
        assert sorted(lines) == [("stderr", b"b\n"), ("stdout", b"a\n")]
        docker.execute(one, ["sh", "-c", "echo kept > /etc/kept"])
        assert docker.execute(one, ["cat", "/etc/kept"], user="nobody", workdir="/") == "kept"


def test_networks_are_made_connected_and_removed(docker):
    with docker.network.create("front", labels={"tier": "web"}) as front:
        assert front.driver == "bridge"
        web = docker.run("nginx", detach=True, name="pow-web", networks=[front])
        peer = docker.run("alpine", ["sleep", "1d"], detach=True, name="pow-peer")
        docker.network.connect(front, peer, alias="p", ip=None)
        assert "Welcome to nginx!" in docker.execute(peer, ["wget", "-qO-", "http://pow-web/"])
        front.reload()
        assert {each.name for each in front.containers.values()} == {"pow-web", "pow-peer"}
        docker.network.disconnect(front, peer)
        assert set(docker.container.inspect("pow-peer").network_settings.networks) == {"bridge"}
        docker.remove([web, peer], force=True)
        assert "front" in [each.name for each in docker.network.list(filters=[("label", "tier=web")])]
    assert not docker.network.exists("front")


def test_files_volumes_images_and_the_system(docker, tmp_path):
    (tmp_path / "motd").write_text("hello\n")
    with (
        docker.volume.create("data") as data,
        docker.create("alpine", ["cat", "/etc/motd"], volumes=[(data, "/d")]) as one,
    ):
        docker.copy(tmp_path / "motd", (one, "/etc/motd"))
        assert docker.start(one, attach=True) == "hello"
        docker.copy((one, "/etc/motd"), tmp_path / "back")
        assert (tmp_path / "back").read_text() == "hello\n"
        assert one.mounts[0].name == "data"
    assert docker.pull("redis:7", quiet=True).repo_tags == ["redis:7"]
    assert docker.image.inspect("redis:7").id
    assert docker.system.info().server_version == "29.7.2"
    assert docker.system.disk_free().images.total_count >= 1
    assert docker.version().server.version == "29.7.2"


def test_logs_follow_to_the_end_and_events_are_read(docker):
    with docker.run("alpine", ["sh", "-c", "echo one; sleep 0.3; echo two"], detach=True, name="talker") as one:
        assert [line for _, line in docker.logs(one, follow=True, stream=True)] == [b"one\n", b"two\n"]
        assert docker.logs(one, tail=1) == "two\n"


def test_what_is_not_there_has_its_own_exception(docker):
    for call, error in (
        (docker.container.inspect, whales.exceptions.NoSuchContainer),
        (docker.network.inspect, whales.exceptions.DockerException),
        (docker.volume.inspect, whales.exceptions.NoSuchVolume),
        (docker.image.inspect, whales.exceptions.NoSuchImage),
    ):
        with pytest.raises(error):
            call("nosuch")
