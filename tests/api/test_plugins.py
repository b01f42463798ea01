"""Plugin processes that know nothing of cnmsim: the worked example beside `cnmsim serve`, asked for by the docker
command."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.patience import PATIENCE_S, until_ready, until_there
from support.served_process import started

from cnmsim import Lab
from cnmsim.libnetwork.plugins import PluginPolicy
from cnmsim.testing.snapshot import Snapshot

ROOT = Path(__file__).resolve().parents[2]
WIRE = ROOT / "examples/plugins/wire.py"
FAULTY = ROOT / "tests/libnetwork/plugins/faulty.py"
LAB = """
plugin-dirs: [plugins]
images: hub
hosts:
  node1: {addresses: [10.0.0.15/24], docker: true}
"""

pytestmark = pytest.mark.skipif(shutil.which("docker") is None, reason="needs the docker command")


@contextlib.contextmanager
def plugin_process(script, directory, socket, host="node1"):
    command = [sys.executable, "-m", "cnmsim", "sh", "--dir", str(directory), "--own", host, "--"]
    with started([*command, sys.executable, str(script), str(socket)]) as process:
        until_there(socket, process)
        yield process
        process.terminate()  # which ends the plugin, too
        process.wait(PATIENCE_S)


def docker(socket, *words, succeeds=True):
    done = subprocess.run(
        ["docker", *words],
        env={**os.environ, "DOCKER_HOST": f"unix://{socket}"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode == 0) == succeeds, done.stderr
    return done.stdout if succeeds else done.stderr.strip()


def test_an_unmodified_plugin_serves_a_network_and_a_pool_to_the_docker_command(tmp_path):
    (tmp_path / "lab.yml").write_text(LAB)
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    place = tmp_path / "d"
    command = [
        sys.executable,
        "-m",
        "cnmsim",
        "serve",
        str(tmp_path / "lab.yml"),
        "--dir",
        str(place),
        "--clock",
        "paused",
    ]
    with started([*command, "--plugin-wait", "0"], stdout=subprocess.PIPE) as served:
        until_ready(place, served)
        node1 = place / "node1/docker.sock"
        assert docker(node1, "network", "create", "-d", "wire", "fabric", succeeds=False) == (
            'Error response from daemon: plugin "wire" not found'
        )
        with plugin_process(WIRE, place, plugins / "wire.sock"):
            docker(node1, "network", "create", "-d", "wire", "--ipam-driver", "wire", "fabric")
            assert json.loads(docker(node1, "info", "--format", "{{json .Plugins.Network}}"))[-1] == "wire"
            view = json.loads(docker(node1, "network", "inspect", "fabric"))[0]
            assert (view["Driver"], view["IPAM"]["Driver"]) == ("wire", "wire")
            assert view["IPAM"]["Config"] == [{"Subnet": "10.77.0.0/24", "Gateway": "10.77.0.1"}]
            docker(node1, "run", "-d", "--name", "web", "--network", "fabric", "nginx")
            page = docker(node1, "run", "--rm", "--network", "fabric", "alpine", "wget", "-qO-", "http://web/")
            assert "Welcome to nginx!" in page
            shown = docker(node1, "exec", "web", "ip", "-4", "addr", "show", "wire0")
            assert "inet 10.77.0.2/24" in shown
            seen = subprocess.run(
                [sys.executable, "-m", "cnmsim", "sh", "--dir", str(place), "node1", "--", "ip", "link"],
                capture_output=True, text=True, timeout=PATIENCE_S, check=True, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            assert "master wr-" in seen.stdout
            docker(node1, "rm", "-f", "web")
            docker(node1, "network", "rm", "fabric")
        assert docker(node1, "network", "create", "-d", "wire", "fabric", succeeds=False) == (
            'Error response from daemon: Post "http://plugin.moby.localhost/NetworkDriver.CreateNetwork": '
            f"dial unix {plugins}/wire.sock: connect: connection refused"
        )
        served.send_signal(signal.SIGTERM)
        assert served.wait(PATIENCE_S) == 0
    assert not (place / "control.sock").exists()


@pytest.mark.parametrize(
    "method",
    [
        "IpamDriver.RequestPool",
        "IpamDriver.RequestAddress",
        "NetworkDriver.CreateNetwork",
        "NetworkDriver.CreateEndpoint",
        "NetworkDriver.Join",
    ],
)
def test_a_plugin_that_dies_in_the_middle_of_a_call_leaves_nothing_half_made(tmp_path, method):
    lab = Lab(plugin_dirs=[tmp_path], plugin_policy=PluginPolicy(give_up_s=0))
    host = lab.add_host("node1", "10.0.0.15/24", docker=True)
    with lab.serve() as sockets:
        node1 = sockets["node1"]
        is_of_network = method in {
            "IpamDriver.RequestPool",
            "IpamDriver.RequestAddress",
            "NetworkDriver.CreateNetwork",
        }
        with plugin_process(FAULTY, sockets.directory, tmp_path / "wire.sock") as plugin:
            if not is_of_network:
                docker(node1, "network", "create", "-d", "wire", "--ipam-driver", "wire", "fabric")
            before = sockets.call(Snapshot.of, host)
            (tmp_path / "faults.json").write_text(json.dumps({method: {"die": True}}))
            if is_of_network:
                words = ["network", "create", "-d", "wire", "--ipam-driver", "wire", "fabric"]
            else:
                words = ["run", "-d", "--name", "web", "--network", "fabric", "nginx"]
            said = docker(node1, *words, succeeds=False)
            assert f'Post "http://plugin.moby.localhost/{method}": EOF' in said
            assert plugin.wait(PATIENCE_S) != 0
        if not is_of_network:
            docker(node1, "rm", "-f", "web")
        changes = before.difference(sockets.call(Snapshot.of, host))
        # What the plugin itself had made is its own: nobody else knows of it.
        assert [change for change in changes if " wn" not in change and " wf" not in change] == []
