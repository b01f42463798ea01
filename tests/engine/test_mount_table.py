"""The mount table of containers, the kernel as it is shown, and values that are refused at the start."""

from __future__ import annotations

import pytest

from cnmsim import Lab
from cnmsim.errors import EngineError


def test_the_mount_table_of_a_container_is_that_which_runc_mounts():
    docker = Lab().add_host("node1", "10.0.0.1/24", docker=True).docker

    def table(**options):
        text = docker.containers.run("alpine", "cat /proc/mounts", remove=True, **options).decode()
        return {line.split()[1]: line.split()[2:4] for line in text.splitlines()}

    usual = table(tmpfs={"/run": ""}, volumes={"data": {"bind": "/d", "mode": "ro"}})
    assert list(usual)[:9] == [
        "/", "/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm", "/d",
    ]  # fmt: skip
    assert list(usual)[9:13] == ["/run", "/etc/resolv.conf", "/etc/hostname", "/etc/hosts"]
    assert usual["/sys/fs/cgroup"] == ["cgroup2", "ro,nosuid,nodev,noexec,relatime"]
    assert usual["/run"] == ["tmpfs", "rw,nosuid,nodev,noexec,relatime"]
    assert usual["/sys/firmware"] == ["tmpfs", "ro,relatime"]
    privileged = table(privileged=True)
    assert privileged["/sys"] == ["sysfs", "rw,nosuid,nodev,noexec,relatime"]
    assert "/proc/sys" not in privileged
    assert "/dev/shm" not in table(ipc_mode="none")


def test_the_kernel_is_the_same_wherever_it_is_shown():
    docker = Lab().add_host("node1", "10.0.0.1/24", docker=True).docker
    release = docker.containers.run("alpine", "uname -r", remove=True).decode().strip()
    assert docker.info()["KernelVersion"] == release
    assert f"Linux version {release} " in docker.containers.run("alpine", "cat /proc/version", remove=True).decode()


@pytest.mark.parametrize(
    ("release", "text", "created"),
    [
        ("26.1.5", "shares: invalid argument", 1),
        ("28.5.2", "invalid CPU shares (-1): value must be a positive integer", 0),
        ("29.7.2", "invalid CPU shares (-1): value must be a positive integer", 0),
    ],
)
def test_negative_cpu_shares_are_refused_at_the_start_and_since_28_at_the_create(release, text, created):
    docker = Lab(release).add_host("node1", "10.0.0.1/24", docker=True).docker
    with pytest.raises(EngineError) as caught:
        docker.containers.run("alpine", "true", cpu_shares=-1)
    assert caught.value.message == text
    assert len(docker.containers.list(all=True)) == created


def test_a_short_volume_name_is_refused():
    docker = Lab().add_host("node1", "10.0.0.1/24", docker=True).docker
    with pytest.raises(EngineError, match="create x: volume name is too short, names should be at least two"):
        docker.volumes.create("x")


FULL = "No space left on device"


@pytest.mark.parametrize(
    ("script", "err", "size"),
    [
        ("dd if=/dev/zero of=x bs=256k count=8", f"dd: error writing 'x': {FULL}\n5+0 records in\n4+0 records out\n",
         1 << 20),
        ("cp /big x", f"cp: write error: {FULL}\n", 1 << 20),
        ("cat /big > x", f"cat: write error: {FULL}\n", 1 << 20),
        ("dd if=/dev/zero of=a bs=4k count=255 2> /dev/null; echo 1 > b; echo hello > x",
         f"sh: write error: {FULL}\n", 0),
    ],
)  # fmt: skip
def test_a_full_tmpfs_keeps_what_fits_and_the_programs_report_it_as_busybox_does(script, err, size):
    docker = Lab().add_host("node1", "10.0.0.1/24", docker=True).docker
    container = docker.containers.run("alpine", "sleep 1d", tmpfs={"/t": "size=1m"}, detach=True)
    container.exec_run("dd if=/dev/zero of=/big bs=1k count=2000")
    result = container.exec_run(["sh", "-c", f"cd /t; {script}"], demux=True)
    assert (result.exit_code, result.output[1].decode()) == (1, err)
    assert container.exec_run("stat -c %s /t/x").output == f"{size}\n".encode()
