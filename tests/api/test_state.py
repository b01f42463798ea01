"""A lab is saved at the end of its serving and is the same at the next."""

import json
import shutil
import signal
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import served_process
from support.patience import until_ready
from support.state_files import write_json_state

from cnmsim import FileError, Lab
from cnmsim.lab.state.database import StateDatabase, row_checksum
from cnmsim.lab.state.statefile import StateFile, read_state, restore_state, save_state

RELEASES = ("26.1.5", "28.5.2", "29.7.2")


def make_lab(engine="29.7.2", seed=0):
    lab = Lab(engine, seed)
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    lab.add_host("client", "10.0.0.50/24")
    return lab


def fill(lab):
    """Make one of everything."""
    docker = lab.host("node1").docker
    rest = docker.rest
    docker.networks.create("auto", labels={"a": "b"})
    docker.complete(rest.networks.create(
        {
            "Name": "own",
            "EnableIPv6": True,
            "Options": {"com.docker.network.bridge.name": "br-own"},
            "IPAM": {"Options": {"x": "y"}, "Config": [
                {"Subnet": "10.11.0.0/16", "IPRange": "10.11.3.0/24", "Gateway": "10.11.0.254",
                 "AuxiliaryAddresses": {"one": "10.11.3.1"}},
                {"Subnet": "fd00:1::/64"},
            ]},
        }
    ))  # fmt: skip
    docker.volumes.create("data")
    docker.images.pull("redis", tag="7")
    rest.images.tag("nginx", {"repo": "my/web", "tag": "1"})
    web = docker.containers.run("my/web:1", name="web", network="auto", ports={"80/tcp": 8080}, detach=True)
    settings = {"IPAMConfig": {"IPv4Address": "10.11.3.3"}}
    docker.complete(rest.networks.connect("own", {"Container": web.id, "EndpointConfig": settings}))
    body = {
        "Image": "redis:7",
        "Env": ["A=b"],
        "HostConfig": {"RestartPolicy": {"Name": "always"}, "Binds": ["data:/d"]},
    }
    rest.containers.create(body, {"name": "kept"})
    docker.containers.run("alpine", "sh -c 'echo said; echo own > /etc/own; exit 3'", name="done", detach=True)
    docker.containers.run("alpine", "sleep 1d", name="rm", remove=True, detach=True)
    shares = {"Image": "alpine", "Cmd": ["sleep", "1d"], "HostConfig": {"NetworkMode": "container:web"}}
    rest.containers.create(shares, {"name": "beside"})
    docker.complete(rest.containers.start("beside"))
    lab.run(2)
    return lab


def view(lab):
    """Tell what `docker inspect` tells of everything, without what a new start changes."""
    rest = lab.host("node1").docker.rest
    containers = {}
    for each in rest.containers.list({"all": "1"}):
        whole = rest.containers.inspect(each["Id"])
        for key in ("StartedAt", "FinishedAt", "Pid"):
            whole["State"].pop(key)
        text = json.dumps({key: whole[key] for key in whole if key not in ("NetworkSettings", "ExecIDs")})
        ports = whole["NetworkSettings"]["Ports"]
        settings = whole["NetworkSettings"]["Networks"]
        addresses = {name: (of["IPAddress"], of["NetworkID"]) for name, of in settings.items()}
        containers[whole["Name"]] = (text, ports, addresses)
    networks = [rest.networks.inspect(each["Id"]) for each in rest.networks.list()]
    for each in networks:
        each["Containers"] = {key: of["IPv4Address"] for key, of in each["Containers"].items()}
        each.pop("Status", None)
    return containers, networks, rest.volumes.list({}), rest.images.list({})


@pytest.mark.parametrize("release", RELEASES)
def test_everything_comes_back_as_it_was(tmp_path, release):
    lab = fill(make_lab(release))
    lab.host("node1").docker.containers.get("rm").remove(force=True)
    save_state(lab, tmp_path / "state")
    again = make_lab(release)
    restore_state(again, tmp_path / "state")
    want, got = view(lab), view(again)
    assert want[0].keys() == got[0].keys() == {"/web", "/kept", "/done", "/beside"}
    assert want == got
    assert again.now == lab.now


def test_what_ran_runs_again_and_is_reached(tmp_path):
    save_state(fill(make_lab()), tmp_path / "state")
    lab = make_lab()
    restore_state(lab, tmp_path / "state")
    lab.run(1)
    assert "Welcome to nginx!" in lab.host("client").curl("http://10.0.0.15:8080/").output
    states = {each.name: each.status for each in lab.host("node1").docker.containers.list(all=True)}
    assert states == {"web": "running", "kept": "created", "done": "exited", "beside": "running"}


