"""PID namespaces, signals, init and capabilities of containers, as an engine 26.1.5 showed them."""

from __future__ import annotations

from typing import Any

import pytest

from cnmsim import Lab
from cnmsim.engine.client.containers import Container
from cnmsim.errors import EngineError, InvalidParameter, SystemFault


@pytest.fixture
def lab() -> Lab:
    lab = Lab()
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    return lab


def run(lab: Lab, command: str | list[str], **options: Any) -> Container:
    docker = lab.host("node1").docker
    assert docker is not None
    return docker.containers.run(options.pop("image", "alpine"), command, detach=True, **options)


def output(lab: Lab, script: str, **options: Any) -> str:
    container = run(lab, ["sh", "-c", script], **options)
    container.wait()
    logs: bytes = container.logs()
    return logs.decode()


def test_processes_have_ids_of_their_own(lab: Lab) -> None:
    container = run(lab, ["sh", "-c", "sleep 1000; true"])
    assert container.exec("ps -o pid,ppid,user,comm,args").output == (
        "PID   PPID  USER     COMMAND          COMMAND\n"
        "    1     0 root     sh               sh -c sleep 1000; true\n"
        "    7     1 root     sleep            sleep 1000\n"
        "    8     0 root     ps               ps -o pid,ppid,user,comm,args\n"
    )
    assert container.exec(["sh", "-c", "echo $$"]).output == "14\n"
    assert output(lab, "echo $$") == "1\n"


def test_the_last_command_of_sh_replaces_the_shell(lab: Lab) -> None:
    assert output(lab, "true; exec ps -o pid,args") == "PID   COMMAND\n    1 ps -o pid,args\n"
    assert output(lab, "true; ps -o pid,args") == "PID   COMMAND\n    1 ps -o pid,args\n"


def test_docker_top_prints_what_ps_of_the_host_prints(lab: Lab) -> None:
    container = run(lab, ["sh", "-c", "sleep 1000; true"])
    table = container.top()
    assert table["Titles"] == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    (shell, sleep) = table["Processes"]
    assert (shell[0], shell[7], sleep[2], sleep[7]) == ("root", "sh -c sleep 1000; true", shell[1], "sleep 1000")
    assert container.top("-o pid,ppid,comm")["Titles"] == ["PID", "PPID", "COMMAND"]
    assert container.top("aux")["Titles"][1:4] == ["PID", "%CPU", "%MEM"]
    with pytest.raises(SystemFault, match=r'^ps: error: unknown user-defined format specifier "bogus"$'):
        container.top("-o bogus")
    on_host = lab.host("node1").exec("ps -ef").output
    assert shell[1] in on_host
    assert "UID          PID    PPID  C STIME TTY          TIME CMD" in on_host


def test_pid_namespaces_are_joined(lab: Lab) -> None:
    first = run(lab, ["sh", "-c", "sleep 1000; true"], name="first")
    assert output(lab, "ps -o pid,comm; echo $$", pid_mode="container:first").splitlines() == [
        "PID   COMMAND", "    1 sh", "    7 sleep", "    8 sh", "   14 ps", "8",
    ]  # fmt: skip
    assert "dockerd" in output(lab, "ps", pid_mode="host")
    joined = run(lab, "sleep 1000", pid_mode="container:first")
    first.kill()
    assert joined.wait()["StatusCode"] == 137


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"pid_mode": "container:nosuch"}, InvalidParameter, "No such container: nosuch"),
        ({"pid_mode": "bogus"}, InvalidParameter, "invalid PID mode: bogus"),
        ({"ipc_mode": "bogus"}, InvalidParameter, "invalid IPC mode: bogus"),
        ({"ipc_mode": "container:nosuch"}, InvalidParameter, "No such container: nosuch"),
        ({"cap_add": ["BOGUS"]}, InvalidParameter, 'invalid CapAdd: unknown capability: "CAP_BOGUS"'),
        ({"cap_drop": ["bogus"]}, InvalidParameter, 'invalid CapDrop: unknown capability: "CAP_BOGUS"'),
        ({"group_add": ["nosuch"]}, SystemFault, "unable to find group nosuch: no matching entries in group file"),
    ],
    ids=str,
)
def test_modes_capabilities_and_groups_that_do_not_exist_are_refused(
    lab: Lab, options: dict[str, Any], kind: type[EngineError], text: str
) -> None:
    with pytest.raises(kind) as caught:
        run(lab, "true", **options)
    assert caught.value.message == text


def test_namespaces_of_containers_that_do_not_run_or_share_are_refused(lab: Lab) -> None:
    stopped = run(lab, "true", name="stopped")
    stopped.wait()
    with pytest.raises(SystemFault, match=f"^failed to join PID namespace: container {stopped.id} is not running$"):
        run(lab, "true", pid_mode="container:stopped")
    private = run(lab, "sleep 1000", name="private")
    with pytest.raises(
        SystemFault, match=f"^failed to join IPC namespace: container {private.id}: non-shareable IPC"
    ):
        run(lab, "true", ipc_mode="container:private")


def test_init_forwards_signals_and_adopts(lab: Lab) -> None:
    container = run(lab, ["sh", "-c", "trap 'echo bye; exit 3' TERM; while :; do sleep 1; done"], init=True)
    assert container.exec("ps -o pid,args").output.splitlines()[1].startswith("    1 /sbin/docker-init -- sh -c trap")
    container.stop()
    assert container.logs() == b"bye\n"
    assert container.wait()["StatusCode"] == 3


def test_the_first_process_is_protected_from_signals_inside(lab: Lab) -> None:
    assert output(lab, "kill -9 $$; kill $$; echo alive") == "alive\n"


def test_a_container_of_a_stopped_signal_ends_as_the_signal_says(lab: Lab) -> None:
    script = "sleep 5 & kill $!; wait $!; echo $?; sleep 3 & kill -9 $!; wait $!; echo $?"
    assert output(lab, script) == "Terminated\n143\nKilled\n137\n"
    assert run(lab, "sleep 1000", init=True).kill("INT") is None


def test_capabilities_decide_about_ports_and_raw_sockets(lab: Lab) -> None:
    low = {"net.ipv4.ip_unprivileged_port_start": "1024"}
    assert output(lab, "nc -l -p 80 -w 1", sysctls=low, user="1000") == "nc: bind: Permission denied\n"
    assert output(lab, "nc -l -p 80 -w 1", sysctls=low, cap_drop=["NET_BIND_SERVICE"]) == (
        "nc: bind: Permission denied\n"
    )
    assert output(lab, "nc -l -p 80 -w 1", user="1000") == "nc: timed out\n"
    assert output(lab, "ping -c1 127.0.0.1", cap_drop=["NET_RAW"]) == (
        "PING 127.0.0.1 (127.0.0.1): 56 data bytes\nping: permission denied (are you root?)\n"
    )


def test_supplementary_groups_are_added(lab: Lab) -> None:
    assert output(lab, "id -G", user="1000", group_add=["777", "12"]) == "0 12 777\n"


def test_the_host_name_is_that_of_the_host_with_uts_host(lab: Lab) -> None:
    assert output(lab, "hostname", uts_mode="host") == "node1\n"
