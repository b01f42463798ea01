"""A lab with a swarm is saved at the end of its serving, and its swarm goes on at the next."""

import copy
import shutil
import signal
import subprocess
from contextlib import contextmanager, suppress
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import served_process
from support.patience import PATIENCE_S, until_ready
from support.state_files import write_json_state

from cnmsim import FileError, Lab
from cnmsim.errors import Conflict, EngineError
from cnmsim.kernel.task import Task
from cnmsim.lab.state.statefile import read_state, restore_state, save_state

RELEASES = ("26.1.5", "28.5.2", "29.7.2")
STACK = """
services:
  web:
    image: nginx
    ports: ["8080:80"]
    networks: [front]
    secrets: [password]
    configs: [{source: motd, target: /etc/motd}]
    deploy: {replicas: 2, labels: {tier: web}, placement: {constraints: [node.role == worker]}}
  every:
    image: busybox
    command: sleep 1d
    networks: [front]
    deploy: {mode: global}
networks:
  front: {driver: overlay, driver_opts: {encrypted: ""}}
secrets:
  password: {external: true}
configs:
  motd: {external: true}
"""


def make_lab(engine="29.7.2"):
    lab = Lab(engine)
    for number in range(1, 6):
        lab.add_host(f"node{number}", f"10.9.0.{number}/24", docker=True)
    lab.add_host("client", "10.9.0.100/24")
    return lab


def engine(lab, number=1):
    return lab.host(f"node{number}").docker


def fill(lab, managers=3):
    """Make a swarm of four nodes with one of everything; node5 is spare."""
    one = engine(lab)
    one.swarm.init(advertise_addr="10.9.0.1", default_addr_pool=["10.77.0.0/16"], subnet_size=25)
    for number in range(2, 5):
        token = one.swarm.tokens.manager if number <= managers else one.swarm.tokens.worker
        engine(lab, number).swarm.join(token, "10.9.0.1:2377")
    nodes = {each.hostname: each for each in one.nodes.list()}
    nodes["node4"].update(Labels={"zone": "a"})
    nodes["node2"].update(Availability="drain")
    if managers == 1:
        nodes["node3"].update(Labels={"zone": "b"})
    one.secrets.create(name="password", data=b"secret\n", labels={"a": "b"})
    one.configs.create(name="motd", data=b"welcome\n")
    one.networks.create("wide", driver="overlay", attachable=True, labels={"c": "d"})
    one.stacks.deploy("shop", STACK)
    lab.settle()
    one.containers.run("nginx", name="plain", network="wide", detach=True)
    lab.settle()
    return lab