def test_logs_and_files_of_a_container_are_kept(tmp_path):
    save_state(fill(make_lab()), tmp_path / "state")
    lab = make_lab()
    restore_state(lab, tmp_path / "state")
    done = lab.host("node1").docker.containers.get("done")
    assert done.logs() == b"said\n"
    assert lab.host("node1").docker.store.get("done").files.read("/etc/own") == b"own\n"


def test_ids_are_never_given_out_again(tmp_path):
    lab = make_lab()
    for _ in range(3):
        docker = lab.host("node1").docker
        docker.networks.create(f"net{len(docker.networks.list())}")
        docker.containers.create("alpine")
        save_state(lab, tmp_path / "state")
        lab = make_lab()
        restore_state(lab, tmp_path / "state")
    docker = lab.host("node1").docker
    assert len({each.id for each in docker.containers.list(all=True)}) == 3
    assert {"net3", "net4", "net5"} <= {each.name for each in docker.networks.list()}


def test_saving_what_was_restored_gives_the_same_file(tmp_path):
    lab = make_lab()
    lab.host("node1").docker.networks.create("net")
    lab.host("node1").docker.containers.create("alpine", network="net")
    save_state(lab, tmp_path / "one")
    again = make_lab()
    restore_state(again, tmp_path / "one")
    save_state(again, tmp_path / "two")
    assert read_state(tmp_path / "one") == read_state(tmp_path / "two")
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o600
    assert sorted(each.name for each in tmp_path.iterdir()) == ["one", "two"]


def test_what_the_new_lab_has_of_its_own_gives_way(tmp_path):
    save_state(fill(make_lab()), tmp_path / "state")
    lab = fill(make_lab())
    restore_state(lab, tmp_path / "state")
    assert len(lab.host("node1").docker.containers.list(all=True)) == 4


@pytest.mark.parametrize(
    ("lab", "text"),
    [
        (lambda: make_lab(seed=1), "its seed is 0, this lab's 1"),
        (lambda: make_lab("28.5.2"), "node1 ran Docker 29.7.2 and runs 28.5.2 now"),
        (Lab, "its Docker hosts are node1, this lab's none"),
    ],
)
def test_the_state_of_another_lab_is_refused(tmp_path, lab, text):
    save_state(make_lab(), tmp_path / "state")
    with pytest.raises(FileError, match=text):
        restore_state(lab(), tmp_path / "state")


def test_a_network_the_host_has_no_room_for_any_more_is_named(tmp_path):
    lab = make_lab()
    lab.host("node1").docker.networks.create("auto")
    save_state(lab, tmp_path / "state")
    other = Lab()
    other.add_host("node1", "10.0.0.15/24", docker={"bip": "172.18.0.1/16"})
    with pytest.raises(FileError, match=r"cannot be restored on node1: .*overlaps"):
        restore_state(other, tmp_path / "state")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Give a state file of each format, with the content that both have."""
    folder = tmp_path_factory.mktemp("state")
    save_state(fill(make_lab()), folder / "database")
    content = read_state(folder / "database")
    write_json_state(folder / "json", content)
    return content, [folder / "json", folder / "database"]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_refused_with_what_is_wrong_or_reads_the_same(saved, data):
    content, paths = saved
    path = data.draw(st.sampled_from(paths))
    whole = path.read_bytes()
    kind = data.draw(st.sampled_from(["cut", "flip", "insert", "swap"]))
    at = data.draw(st.integers(0, len(whole) - 2))
    if kind == "cut":
        damaged = whole[:at]
    elif kind == "flip":
        damaged = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    elif kind == "insert":
        damaged = whole[:at] + data.draw(st.binary(min_size=1, max_size=8)) + whole[at:]
    else:
        damaged = whole[:at] + whole[at : at + 2][::-1] + whole[at + 2 :]
    other = path.with_name("damaged")
    other.write_bytes(damaged)
    try:
        read = read_state(other)
    except FileError as error:
        assert str(error).startswith(f"{other}: ")
    else:  # white space, an escape written otherwise, or an unused byte of a database
        assert read == content


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    value=json_values
    | st.fixed_dictionaries({"format": st.just("cnmsim state"), "version": json_values, "lab": json_values})
)
def test_a_foreign_file_is_refused(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "foreign"
    path.write_text(json.dumps(value))
    with pytest.raises(FileError):
        read_state(path)


#: Values that no saved object has: of another type, too large, or with what JSON and Python take for numbers.
FOREIGN = [
    None, True, -1, 0, 1 << 63, 1 << 64, 10**400, 1.5, float("nan"), "", "x", "\u00b2", "\x00", "\ud800", "/../..",
    "9" * 5000, "10.0.0.0/33", [], {}, [None], {"": None}, [[]], {"x": [1]},
]  # fmt: skip


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    path = tmp_path_factory.mktemp("filled") / "state"
    save_state(fill(make_lab()), path)
    return path


def forge(path, other, statement, *values):
    """Copy a state file, and execute a statement on the copy."""
    shutil.copy(path, other)
    with closing(sqlite3.connect(other, isolation_level=None)) as connection:
        connection.execute(statement, values)
    return other


def positions(value, place=()):
    """Return the places in a value of JSON types."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place] + [found for key, each in inner for found in positions(each, (*place, key))]


