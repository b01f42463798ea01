"""`cnmsim serve` and `cnmsim sh`, as a shell runs them."""

import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from support.patience import PATIENCE_S, until_ready
from support.served_process import started

LAB = """
hosts:
  node1: {addresses: [10.0.0.15/24], docker: true}
  client: {addresses: [10.0.0.50/24]}
"""


def cnmsim(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "cnmsim", *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        **options,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("lab")
    (place / "lab.yml").write_text(LAB)
    command = [
        sys.executable,
        "-m",
        "cnmsim",
        "serve",
        str(place / "lab.yml"),
        "--dir",
        str(place / "d"),
        "--clock",
        "paused",
    ]
    with started(command, stdout=subprocess.PIPE) as process:
        until_ready(place / "d", process)
        yield place / "d"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    assert not (place / "d/ready").exists()
    assert not (place / "d/node1/docker.sock").exists()


def test_sockets_are_their_owners_alone(folder):
    for name in ("node1/docker.sock", "control.sock"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_a_second_server_of_the_folder_is_refused_and_the_first_goes_on(folder):
    done = cnmsim("serve", str(folder.parent / "lab.yml"), "--dir", str(folder))
    text = f"cnmsim: {folder}: another server uses this folder; end it, or choose another folder\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", text)
    assert (folder / "ready").exists()
    done = cnmsim("sh", "--dir", str(folder), "client", "--", "hostname", stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (0, "client\n")


def test_only_docker_hosts_have_an_engine(folder):
    assert not (folder / "client").exists()


def test_status_and_output_are_the_programs(folder):
    done = cnmsim(
        "sh", "--dir", str(folder), "client", "--", "ping", "-c", "1", "10.0.0.15", stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0
    assert "1 packets transmitted, 1 received" in done.stdout
    failed = cnmsim(
        "sh", "--dir", str(folder), "client", "--", "ip", "link", "show", "eth7", stdin=subprocess.DEVNULL
    )
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "does not exist" in failed.stderr


def test_input_reaches_the_program(folder):
    done = cnmsim("sh", "--dir", str(folder), "client", "--", "cat", input="one\ntwo\n")
    assert (done.returncode, done.stdout) == (0, "one\ntwo\n")


def test_an_unknown_program_is_127(folder):
    done = cnmsim("sh", "--dir", str(folder), "client", "--", "nosuch", stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (127, "sh: nosuch: not found\n")


def test_alone_it_opens_the_users_shell_with_the_hosts_programs(folder):
    environment = {**os.environ, "SHELL": "/bin/sh", "PYTHONPATH": str(Path.cwd())}
    done = cnmsim(
        "sh", "--dir", str(folder), "client", input="ping -c 1 10.0.0.15 | grep -c received\n", env=environment
    )
    assert done.stdout == "1\n"


def test_where_no_lab_is_served_it_says_so(tmp_path):
    done = cnmsim("sh", "--dir", str(tmp_path), "client", "--", "true", stdin=subprocess.DEVNULL)
    assert done.returncode == 125
    assert "no lab is served here" in done.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--tcp", "127.0.0.1:99999"], "127.0.0.1:99999: write [NODE=]ADDRESS:PORT, with a port from 0 to 65535"),
        (["--tcp", "0.0.0.0:0"], "refusing to listen on 0.0.0.0 without TLS"),
        (["--tlsverify"], "--tlsverify needs --tlscacert, --tlscert and --tlskey"),
        (["--engine", "1.2.3"], "no engine release 1.2.3"),
    ],
)
def test_what_cannot_be_served_is_refused(tmp_path, words, text):
    (tmp_path / "lab.yml").write_text(LAB)
    done = cnmsim("serve", str(tmp_path / "lab.yml"), "--dir", str(tmp_path / "d"), *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert text in done.stderr


def test_offline_images_lets_nothing_be_pulled(tmp_path):
    (tmp_path / "lab.yml").write_text(LAB)
    command = [sys.executable, "-m", "cnmsim", "serve", str(tmp_path / "lab.yml"), "--dir", str(tmp_path / "d")]
    with started([*command, "--clock", "paused", "--offline-images"], stdout=subprocess.PIPE) as process:
        until_ready(tmp_path / "d", process)
        client = http.client.HTTPConnection("docker")
        client.sock = socket.socket(socket.AF_UNIX)
        client.sock.connect(str(tmp_path / "d/node1/docker.sock"))
        client.request("POST", "/images/create?fromImage=redis&tag=7")
        answer = client.getresponse()
        assert answer.status == 500
        assert b"no such host" in answer.read()
        client.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0


def test_trace_asks_the_served_lab_as_it_is_now(folder):
    refused = cnmsim("trace", "--dir", str(folder), "client", "node1:8125")
    assert refused.returncode == 1
    assert refused.stdout.startswith("no, refused: client → node1:8125 (tcp)\n")
    listener = cnmsim("sh", "--dir", str(folder), "node1", "--", "sh", "-c", "httpd -f -p 8125 -h /tmp &")
    assert listener.returncode == 0, listener.stderr
    reached = cnmsim("trace", "--dir", str(folder), "client", "node1:8125", "--json")
    assert reached.returncode == 0
    assert json.loads(reached.stdout)["verdict"] == "answered"
    assert cnmsim("trace", "--dir", str(folder), "nobody", "node1").returncode == 2
    assert "no lab is served here" in cnmsim("trace", "--dir", str(folder.parent / "none"), "a", "b").stderr
