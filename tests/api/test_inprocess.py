"""The unmodified docker-py, talking to a lab served by the same program."""

import sys
import threading
import time

import pytest

from cnmsim import InvalidParameter, Lab, NotFound

docker = pytest.importorskip("docker")
# docker-py leaves a duplicate of a hijacked socket to the garbage collector, which conftest.py runs before the module
# ends.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def lab():
    lab = Lab()
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    lab.add_host("client", "10.0.0.50/24")
    return lab


@pytest.fixture
def client(lab):
    with lab.serve():
        client = lab.host("node1").docker_client()
        yield client
        client.close()


def test_every_docker_host_has_a_socket_for_the_length_of_the_block(lab, tmp_path):
    lab.add_host("node2", "10.0.0.16/24", docker=True)
    with lab.serve(tmp_path) as sockets:
        assert dict(sockets) == {name: tmp_path / name / "docker.sock" for name in ("node1", "node2")}
        assert all(path.is_socket() for path in sockets.values())
        with pytest.raises(KeyError):
            sockets["client"]
    assert not any(path.exists() for path in sockets.values())


def test_a_lab_can_be_served_again_and_is_as_it_was_left(lab):
    for _ in range(2):
        with lab.serve():
            client = lab.host("node1").docker_client()
            left = {network.name for network in client.networks.list()}
            client.networks.create(f"net{len(left)}")
            client.close()
    assert {network.name for network in lab.host("node1").docker.networks.list()} >= {"net3", "net4"}


def test_a_host_that_is_not_served_has_no_client(lab):
    with pytest.raises(InvalidParameter, match="node1 is not served"):
        lab.host("node1").docker_client()
    with lab.serve(), pytest.raises(NotFound, match="client has no Docker engine"):
        lab.host("client").docker_client()
    with pytest.raises(InvalidParameter, match="node1 is not served"):
        lab.host("node1").docker_client()


def test_without_docker_py_the_error_says_what_to_install(lab, monkeypatch):
    monkeypatch.setitem(sys.modules, "docker", None)
    with lab.serve(), pytest.raises(ImportError, match="needs docker-py: pip install"):
        lab.host("node1").docker_client()


def test_a_folder_that_cannot_be_made_is_told_at_once(lab, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError), lab.serve(tmp_path / "file" / "dir"):
        pass


def test_an_error_in_the_block_ends_the_serving_and_comes_through(lab):
    with pytest.raises(ZeroDivisionError), lab.serve() as sockets:
        path = sockets["node1"]
        1 / 0  # noqa: B018
    assert not path.exists()
    assert not [thread for thread in threading.enumerate() if thread.name == "cnmsim serve"]


def test_call_works_on_the_lab_between_requests(lab):
    with lab.serve() as sockets:
        client = lab.host("node1").docker_client()
        client.containers.run("nginx", name="web", ports={"80/tcp": 8080}, detach=True)
        page = sockets.call(lab.host("client").curl, "http://10.0.0.15:8080/")
        client.close()
    assert "Welcome to nginx!" in page.output


def test_networks_are_made_listed_connected_and_removed(client):
    pool = docker.types.IPAMPool(subnet="10.11.0.0/16", gateway="10.11.0.254")
    net = client.networks.create("net", ipam=docker.types.IPAMConfig(pool_configs=[pool]), labels={"a": "b"})
    web = client.containers.run("nginx", name="web", detach=True)
    net.connect(web, aliases=["www"], ipv4_address="10.11.3.3")
    net.reload()
    assert [each.name for each in net.containers] == ["web"]
    assert net.attrs["IPAM"]["Config"] == [{"Subnet": "10.11.0.0/16", "Gateway": "10.11.0.254"}]
    assert [each.name for each in client.networks.list(filters={"label": "a=b"})] == ["net"]
    net.disconnect(web)
    net.remove()
    with pytest.raises(docker.errors.NotFound, match="network net not found"):
        client.networks.get("net")


def test_a_container_is_run_and_its_output_given(client):
    assert client.containers.run("alpine", "echo one two", remove=True) == b"one two\n"
    assert client.containers.list(all=True) == []