def use(lab):
    """Ask for everything that was restored."""
    lab.run(1)
    docker = lab.host("node1").docker
    for objects in (
        docker.containers.list(all=True),
        docker.networks.list(),
        docker.volumes.list(),
        docker.images.list(),
    ):
        for each in objects:
            assert each.attrs
    docker.info()


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_forged_object_is_named_or_does_no_harm(filled, data):
    """A checksum is no signature: whoever writes the file writes that, too."""
    with closing(sqlite3.connect(filled)) as connection:
        rows = list(connection.execute("SELECT number, host, kind, id, data FROM objects"))
    number, *key, text = data.draw(st.sampled_from(rows))
    forged = [json.loads(text)]
    place = data.draw(st.sampled_from(positions(forged)[1:]))
    inner = forged
    for part in place[:-1]:
        inner = inner[part]
    if data.draw(st.booleans()) and len(place) > 1:
        del inner[place[-1]]
    else:
        inner[place[-1]] = data.draw(st.sampled_from(FOREIGN))
    text = json.dumps(forged[0])
    row = (text, row_checksum(*key, text), number)
    path = forge(
        filled, filled.with_name("forged"), "UPDATE objects SET data = ?, checksum = ? WHERE number = ?", *row
    )
    lab = make_lab()
    try:
        restore_state(lab, path)
    except FileError as error:
        assert str(error).startswith(f"{path}: ")
        assert len(str(error)) < len(str(path)) + 600
    else:
        use(lab)
        save_state(lab, path)


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("PRAGMA user_version = 4", "a state file of version 4; this cnmsim reads versions 1 to 3"),
        ("PRAGMA application_id = 1", "no state file of cnmsim"),
        ("CREATE VIEW more AS SELECT 1", "malformed: its tables are not those of a state file"),
        ("CREATE TRIGGER t AFTER INSERT ON objects BEGIN SELECT 1; END", "malformed: its tables are not those"),
        ("DROP TABLE lines", "malformed: its tables are not those of a state file"),
        ("UPDATE objects SET id = x'00ff' WHERE kind = 'release'", "damaged: its content does not fit"),
        (
            "DELETE FROM objects WHERE kind = 'image'",
            "cannot be restored on node1: container web: image: there is no",
        ),
        ("DELETE FROM objects WHERE id = 'seed'", "malformed: there is no seed"),
    ],
)
def test_a_database_of_another_form_is_refused(filled, statement, text):
    path = forge(filled, filled.with_name("other"), statement)
    with pytest.raises(FileError) as caught:
        restore_state(make_lab(), path)
    assert str(caught.value).startswith(f"{path}: {text}")


def test_a_view_in_the_place_of_a_table_is_not_executed(filled):
    path = forge(filled, filled.with_name("other"), "DROP TABLE objects")
    forge(
        path, path.with_name("endless"), "CREATE VIEW objects (number, host, kind, id, data, checksum) AS"
        " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, '', 'lab', i, '1', 1 FROM n",
    )  # fmt: skip
    with pytest.raises(FileError, match="its tables are not those of a state file"):
        read_state(path.with_name("endless"))


LAB = """images: hub
hosts:
  node1: {addresses: [10.0.0.15/24], docker: true}
"""


def serve(tmp_path):
    (tmp_path / "lab.yml").write_text(LAB)
    return served_process.serve(tmp_path)


def test_serve_saves_at_its_end_and_restores_at_its_beginning(tmp_path):
    docker = pytest.importorskip("docker")
    ids = []
    for number in (signal.SIGTERM, signal.SIGINT):
        with serve(tmp_path) as process:
            until_ready(tmp_path / "dir", process)
            with closing(
                docker.DockerClient(base_url=f"unix://{tmp_path}/dir/node1/docker.sock", version="auto")
            ) as client:
                if not ids:
                    client.containers.run("nginx", name="web", detach=True)
                ids.append(client.containers.get("web").id)
                assert client.containers.get("web").status == "running"
            process.send_signal(number)
            assert (process.communicate()[1], process.returncode) == ("", 0)
    assert ids[0] == ids[1]


