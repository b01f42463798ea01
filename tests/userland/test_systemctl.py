"""systemctl and the service docker.service: a restart of dockerd, and the options it reads again."""

import pytest

from cnmsim import Lab


@pytest.fixture
def lab():
    lab = Lab()
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    return lab


def test_a_restart_ends_containers_and_starts_those_with_a_policy(lab):
    host = lab.host("node1")
    run = host.docker.containers.run
    run("alpine", "sleep 1d", name="keep", detach=True, restart_policy={"Name": "unless-stopped"}, init=True)
    run("alpine", ["sh", "-c", "trap 'exit 3' TERM; sleep 1d & wait"], name="gone", detach=True)
    lab.run(1)
    assert host.exec("systemctl restart docker").status == 0
    lab.run(1)
    states = {
        each.name: (each.status, each.attrs["State"]["ExitCode"]) for each in host.docker.containers.list(all=True)
    }
    assert states == {"keep": ("running", 0), "gone": ("exited", 3)}
    assert host.exec("journalctl -u docker -o cat").output.count('msg="Starting up"') == 2


def test_a_restart_reads_daemon_json(lab):
    host = lab.host("node1")
    host.machine.files.write("/etc/docker/daemon.json", b'{"debug": true, "log-driver": "local", "mtu": 1400}')
    assert host.exec("systemctl restart docker.service").status == 0
    info = host.docker.info()
    assert (info["Debug"], info["LoggingDriver"]) == (True, "local")
    assert "mtu changes only with a new lab" in host.exec("journalctl -u docker -o cat").output
    for wrong in (b"{", b"[]", b'{"nosuch": 1}', b'{"log-level": "x"}', b'{"log-opts": {"nosuch": "1"}}'):
        host.machine.files.write("/etc/docker/daemon.json", wrong)
        result = host.exec("systemctl restart docker")
        assert (result.status, result.output.splitlines()[0]) == (
            1,
            "Job for docker.service failed because the control process exited with error code.",
        )
        assert host.docker.info()["LoggingDriver"] == "local"


def test_a_manager_with_autolock_is_locked_after_a_restart(lab):
    host = lab.host("node1")
    docker = host.docker
    docker.swarm.init(advertise_addr="10.0.0.15", autolock_managers=True)
    key = docker.swarm.get_unlock_key()
    host.exec("systemctl restart docker")
    lab.run(2)
    assert docker.info()["Swarm"]["LocalNodeState"] == "locked"
    docker.swarm.unlock(key)
    lab.run(2)
    assert docker.info()["Swarm"]["LocalNodeState"] == "active"


def test_status_shows_the_process_and_the_last_messages(lab):
    lab.run(75)
    lines = lab.host("node1").exec("systemctl status docker").output.splitlines()
    assert lines[0] == "● docker.service - Docker Application Container Engine"
    assert lines[2] == "     Active: active (running) since Thu 2026-01-01 00:00:00 UTC; 1min 15s ago"
    assert lines[-1].endswith('msg="API listen on /run/docker.sock"')
    assert lab.host("node1").exec("systemctl is-active docker").output == "active\n"


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        ("status nosuch", 4, "Unit nosuch.service could not be found.\n"),
        ("restart nosuch", 5, "Failed to restart nosuch.service: Unit nosuch.service not found.\n"),
        ("is-active nosuch", 4, "inactive\n"),
        ("nosuch docker", 1, "Unknown command verb 'nosuch'.\n"),
        ("stop docker", 1, "systemctl: stop is not simulated\n"),
        ("restart", 1, "Too few arguments.\n"),
    ],
)
def test_wrong_calls_are_answered(lab, arguments, status, text):
    result = lab.host("node1").exec(f"systemctl {arguments}")
    assert (result.status, result.output) == (status, text)
