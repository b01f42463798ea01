"""Limits of containers hold, and what they use shows in docker stats and /sys/fs/cgroup."""

import pytest

from cnmsim import Lab

LOOP = ["sh", "-c", "yes > /dev/null"]


@pytest.fixture
def docker():
    return Lab("26").add_host("node1", "10.0.0.15/24", docker=True).docker


def run(docker, command, **options):
    return docker.containers.run("busybox", command, name="c1", detach=True, **options)


def read(container, name):
    return container.exec_run(["cat", f"/sys/fs/cgroup/{name}"]).output.decode()


def cpu_share(reading):
    now, before = reading["cpu_stats"], reading["precpu_stats"]
    used = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    return used / (now["system_cpu_usage"] - before["system_cpu_usage"]) * now["online_cpus"]


def test_a_fork_beyond_pids_limit_fails_as_ash_says(docker):
    script = "for i in 1 2 3 4 5; do sleep 100 & done; echo never"
    container = run(docker, ["sh", "-c", script], pids_limit=3)
    assert container.wait()["StatusCode"] == 2
    assert container.logs() == b"sh: can't fork: Resource temporarily unavailable\n"


def test_the_counters_of_processes_show_limit_and_refusals(docker):
    container = run(docker, ["sh", "-c", "sleep 1000 & sleep 1000"], pids_limit=3)
    assert (read(container, "pids.max"), read(container, "pids.current")) == ("3\n", "3\n")
    assert container.stats(stream=False)["pids_stats"] == {"current": 2, "limit": 3}
    assert container.exec_run(["sh", "-c", "sleep 1; echo"]).exit_code == 2
    assert read(container, "pids.events") == "max 1\n"


def test_a_busy_loop_uses_one_processor_and_an_idle_program_none(docker):
    busy = run(docker, LOOP)
    idle = docker.containers.run("busybox", ["sleep", "1000"], detach=True)
    busy.exec_run(["sleep", "1.1"])
    assert cpu_share(busy.stats(stream=False)) == pytest.approx(1, abs=0.05)
    assert cpu_share(idle.stats(stream=False)) < 0.01
    assert int(read(busy, "cpu.stat").split()[1]) > 1_000_000


def test_a_limit_of_processors_throttles_a_busy_loop(docker):
    busy = run(docker, LOOP, nano_cpus=500_000_000)
    busy.exec_run(["sleep", "1.1"])
    reading = busy.stats(stream=False)
    assert cpu_share(reading) == pytest.approx(0.5, abs=0.05)
    assert reading["cpu_stats"]["throttling_data"]["throttled_time"] > 5e8


def test_memory_depends_on_the_processes_and_the_tmpfs(docker):
    container = run(docker, ["sleep", "1000"], tmpfs={"/scratch": ""}, mem_limit="64m")
    before = container.stats(stream=False)["memory_stats"]
    assert before["limit"] == 64 << 20 and 0 < before["usage"] < 10 << 20
    container.exec_run(["dd", "if=/dev/zero", "of=/scratch/x", "bs=1M", "count=20"])
    after = container.stats(stream=False)["memory_stats"]
    assert after["usage"] == before["usage"] + (20 << 20) and after["stats"]["shmem"] == 20 << 20
    assert int(read(container, "memory.current")) >= after["usage"]


@pytest.mark.parametrize(
    "command",
    [["tail", "/dev/zero"], ["dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"],
     ["dd", "if=/dev/zero", "of=/scratch/x", "bs=1M", "count=40"]],
    ids=["line without end", "buffer", "tmpfs"],
)  # fmt: skip
def test_the_kernel_kills_a_container_that_exceeds_its_memory(docker, command):
    container = run(docker, command, mem_limit="32m", tmpfs={"/scratch": ""})
    assert container.wait()["StatusCode"] == 137
    container.reload()
    assert container.attrs["State"]["OOMKilled"] is True
    container.start()


def test_a_large_program_starts_under_a_small_limit(docker):
    container = docker.containers.run("mysql:8", name="db", detach=True, mem_limit="64m")
    container.reload()
    assert container.status == "running"
    assert 32 << 20 < container.stats(stream=False)["memory_stats"]["usage"] < 64 << 20


@pytest.mark.parametrize(
    "command, text",
    [
        ("touch /proc/x", "touch: /proc/x: No such file or directory\n"),
        ("mkdir /proc/x", "mkdir: can't create directory '/proc/x': No such file or directory\n"),
        ("rm /proc/version", "rm: can't remove '/proc/version': Operation not permitted\n"),
        ("rm /sys/fs/cgroup/pids.max", "rm: can't remove '/sys/fs/cgroup/pids.max': Operation not permitted\n"),
        ("touch /sys/fs/cgroup/x", "touch: /sys/fs/cgroup/x: Permission denied\n"),
    ],
)
def test_nobody_adds_or_removes_a_file_of_the_kernel(docker, command, text):
    """Linux 6.12, as root; kernfs has no `create` and neither file system an `unlink`."""
    result = run(docker, ["sleep", "1d"], privileged=True).exec_run(command)
    assert (result.exit_code, result.output.decode()) == (1, text)