def test_serve_refuses_a_file_that_is_no_state_and_leaves_it_alone(tmp_path):
    (tmp_path / "state").write_text("my thesis")
    with serve(tmp_path) as process:
        assert process.communicate()[1].startswith("cnmsim: state: damaged, or no state file: ")
        assert process.returncode == 2
    assert (tmp_path / "state").read_text() == "my thesis"
    assert not (tmp_path / "dir").exists()


@pytest.mark.parametrize("is_json", [True, False])
def test_a_file_that_cannot_be_written_stays_as_it_is(tmp_path, monkeypatch, is_json):
    write = StateDatabase.write
    save_state(make_lab(), tmp_path / "state")
    before = read_state(tmp_path / "state")
    if is_json:
        write_json_state(tmp_path / "state", before)

    def fail(database, transaction):
        database._connection.execute("PRAGMA max_page_count = 8")
        write(database, transaction)

    monkeypatch.setattr(StateDatabase, "write", fail)
    with pytest.raises(OSError, match="No space left"):
        save_state(fill(make_lab()), tmp_path / "state")
    assert read_state(tmp_path / "state") == before
    assert [each.name for each in tmp_path.iterdir()] == ["state"]


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_is_refused_and_its_target_stays_as_it_is(tmp_path, exists):
    target, link = tmp_path / "target", tmp_path / "state"
    if exists:
        target.write_text("my thesis")
    link.symlink_to(target)
    for call in (lambda: save_state(make_lab(), link), lambda: StateFile.open(link)):
        with pytest.raises(FileError) as caught:
            call()
        assert str(caught.value) == f"{link}: a symbolic link; name the file itself, {target}"
    assert link.is_symlink()
    assert target.exists() is exists
    assert not exists or target.read_text() == "my thesis"


def test_the_data_of_volumes_and_the_files_of_containers_are_saved(tmp_path):
    path = tmp_path / "state"
    lab = Lab()
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    engine = lab.host("node1").docker
    before = engine.containers.run("alpine", "sleep 1d", name="c1", volumes=["data:/d"], detach=True).record.files
    before.put("/d/sub/f", b"kept\n", 0o600)
    before.put("/own", b"own\n")
    before.remove("/etc/os-release")
    save_state(lab, path)
    again = Lab()
    again.add_host("node1", "10.0.0.15/24", docker=True)
    restore_state(again, path)
    files = again.host("node1").docker.containers.get("c1").record.files
    assert (files.read("/d/sub/f"), files.inode("/d/sub/f").mode) == (b"kept\n", 0o600)
    assert (files.read("/own"), files.exists("/etc/os-release")) == (b"own\n", False)
    assert again.host("node1").exec("cat /var/lib/docker/volumes/data/_data/sub/f").output == "kept\n"


def test_files_written_to_hosts_are_kept(tmp_path):
    lab = make_lab()
    node, client = lab.host("node1"), lab.host("client")
    node.docker.containers.run("alpine", ["sh", "-c", "echo hi > /x/f; chmod 600 /x/f"], volumes=["/srv/a/b:/x"])
    node.docker.containers.run("alpine", "sleep 1d", name="web", volumes=["/srv/a/b:/x"], detach=True)
    client.exec("mkdir /data")
    client.exec("sh -c 'echo note > /root/note; ln -s note /root/link'")
    save_state(lab, tmp_path / "state")
    again = make_lab()
    restore_state(again, tmp_path / "state")
    again.run(1)
    before = node.exec("ls -l /srv/a/b").output
    assert again.host("node1").exec("ls -l /srv/a/b").output == before
    assert again.host("node1").docker.containers.get("web").exec_run("cat /x/f").output == b"hi\n"
    assert again.host("client").exec("cat /root/link").output == "note\n"
    assert again.host("client").exec("ls -d /data").output == "/data\n"
    content = read_state(tmp_path / "state")["files"]
    assert sorted(content["client"]) == ["/data", "/root", "/root/link", "/root/note"]
    assert sorted(content["node1"]) == ["/srv", "/srv/a", "/srv/a/b", "/srv/a/b/f"]


def test_files_of_a_host_beyond_the_bound_are_left_out(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("cnmsim.engine.daemon.saved_files.MOST_HOST_BYTES", 10)
    lab = make_lab()
    files = lab.host("client").machine.files
    files.put("/root/a", b"x" * 8)
    files.put("/root/b", b"x" * 8)
    save_state(lab, tmp_path / "state")
    assert sorted(read_state(tmp_path / "state")["files"]["client"]) == ["/root", "/root/a"]
    assert "/root/b is not saved" in caplog.text
