"""The folder of the sockets: its owner's alone; links and other files are refused, not followed and not replaced."""

import os
import socket
import stat
import subprocess
import sys

import pytest
from support.patience import PATIENCE_S

from cnmsim import Lab
from cnmsim.api.control_channel import connect
from cnmsim.api.socket_folder import SocketFolder
from cnmsim.errors import Conflict, FileError, Forbidden, InvalidParameter, Unavailable


@pytest.fixture(autouse=True)
def usual_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


def opened(path, *hosts):
    folder = SocketFolder(path, hosts or ("node1",))
    try:
        folder.open()
        folder.write_ready()
    finally:
        folder.close()
    return folder


def bind(path):
    with socket.socket(socket.AF_UNIX) as channel:
        channel.bind(str(path))


def test_the_folder_and_what_is_in_it_are_its_owners_alone(tmp_path):
    folder = SocketFolder(tmp_path / "a/d", ("node1",))
    folder.open()
    folder.write_ready()
    assert [mode(tmp_path / "a/d"), mode(tmp_path / "a/d/node1"), mode(tmp_path / "a/d/ready")] == [
        0o700,
        0o700,
        0o600,
    ]
    assert (tmp_path / "a/d/ready").read_text() == f"{tmp_path}/a/d/node1/docker.sock\n"
    folder.close()
    assert sorted(path.name for path in (tmp_path / "a/d").iterdir()) == ["node1"]


def test_an_open_folder_is_closed_to_others_if_only_a_server_used_it(tmp_path):
    (tmp_path / "node1").mkdir()
    tmp_path.chmod(0o777)
    opened(tmp_path)
    assert mode(tmp_path) == 0o700


def test_an_open_folder_with_other_files_is_refused_and_not_changed(tmp_path):
    (tmp_path / "notes").touch()
    tmp_path.chmod(0o755)
    with pytest.raises(
        Forbidden, match=r"other users can open this folder \(mode 0755\).*such as 'notes'; run `chmod"
    ):
        opened(tmp_path)
    assert (mode(tmp_path), [path.name for path in tmp_path.iterdir()]) == (0o755, ["notes"])


@pytest.mark.parametrize(
    "name", ["d", "d/node1", "d/ready", "d/control.sock", "d/control-inner.sock", "d/node1/docker.sock"]
)
def test_a_link_is_neither_followed_nor_replaced(tmp_path, name):
    (tmp_path / "target").mkdir()
    (tmp_path / "target/file").write_text("mine")
    link = tmp_path / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(tmp_path / "target" / ("" if name in ("d", "d/node1") else "file"))
    with pytest.raises(Forbidden, match=f"^{link}: is "):
        opened(tmp_path / "d")
    assert link.is_symlink()
    assert (tmp_path / "target/file").read_text() == "mine"
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (name, kind)
        for name in ("ready", "control.sock", "control-inner.sock", "node1/docker.sock", "node1")
        for kind in ("file", "folder", "fifo")
        if (name, kind) != ("node1", "folder")  # a server makes this one
    ],
)
def test_a_file_that_no_server_made_is_refused_and_kept(tmp_path, name, kind):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    {"file": lambda: path.write_text("mine"), "folder": path.mkdir, "fifo": lambda: os.mkfifo(path)}[kind]()
    before = path.lstat()
    with pytest.raises(Forbidden, match=f"^{path}: is "):
        opened(tmp_path)
    assert path.lstat().st_ino == before.st_ino


def test_what_a_killed_server_left_is_replaced(tmp_path):
    (tmp_path / "node1").mkdir(mode=0o700)
    for name in ("control.sock", "control-inner.sock", "node1/docker.sock"):
        bind(tmp_path / name)
    (tmp_path / "ready").write_text(f"{tmp_path}/node1/docker.sock\n")
    opened(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["node1"]


def test_a_folder_of_another_user_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 54321)
    with pytest.raises(
        Forbidden, match=r"belongs to the user \d+; choose a folder of your own, such as one in \$XDG"
    ):
        opened(tmp_path)


def test_one_server_uses_a_folder_at_a_time(tmp_path):
    first = SocketFolder(tmp_path, ("node1",))
    first.open()
    with pytest.raises(Conflict, match="another server uses this folder"):
        opened(tmp_path)
    first.close()
    opened(tmp_path)


def test_what_took_the_place_of_a_servers_file_stays(tmp_path):
    folder = SocketFolder(tmp_path, ("node1",))
    folder.open()
    folder.write_ready()
    (tmp_path / "other").write_text("mine")
    (tmp_path / "other").replace(tmp_path / "ready")
    folder.close()
    assert (tmp_path / "ready").read_text() == "mine"


def test_a_path_too_long_for_a_socket_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(Forbidden, match="has 107 bytes at most; choose a shorter folder"):
        opened(tmp_path / "long", "x" * 120)
    assert not (tmp_path / "long").exists()


def test_the_command_refuses_in_a_sentence(tmp_path):
    (tmp_path / "lab.yml").write_text("hosts:\n  node1: {addresses: [10.0.0.15/24], docker: true}\n")
    (tmp_path / "d").symlink_to(tmp_path)
    command = [sys.executable, "-m", "cnmsim", "serve", str(tmp_path / "lab.yml"), "--dir", str(tmp_path / "d")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    text = (
        f"cnmsim: {tmp_path}/d: is a link, which could lead anywhere; choose a folder of your own for the sockets\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", text)


@pytest.mark.parametrize("name", ["ready", "control.sock", "control-inner.sock"])
def test_a_host_cannot_have_the_name_of_a_servers_file(tmp_path, name):
    with pytest.raises(
        InvalidParameter, match=f"invalid name '{name}' of a host: a served lab has a file of this name"
    ):
        Lab().add_host(name, "10.0.0.1/24")
    (tmp_path / "lab.yml").write_text(
        f"hosts:\n  one: {{addresses: [10.0.0.2/24]}}\n  {name}: {{addresses: [10.0.0.3/24]}}\n"
    )
    with pytest.raises(FileError, match="choose another, such as") as refused:
        Lab.from_file(tmp_path / "lab.yml")
    assert refused.value.line == 3


def test_a_client_does_not_connect_to_another_users_socket(tmp_path, monkeypatch):
    bind(tmp_path / "control.sock")
    monkeypatch.setattr("os.geteuid", lambda: 54321)
    if (tmp_path / "control.sock").lstat().st_uid:
        with pytest.raises(Unavailable, match="belongs to another user"):
            connect(tmp_path)
    (tmp_path / "link").mkdir()
    (tmp_path / "link/control.sock").symlink_to(tmp_path / "control.sock")
    with pytest.raises(Unavailable, match="is a link"):
        connect(tmp_path / "link")