def test_containers_live_as_docker_py_leads_them(client):
    web = client.containers.run("nginx", name="web", ports={"80/tcp": 8080}, detach=True)
    web.reload()
    assert (web.status, web.ports["80/tcp"][0]["HostPort"]) == ("running", "8080")
    web.pause()
    web.reload()
    assert web.status == "paused"
    web.unpause()
    web.rename("www")
    assert client.containers.get("www").id == web.id
    web.stop(timeout=1)
    assert web.wait()["StatusCode"] in {0, 137, 143}
    web.start()
    web.restart(timeout=0)
    web.kill()
    web.remove()
    with pytest.raises(docker.errors.NotFound):
        client.containers.get("www")


def test_exec_gives_status_and_streams_apart(client):
    box = client.containers.run("alpine", "sleep 1d", detach=True)
    status, output = box.exec_run(["sh", "-c", "echo out; echo err >&2; exit 3"], demux=True)
    assert (status, output) == (3, (b"out\n", b"err\n"))
    chunks = box.exec_run("ping -c 2 127.0.0.1", stream=True).output
    assert b"2 packets received" in b"".join(chunks)


def test_exec_reads_what_is_typed_through_its_socket(client):
    box = client.containers.run("alpine", "sleep 1d", detach=True)
    made = client.api.exec_create(box.id, "cat", stdin=True)
    answer = client.api.exec_start(made["Id"], socket=True)
    answer._sock.sendall(b"typed\n")
    header = answer.read(8)
    assert (header[0], answer.read(6)) == (1, b"typed\n")
    answer._sock.close()
    answer.close()


def test_names_are_resolved_between_containers(client):
    client.networks.create("net")
    client.containers.run("nginx", name="web", network="net", detach=True)
    page = client.containers.run("alpine", "wget -qO- http://web/", network="net", remove=True)
    assert b"Welcome to nginx!" in page


def test_logs_are_given_and_followed_to_the_end(client):
    box = client.containers.run("alpine", "sh -c 'echo 1; sleep 5; echo 2; echo 3 >&2'", detach=True)
    assert b"".join(box.logs(stream=True, follow=True)) == b"1\n2\n3\n"
    assert box.logs(tail=1) == b"3\n"
    assert box.logs(stderr=False) == b"1\n2\n"


def test_events_are_streamed_with_filters(client):
    box = client.containers.run("alpine", "true", name="box", detach=True)
    box.wait()
    box.remove()
    events = client.events(decode=True, since=0, until=int(time.time()) + 60, filters={"type": "container"})
    seen = [next(events)["Action"] for _ in range(4)]
    events.close()
    assert seen == ["create", "start", "die", "destroy"]


def test_volumes_images_and_the_engine_itself(client):
    volume = client.volumes.create("data", labels={"x": "y"})
    box = client.containers.create("alpine", volumes=["data:/data"])
    with pytest.raises(docker.errors.APIError, match="volume is in use") as caught:
        volume.remove()
    assert caught.value.status_code == 409
    box.remove()
    volume.remove()
    image = client.images.pull("redis", tag="7")
    assert image.tags == ["redis:7"]
    client.images.remove("redis:7")
    assert client.ping()
    assert client.version()["ApiVersion"] == client.api.api_version
    assert client.df()["Volumes"] in (None, [])


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda c: c.containers.get("nix"), "NotFound", "No such container: nix"),
        (lambda c: c.networks.get("nix"), "NotFound", "network nix not found"),
        (lambda c: c.volumes.get("nix"), "NotFound", "get nix: no such volume"),
        (lambda c: c.images.get("nix"), "ImageNotFound", "No such image: nix"),
        (
            lambda c: c.networks.create("bridge"),
            "APIError",
            "operation is not permitted on predefined bridge network",
        ),
        (lambda c: c.networks.create("n", driver="x"), "APIError", 'plugin "x" not found'),
        (lambda c: c.containers.create("alpine", name="a/b"), "APIError", "Invalid container name"),
        (lambda c: c.containers.run("alpine", "nix"), "APIError", 'exec: "nix": executable file not found in'),
        (lambda c: c.containers.run("alpine", "sh -c 'exit 7'"), "ContainerError", "exit status 7"),
        (lambda c: c.services.list(), "APIError", "This node is not a swarm manager"),
        (lambda c: c.images.search("x"), "APIError", "not simulated"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
def test_errors_are_docker_pys_with_dockers_texts(client, call, error, text):
    with pytest.raises(getattr(docker.errors, error)) as caught:
        call(client)
    assert text in str(caught.value)
