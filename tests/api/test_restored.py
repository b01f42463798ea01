"""A lab that is restored at the next serving answers `docker inspect` as before."""

import pytest
from support.api_client import new_lab
from support.patience import PATIENCE_S

from cnmsim.lab.state.statefile import restore_state, save_state

docker = pytest.importorskip("docker", reason="docker-py is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
#: What a new start makes anew, with dockerd too; since 28 a MAC address is drawn and no longer made from the IP
#: address.
NEW = {"Pid", "StartedAt", "FinishedAt", "SandboxID", "SandboxKey", "EndpointID"}


def without_new(value, new):
    if isinstance(value, dict):
        return {key: without_new(each, new) for key, each in value.items() if key not in new}
    return [without_new(each, new) for each in value] if isinstance(value, list) else value


def fill(client):
    pool = docker.types.IPAMPool(subnet="10.11.0.0/16", gateway="10.11.0.254", iprange="10.11.3.0/24")
    net = client.networks.create("net", ipam=docker.types.IPAMConfig(pool_configs=[pool]), labels={"a": "b"})
    six = docker.types.IPAMPool(subnet="fd00:1::/64")
    client.networks.create("six", enable_ipv6=True, internal=True, ipam=docker.types.IPAMConfig(pool_configs=[six]))
    settings = client.api.create_endpoint_config(aliases=["www", "shop"])
    web = client.api.create_container(
        "nginx", name="web", ports=[80], labels={"tier": "web"}, environment={"A": "b"},
        host_config=client.api.create_host_config(
            port_bindings={80: [8080, ("127.0.0.1", 8081), None]},
            restart_policy={"Name": "on-failure", "MaximumRetryCount": 3}, dns=["10.0.0.50"],
        ),
        networking_config={"EndpointsConfig": {"net": settings}},
    )  # fmt: skip
    client.api.start(web)
    client.networks.get("six").connect("web", aliases=["hidden"])
    one = client.containers.create("alpine", ["sleep", "1d"], name="fixed")
    net.connect(one, ipv4_address="10.11.3.77", aliases=["pinned"])
    client.networks.get("bridge").disconnect(one)
    one.start()
    client.containers.run("alpine", ["sh", "-c", "echo said; exit 3"], name="done", detach=True).wait()
    client.containers.create("alpine", name="made", volumes=["data:/d"])
    client.containers.run("alpine", ["sleep", "1d"], name="beside", network_mode="container:web", detach=True)


def view(client):
    containers = {each["Id"]: client.api.inspect_container(each["Id"]) for each in client.api.containers(all=True)}
    networks = {each["Id"]: client.api.inspect_network(each["Id"]) for each in client.api.networks()}
    listed = client.api.containers(all=True)
    for each in listed:
        each.pop("Status")  # for how long it has been up
        each["Ports"].sort(key=str)
    new = NEW if client.version()["Version"] == "26.1.5" else NEW | {"MacAddress"}
    return without_new([containers, networks, listed, client.api.volumes(), client.api.images()], new)


def served_view(lab, work=lambda _: None):
    with lab.serve():
        client = lab.host("node1").docker_client()
        work(client)
        seen = view(client)
        client.close()
    return seen


@pytest.mark.parametrize("release", ["26.1.5", "28.5.2", "29.7.2"])
def test_a_restored_lab_answers_the_same_inspect(tmp_path, release):
    lab = new_lab(release)
    before = served_view(lab, fill)
    save_state(lab, tmp_path / "state")
    again = new_lab(release)
    restore_state(again, tmp_path / "state", lab.clock.epoch_s)
    assert served_view(again) == before
    lab.run(1)
    again.run(1)
    for each in (lab, again):
        assert "Welcome to nginx!" in each.host("client").curl("http://10.0.0.15:8080/").output
        peer = each.host("node1").docker.containers.get("fixed")
        assert "Welcome to nginx!" in peer.exec("wget -qO- http://shop/").output


def test_exposed_ports_are_open_again(tmp_path):
    import http.client

    lab = new_lab()
    with lab.serve(expose_ports="") as sockets:
        docker_host = lab.host("node1").docker
        sockets.call(lambda: docker_host.containers.run("nginx", name="web", ports={"80/tcp": None}, detach=True))
        (name,) = sockets.ports
    save_state(lab, tmp_path / "state")
    again = new_lab()
    restore_state(again, tmp_path / "state")
    with again.serve(expose_ports="") as sockets:
        assert list(sockets.ports) == [name]
        sockets.call(again.run, 0.1)
        connection = http.client.HTTPConnection(*sockets.ports[name], timeout=PATIENCE_S)
        connection.request("GET", "/")
        assert b"Welcome to nginx!" in connection.getresponse().read()
        connection.close()