@pytest.fixture(scope="module", params=RELEASES)
def saved(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("swarm") / "state"
    lab = fill(make_lab(request.param))
    seen = view(lab)
    save_state(lab, path)
    return request.param, path, seen


def restored(path, release="29.7.2"):
    lab = make_lab(release)
    restore_state(lab, path)
    lab.settle()
    return lab


def without(value, *keys):
    if isinstance(value, dict):
        return {key: without(each, *keys) for key, each in value.items() if key not in keys}
    return [without(each, *keys) for each in value] if isinstance(value, list) else value


def view(lab):
    """Give what a manager answers about the cluster, without when it, or this node's copy of it, last changed."""
    rest = engine(lab).rest
    new = ("Version", "UpdatedAt", "Leader")
    networks = [rest.networks.inspect(each["Id"]) for each in rest.networks.list() if each["Scope"] == "swarm"]
    return {
        "nodes": without([each.attrs for each in engine(lab).nodes.list()], *new),
        "services": without([each.attrs for each in engine(lab).services.list()], *new),
        "secrets": [each.attrs for each in engine(lab).secrets.list()],
        "configs": [each.attrs for each in engine(lab).configs.list()],
        "networks": without(networks, "Containers", "Peers", "Status", "Created"),
        "swarm": without(engine(lab).swarm.attrs, *new),
        "tokens": engine(lab).swarm.tokens,
        "ids": {host: engine(lab, host).info()["Swarm"]["NodeID"] for host in range(1, 6)},
    }


def running(lab, service):
    tasks = engine(lab).services.get(service).tasks({"desired-state": "running"})
    return sorted((each.get("Slot", 0), each["Status"]["State"]) for each in tasks)


def test_the_cluster_is_what_it_was(saved):
    release, path, before = saved
    lab = restored(path, release)
    after = view(lab)
    for key, value in before.items():
        assert after[key] == value, key
    assert running(lab, "shop_web") == [(1, "running"), (2, "running")]
    assert running(lab, "shop_every") == [(0, "running")] * 3, "not on the drained node"


def test_traffic_flows_as_before(saved):
    release, path, _ = saved
    lab = restored(path, release)
    # A node that was up before the managers' gossip tries to join it again after a minute (rejoinClusterBootStrap).
    for _ in range(4):
        lab.run(60.0)
        if all(lab.host("client").curl(f"http://10.9.0.{number}:8080/").succeeded for number in range(1, 5)):
            break
    for number in range(1, 5):
        answer = lab.host("client").curl(f"http://10.9.0.{number}:8080/").output
        assert "Welcome to nginx!" in answer, number
    plain = engine(lab).containers.get("plain")
    assert plain.status == "running"
    peer = engine(lab, 3).containers.run("busybox", "sleep 1d", name="peer", network="wide", detach=True)
    assert "Welcome to nginx!" in peer.exec("wget -qO- http://plain/").output
    task = next(each for each in engine(lab, 4).containers.list() if each.name.startswith("shop_web"))
    assert task.exec("cat /run/secrets/password /etc/motd").output == "secret\nwelcome\n"


def test_the_cluster_can_be_changed(saved):
    release, path, before = saved
    lab = restored(path, release)
    engine(lab, 5).swarm.join(before["tokens"].worker, "10.9.0.1:2377")
    engine(lab).services.get("shop_web").scale(5)
    lab.settle()
    assert running(lab, "shop_web") == [(slot, "running") for slot in range(1, 6)]
    assert any(each.name.startswith("shop_every") for each in engine(lab, 5).containers.list())
    assert lab.host("client").curl("http://10.9.0.5:8080/").succeeded
    engine(lab).nodes.get("node2").update(Availability="active")
    engine(lab).nodes.get("node3").update(Role="worker")
    lab.settle()
    engine(lab, 4).swarm.leave()
    engine(lab, 3).swarm.leave()
    lab.run(30)
    lab.settle()
    assert running(lab, "shop_web") == [(slot, "running") for slot in range(1, 6)]
    assert not engine(lab, 4).containers.list(all=True)
    engine(lab).stacks.get("shop").remove()
    lab.settle()
    assert not engine(lab).services.list()


def test_what_is_drawn_from_now_on_is_new(saved):
    release, path, before = saved
    lab = restored(path, release)
    again = path.with_name(f"again-{release}")
    save_state(lab, again)
    third = restored(again, release)
    tasks = [each.id for each in third.host("node1").docker.cluster.store().tasks]
    names = [each.name for number in range(1, 5) for each in engine(third, number).containers.list(all=True)]
    assert len(set(tasks)) == len(tasks) >= 9
    assert len(set(names)) == len(names)
    assert view(third)["ids"] == before["ids"]


@pytest.mark.parametrize("managers", [1, 2])
def test_fewer_managers(tmp_path, managers):
    lab = fill(make_lab(), managers)
    before = view(lab)
    save_state(lab, tmp_path / "state")
    assert view(lab) == before, "saving changes nothing"
    after = view(restored(tmp_path / "state"))
    assert {key: after[key] == value for key, value in before.items()} == dict.fromkeys(before, True)


def test_managers_that_lock_themselves_wait_for_their_key(tmp_path):
    lab = fill(make_lab())
    engine(lab).swarm.update(EncryptionConfig={"AutoLockManagers": True})
    key = engine(lab).swarm.get_unlock_key()["UnlockKey"]
    save_state(lab, tmp_path / "state")
    lab = make_lab()
    restore_state(lab, tmp_path / "state")
    lab.settle()
    assert [engine(lab, number).info()["Swarm"]["LocalNodeState"] for number in range(1, 5)] == [
        "locked", "locked", "locked", "active",
    ]  # fmt: skip
    save_state(lab, tmp_path / "locked")
    lab = make_lab()
    restore_state(lab, tmp_path / "locked")
    # The first one is a node again when there is a quorum: not before the second.
    first = Task(lab.clock, engine(lab).cluster.unlock(key))
    engine(lab, 2).swarm.unlock(key)
    engine(lab).complete(first)
    lab.settle()
    engine(lab, 3).swarm.unlock({"UnlockKey": key})
    lab.settle()
    assert [each.status for each in engine(lab).nodes.list()] == ["ready"] * 4
    assert running(lab, "shop_web") == [(1, "running"), (2, "running")]
    with pytest.raises(Conflict, match="swarm is not locked"):
        engine(lab, 3).swarm.unlock({"UnlockKey": key})


@settings(max_examples=12, deadline=None)
@given(after_s=st.floats(0, 6))
def test_a_swarm_that_was_saved_at_any_moment_comes_to_rest(tmp_path_factory, after_s):
    """Of nodes that join, tasks that are prepared and roles that change."""
    path = tmp_path_factory.getbasetemp() / "moment"
    lab = make_lab()
    one = engine(lab)
    one.swarm.init(advertise_addr="10.9.0.1")
    engine(lab, 2).swarm.join(one.swarm.tokens.worker, "10.9.0.1:2377")
    web = one.services.create("nginx", name="web", mode="global", ports={8080: 80})
    token = one.swarm.tokens.manager
    for number in (3, 4):
        Task(
            lab.clock, engine(lab, number).cluster.join(remotes=["10.9.0.1:2377"], token=token, listen="0.0.0.0:2377")
        )
    next(each for each in one.nodes.list() if each.hostname == "node2").update(Role="manager")
    lab.run(after_s)
    save_state(lab, path)
    again = restored(path)
    again.run(30)
    again.settle()
    nodes = engine(again).nodes.list()
    assert [each.status for each in nodes] == ["ready"] * 4
    assert len([each for each in nodes if each.attrs.get("ManagerStatus")]) == 4
    assert len(running(again, web.name)) == 4
    for number in range(1, 5):
        assert again.host("client").curl(f"http://10.9.0.{number}:8080/").succeeded


@pytest.mark.parametrize("policy", ["always", "unless-stopped"])
def test_a_container_that_waited_for_a_manager_waits_again_at_the_next_start(tmp_path, policy):
    lab = make_lab()
    one = engine(lab)
    one.swarm.init(advertise_addr="10.9.0.1")
    one.networks.create("net", driver="overlay", attachable=True)
    one.containers.run(
        "alpine",
        "sleep 10d",
        name="c1",
        network="net",
        restart_policy={"Name": policy, "MaximumRetryCount": 0},
        detach=True,
    )
    lab.settle()
    for _ in range(2):
        # Both times no manager has been heard yet.
        save_state(lab, tmp_path / "state")
        lab = make_lab()
        restore_state(lab, tmp_path / "state")
        one = engine(lab)
    assert one.containers.get("c1").status == "exited"
    lab.host("node1").power_off()
    lab.run(1)
    lab.host("node1").power_on()
    one = engine(lab)
    lab.run(10)
    lab.settle()
    assert one.containers.get("c1").status == "running"
    # What it held before is given back: one attachment, which is in use.
    assert [task.state.name for task in one.cluster.store().tasks] == ["RUNNING"]


def test_a_host_without_power_is_saved_and_on_again(tmp_path):
    lab = fill(make_lab())
    for name in ("always", "no"):
        engine(lab, 4).containers.run("nginx", name=name, restart_policy={"Name": name}, network="wide", detach=True)
    lab.host("node4").power_off()
    lab.run(30)
    save_state(lab, tmp_path / "state")
    lab = restored(tmp_path / "state")
    assert [each.status for each in engine(lab).nodes.list()] == ["ready"] * 4
    assert {name: engine(lab, 4).containers.get(name).status for name in ("always", "no")} == {
        "always": "running",
        "no": "exited",
    }


def test_a_swarm_that_was_off_for_the_life_of_its_certificates_is_out(tmp_path):
    lab = fill(make_lab(), managers=1)
    save_state(lab, tmp_path / "state")
    lab = make_lab()
    restore_state(lab, tmp_path / "state", lab.clock.epoch_s + 91 * 24 * 3600)
    for number in range(1, 5):
        state = engine(lab, number).info()["Swarm"]
        assert state["LocalNodeState"] == "error"
        assert state["Error"].startswith("Swarm certificates have expired.")
        engine(lab, number).swarm.leave(force=True)
    engine(lab).swarm.init(advertise_addr="10.9.0.1")


LAB_FILE = """
images: hub
hosts:
  node1: {addresses: [10.9.0.1/24], docker: true}
  node2: {addresses: [10.9.0.2/24], docker: true}
swarm: {managers: [node1], workers: [node2]}
networks:
  wide: {attachable: true}
"""


def read_lab(folder):
    (folder / "lab.yml").write_text(LAB_FILE)
    return Lab.from_file(folder / "lab.yml")


def test_the_swarm_of_the_lab_file_gives_way_to_the_saved_one(tmp_path):
    lab = read_lab(tmp_path)
    lab.host("node2").docker.swarm.leave()
    ids = {each.id for each in lab.host("node1").docker.nodes.list() if each.hostname == "node1"}
    lab.host("node1").docker.networks.get("wide").remove()
    lab.host("node1").docker.services.create("nginx", name="mine", ports={80: 80})
    lab.settle()
    save_state(lab, tmp_path / "state")
    again = read_lab(tmp_path)
    restore_state(again, tmp_path / "state")
    again.run(20)
    again.settle()
    one, two = (again.host(name).docker for name in ("node1", "node2"))
    assert {each.id for each in one.nodes.list() if each.status == "ready"} == ids
    assert [each.name for each in one.services.list()] == ["mine"]
    assert "wide" not in {each.name for each in one.networks.list()}
    assert two.info()["Swarm"]["LocalNodeState"] == "inactive"
    assert again.host("node2").curl("http://10.9.0.1/").succeeded


def test_a_stack_of_the_lab_file_with_a_published_port_gives_way_to_the_saved_one(tmp_path):
    def start():
        lab = make_lab()
        engine(lab).swarm.init(advertise_addr="10.9.0.1")
        engine(lab).stacks.deploy("shop", "services:\n  web: {image: nginx, ports: ['8080:80']}\n")
        lab.settle()
        return lab

    lab = start()
    save_state(lab, tmp_path / "state")
    again = start()
    restore_state(again, tmp_path / "state")
    again.settle()
    assert [each.id for each in engine(again).services.list()] == [each.id for each in engine(lab).services.list()]
    assert again.host("client").curl("http://10.9.0.1:8080/").succeeded


def test_a_file_of_version_1_is_read_and_knows_of_no_swarm(tmp_path):
    lab = make_lab()
    engine(lab).containers.run("nginx", name="web", detach=True)
    save_state(lab, tmp_path / "state")
    content = read_state(tmp_path / "state")
    del content["swarm"]
    for each in content["hosts"]["node1"]["containers"]:
        del each["is_managed"]
    write_json_state(tmp_path / "old", content, version=1)
    lab = restored(tmp_path / "old")
    assert engine(lab).containers.get("web").status == "running"
    assert engine(lab).info()["Swarm"]["LocalNodeState"] == "inactive"


# --- what is no state of a swarm ---------------------------------------------------------------------------------


def places(value, path=()):
    """Give the path to every value inside of a value."""
    yield path
    for key, each in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from places(each, (*path, key))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "state"
    lab = Lab()
    lab.add_host("node1", "10.9.0.1/24", docker=True)
    one = lab.host("node1").docker
    one.swarm.init(advertise_addr="10.9.0.1")
    one.secrets.create(name="s", data=b"x")
    one.networks.create("wide", driver="overlay", attachable=True)
    one.services.create("nginx", name="web", networks=["wide"], ports={8080: 80}, secrets=["s"])
    lab.settle()
    save_state(lab, path)
    content = read_state(path)
    return path, content, list(places(content["swarm"]))


REMOVED = object()
ODD = (
    REMOVED, None, True, False, 0, 1, -1, 70000, 2**70, -(2**70), 1.5, float("inf"), "", "x", "\u00e9", "\ud800",
    "10.9.0.1", "10.9.0.1:2377",
    "10.0.0.0/24", "eA==", [], ["x"], {}, {"x": 1},
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(number=st.integers(0, 10**6), value=st.sampled_from(ODD))
@pytest.mark.filterwarnings("ignore:coroutine")
def test_a_malformed_section_is_refused_or_makes_a_swarm_that_answers(small, number, value):
    path, whole, all_places = small
    content = copy.deepcopy(whole)
    inner, place = content, ("swarm", *all_places[number % len(all_places)])
    for key in place[:-1]:
        inner = inner[key]
    if value is REMOVED:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    other = path.with_name("other")
    write_json_state(other, content)
    text = other.read_text()
    lab = Lab()
    lab.add_host("node1", "10.9.0.1/24", docker=True)
    try:
        restore_state(lab, other)
    except FileError as error:
        assert str(error).startswith(f"{other}: ")
        assert other.read_text() == text
        return
    # What is well-formed and yet makes no sense, the daemon complains of in its own words.
    with suppress(EngineError):
        lab.run(3)
    assert lab.host("node1").docker.info()["Swarm"]


# --- the real command --------------------------------------------------------------------------------------------

SERVED = """images: hub
hosts:
  node1: {addresses: [10.9.0.1/24], docker: true}
  node2: {addresses: [10.9.0.2/24], docker: true}
  node3: {addresses: [10.9.0.3/24], docker: true}
  client: {addresses: [10.9.0.100/24]}
"""


@contextmanager
def served(folder):
    with served_process.serve(folder) as process:
        until_ready(folder / "dir", process)
        yield
        process.send_signal(signal.SIGTERM)
        assert (process.communicate()[1], process.returncode) == ("", 0)


def run_docker(folder, words, number=1, *, said="", status=0):
    host = f"unix://{folder}/dir/node{number}/docker.sock"
    done = subprocess.run(
        ["docker", "-H", host, *words.split()],
        cwd=folder, input=said, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return done.stdout or done.stderr


needs_docker = pytest.mark.skipif(shutil.which("docker") is None, reason="there is no docker CLI")


@needs_docker
def test_the_docker_command_finds_the_swarm_again(tmp_path):
    (tmp_path / "lab.yml").write_text(SERVED)
    (tmp_path / "password").write_text("secret")
    (tmp_path / "stack.yml").write_text(
        "services: {web: {image: nginx, ports: ['8080:80'], networks: [net], deploy: {replicas: 3}}}\n"
        "networks: {net: {driver: overlay}}\n"
    )

    docker = partial(run_docker, tmp_path)
    questions = (
        "node ls --format {{.ID}}/{{.Hostname}}/{{.Status}}/{{.Availability}}/{{.EngineVersion}}",
        "service inspect --pretty shop_web",
        "secret inspect password",
        "swarm join-token -q worker",
        "swarm join-token -q manager",
        "stack services shop --format {{.ID}}/{{.Name}}/{{.Replicas}}/{{.Ports}}",
        "network inspect shop_net wide --format {{.Id}}/{{.IPAM.Config}}/{{.Options}}",
    )
    with served(tmp_path):
        docker("swarm init --advertise-addr 10.9.0.1")
        token = docker("swarm join-token -q manager").strip()
        for number in (2, 3):
            docker(f"swarm join --token {token} 10.9.0.1:2377", number)
        docker("secret create password password")
        docker("network create -d overlay --attachable wide")
        docker("stack deploy --detach=false -c stack.yml shop")
        docker("run -d --name plain --network wide nginx")
        before = [docker(each) for each in questions]
    with served(tmp_path):
        docker("service scale shop_web=3")
        assert [docker(each) for each in questions] == before
        docker("service scale shop_web=4")
        assert docker("stack services shop --format {{.Replicas}}") == "4/4\n"
        states = docker("stack ps shop --format {{.Name}}/{{.CurrentState}}").splitlines()
        assert sum("Running" in each for each in states) == 4
        assert sum("Failed" in each for each in states) == 3
        assert "Welcome to nginx!" in docker("run --rm --network wide busybox wget -qO- http://plain/")
        docker("swarm leave --force", 3)


@needs_docker
def test_the_docker_command_unlocks_a_restored_manager(tmp_path):
    (tmp_path / "lab.yml").write_text(SERVED)
    docker = partial(run_docker, tmp_path)
    with served(tmp_path):
        docker("swarm init --advertise-addr 10.9.0.1 --autolock")
        key = docker("swarm unlock-key -q").strip()
        docker("service create --detach=false --name web -p 8080:80 nginx")
    with served(tmp_path):
        assert "Swarm is encrypted and needs to be unlocked" in docker("node ls", status=1)
        assert "invalid key provided" in docker("swarm unlock", said=key[:-4] + "AAAA\n", status=1)
        docker("swarm unlock", said=f"{key}\n")
        docker("service scale web=2")
        assert docker("service ls --format {{.Name}}/{{.Replicas}}/{{.Ports}}") == "web/2/2/*:8080->80/tcp\n"
        assert docker("swarm unlock-key -q").strip() == key
