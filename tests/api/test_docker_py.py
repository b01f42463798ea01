"""docker-py, unmodified, drives a served engine."""

import pytest

docker = pytest.importorskip("docker")


@pytest.fixture(scope="module")
def client(sockets):
    client = docker.DockerClient(base_url=f"unix://{sockets['node1']}")
    yield client
    client.close()


def test_it_negotiates_and_asks_who_is_there(client):
    assert client.ping()
    assert client.version()["Version"] == "29.7.2"
    assert client.info()["Swarm"]["LocalNodeState"] == "inactive"


def test_a_foreground_run_gives_its_output(client):
    assert client.containers.run("alpine", ["echo", "hi"], remove=True) == b"hi\n"


def test_containers_of_a_network_know_each_other_by_name(client):
    network = client.networks.create("front", driver="bridge")
    web = client.containers.run("nginx", name="py-web", network="front", detach=True)
    peer = client.containers.run("alpine", ["sleep", "1d"], name="py-peer", network="front", detach=True)
    code, output = peer.exec_run(["wget", "-qO-", "http://py-web/"])
    assert code == 0
    assert b"Welcome to nginx!" in output
    network.reload()
    assert {each.name for each in network.containers} == {"py-web", "py-peer"}
    for each in (web, peer):
        each.remove(force=True)
    network.remove()


def test_a_failing_run_carries_status_and_output(client):
    with pytest.raises(docker.errors.ContainerError) as failure:
        client.containers.run("alpine", ["sh", "-c", "echo no >&2; exit 4"])
    assert failure.value.exit_status == 4
    assert b"no\n" in failure.value.stderr


def test_streams_of_an_exec_come_apart(client):
    one = client.containers.run("alpine", ["sleep", "1d"], detach=True)
    code, (out, err) = one.exec_run(["sh", "-c", "echo a; echo b >&2"], demux=True)
    assert (code, out, err) == (0, b"a\n", b"b\n")
    one.remove(force=True)


def test_stop_takes_virtual_and_no_real_time(client):
    one = client.containers.run("alpine", ["sh", "-c", "trap '' TERM; sleep 1d"], detach=True)
    one.stop(timeout=3600)
    assert one.wait()["StatusCode"] == 137
    one.remove()


def test_an_archive_goes_in_and_comes_out(client):
    import io
    import tarfile

    one = client.containers.run("alpine", ["sleep", "1d"], detach=True)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("motd")
        entry.size = 3
        archive.addfile(entry, io.BytesIO(b"hi\n"))
    assert one.put_archive("/etc", packed.getvalue())
    assert one.exec_run(["cat", "/etc/motd"]).output == b"hi\n"
    chunks, stat = one.get_archive("/etc/motd")
    assert stat["name"] == "motd"
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        assert archive.extractfile("motd").read() == b"hi\n"
    one.remove(force=True)


def test_a_missing_image_is_pulled_with_progress(client):
    lines = list(client.api.pull("redis", tag="7", stream=True, decode=True))
    assert lines[0]["status"] == "Pulling from library/redis"
    assert lines[-1]["status"].startswith("Status: Downloaded newer image for")


def test_errors_are_docker_errors(client):
    with pytest.raises(docker.errors.NotFound, match="No such container: nosuch"):
        client.containers.get("nosuch")
