"""Volumes, host paths and tmpfs in containers: what they hold, how long it lasts, and what cannot be mounted."""

from __future__ import annotations

import pytest
from support.engine_lab import new_engine

from cnmsim.engine.client.model import query_of
from cnmsim.engine.volumes.binds import is_valid_mode, parse_bind
from cnmsim.engine.volumes.mounting import parse_tmpfs
from cnmsim.errors import EngineError, InvalidParameter, NotFound
from cnmsim.libnetwork.profile import profile


@pytest.fixture
def engine():
    return new_engine()


def run(engine, *command, **options):
    return engine.containers.run("alpine", list(command), **options)


def test_a_volume_outlives_its_containers_and_is_a_directory_of_the_host(engine):
    run(engine, "touch", "/data/x", volumes=["v1:/data"], remove=True)
    assert engine.machine.files.listdir("/var/lib/docker/volumes/v1/_data") == ["x"]
    engine.machine.files.write("/var/lib/docker/volumes/v1/_data/x", b"from the host")
    assert run(engine, "cat", "/d/x", volumes=["v1:/d"], remove=True) == b"from the host"
    engine.volumes.get("v1").remove()
    assert not engine.machine.files.exists("/var/lib/docker/volumes/v1")


def test_a_volume_that_the_user_created_is_not_removed_with_a_container(engine):
    volume = engine.volumes.create()
    run(engine, "touch", "/d/x", volumes=[f"{volume.name}:/d"], remove=True)
    assert [each.name for each in engine.volumes.list()] == [volume.name]


def test_an_anonymous_volume_goes_with_its_container(engine):
    container = run(engine, "sleep", "1d", volumes=["/data"], detach=True)
    assert len(engine.volumes.list()) == 1
    container.remove(force=True, v=True)
    assert engine.volumes.list() == []


def test_an_empty_volume_gets_the_files_of_the_image(engine):
    page = ["cat", "/usr/share/nginx/html/index.html"]
    assert b"Welcome" in engine.containers.run("nginx", page, volumes=["site:/usr/share/nginx"], remove=True)
    assert engine.machine.files.exists("/var/lib/docker/volumes/site/_data/html/index.html")
    engine.containers.run("nginx", "true", volumes=["bare:/usr/share/nginx:nocopy"], remove=True)
    assert engine.machine.files.listdir("/var/lib/docker/volumes/bare/_data") == []


def test_two_containers_share_a_volume_while_they_run(engine):
    first = run(engine, "sleep", "1d", volumes=["vv:/a"], detach=True)
    second = run(engine, "sleep", "1d", volumes_from=[first.id], detach=True)
    first.record.files.write("/a/x", b"1")
    assert second.record.files.read("/a/x") == b"1"


def test_a_missing_host_path_is_created_for_binds_and_refused_for_mounts(engine):
    run(engine, "touch", "/d/x", volumes=["/srv/new:/d"], remove=True)
    assert engine.machine.files.listdir("/srv/new") == ["x"]
    body = {"Image": "alpine", "HostConfig": {"Mounts": [{"Type": "bind", "Source": "/none", "Target": "/d"}]}}
    with pytest.raises(InvalidParameter, match="bind source path does not exist: /none"):
        engine.rest.containers.create(body)
    assert not engine.machine.files.exists("/none")


def test_what_is_mounted_on_the_host_is_mounted_in_the_container_too(engine):
    value = run(engine, "cat", "/host/proc/sys/net/ipv4/ip_forward", volumes=["/:/host:ro"], remove=True)
    assert value == engine.machine.files.read("/proc/sys/net/ipv4/ip_forward")


def test_read_only_mounts_and_file_systems_refuse_changes(engine):
    container = run(engine, "sleep", "1d", volumes=["vv:/d:ro", "ww:/e"], read_only=True, detach=True)
    files = container.record.files
    for path in ("/d/x", "/x", "/etc/hosts"):
        with pytest.raises(OSError, match="Read-only file system"):
            files.write(path, b"")
    files.write("/e/x", b"")


def test_a_tmpfs_is_empty_after_a_restart_and_has_its_size(engine):
    container = run(engine, "sleep", "1d", tmpfs={"/t": "size=4k"}, detach=True)
    container.record.files.write("/t/x", bytes(4096))
    with pytest.raises(OSError, match="No space left on device"):
        container.record.files.write("/t/y", b"1")
    container.restart(timeout=0)
    assert container.record.files.listdir("/t") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("v:/d:bogus", "invalid mode: bogus"),
        ("v:/d:ro,rw", "invalid mode: ro,rw"),
        ("", "invalid volume specification: ''"),
        ("a:b:c:d", "invalid volume specification: 'a:b:c:d'"),
        ("/d:ro", "invalid volume specification: '/d:ro'"),
    ],
)
def test_a_bind_that_cannot_be_parsed_is_refused(text, message):
    with pytest.raises(InvalidParameter) as caught:
        parse_bind(text)
    assert caught.value.message == message


def test_modes_have_one_word_of_each_kind():
    assert all(map(is_valid_mode, ("", "ro", "rw,z,rslave,cached", "Z,nocopy")))
    assert not any(map(is_valid_mode, ("z,Z", "ro,ro", "x", "ro,")))


@pytest.mark.parametrize(
    ("version", "text", "message"),
    [
        ("28.5.2", "bogus,size=1", 'invalid tmpfs option ["bogus"]'),
        ("28.5.2", "bogus=1", 'invalid tmpfs option ["bogus" "1"]'),
        ("29.7.2", "bogus=1", 'invalid tmpfs option "bogus"'),
        ("29.7.2", "first,second", 'invalid tmpfs option "second"'),
        ("29.7.2", "size=1,", 'invalid tmpfs option ""'),
    ],
)
def test_the_last_unknown_option_of_a_tmpfs_is_refused(version, text, message):
    with pytest.raises(InvalidParameter) as caught:
        parse_tmpfs(profile(version), text)
    assert caught.value.message == message


def test_of_the_same_option_of_a_tmpfs_the_last_one_counts():
    assert parse_tmpfs(profile(), "size=8k,size=4k").limit == 4096


def test_tmpfs_options_are_read_as_the_kernel_reads_them():
    options = parse_tmpfs(profile(), "size=5000,mode=700,ro")
    assert (options.limit, options.mode, options.is_read_only) == (8192, 0o700, True)
    with pytest.raises(InvalidParameter, match='invalid tmpfs option "bogus"'):
        parse_tmpfs(profile(), "bogus")


@pytest.mark.parametrize(
    ("size", "limit"),
    [
        ("0", 0), ("1", 4096), ("4096", 4096), ("4097", 8192), ("1k", 4096), ("8k", 8192), ("64m", 64 << 20),
        ("64M", 64 << 20), ("1g", 1 << 30), ("2G", 2 << 30), ("50%", 0),
    ],
)  # fmt: skip
def test_the_size_of_a_tmpfs_is_counted_in_pages(size, limit):
    # Linux mm/shmem.c shmem_parse_one: memparse, then DIV_ROUND_UP(size, PAGE_SIZE)
    options = parse_tmpfs(profile(), f"size={size}")
    assert options.limit == limit
    shown = [word for word in options.text.split(",") if word.startswith("size=")]
    assert shown == ([f"size={limit >> 10}k"] if limit else [])


def test_a_tmpfs_belongs_to_root_and_everybody_may_write_unless_told_otherwise():
    plain, own = parse_tmpfs(profile(), ""), parse_tmpfs(profile(), "uid=7,gid=8,mode=0750,rw,exec")
    assert (plain.mode, plain.uid, plain.gid, plain.is_read_only) == (0o1777, 0, 0, False)
    assert (own.mode, own.uid, own.gid, own.is_read_only) == (0o750, 7, 8, False)


def test_a_failed_creation_leaves_no_volume(engine):
    with pytest.raises(EngineError, match="is not directory"):
        run(engine, "true", volumes=["v1:/etc/passwd"])
    assert engine.volumes.list() == []
    assert engine.containers.list(all=True) == []


def test_limits_show_in_the_control_group(engine):
    body = {"Image": "alpine", "Cmd": ["sleep", "1d"], "HostConfig": {
        "Memory": 64 << 20, "NanoCpus": 1_500_000_000, "PidsLimit": 50,
    }}  # fmt: skip
    engine.rest.containers.create(body, query_of(name="c1"))
    container = engine.containers.get("c1")
    container.start()
    names = ("memory.max", "memory.swap.max", "cpu.max", "pids.max", "pids.current")
    values = [container.record.files.read(f"/sys/fs/cgroup/{name}") for name in names]
    assert values == [b"67108864\n", b"67108864\n", b"150000 100000\n", b"50\n", b"1\n"]
    stats = engine.rest.containers.stats("c1")
    assert (stats["memory_stats"]["limit"], stats["pids_stats"]) == (64 << 20, {"current": 1, "limit": 50})


def test_statistics_say_what_precedes_them_and_end_with_the_container(engine):
    container = run(engine, "sleep", "1d", name="c1", detach=True)
    first, later = (engine.rest.containers.stats("c1", has_previous=value) for value in (False, True))
    assert (first["preread"], "system_cpu_usage" in first["precpu_stats"]) == ("0001-01-01T00:00:00Z", False)
    assert later["preread"] != first["preread"]
    container.stop(timeout=0)
    assert engine.rest.containers.stats("c1")["read"] == "0001-01-01T00:00:00Z"


def test_pruning_with_until_keeps_younger_images(engine):
    engine.images.pull("alpine")
    filters = {"dangling": ["false"], "until": ["24h"]}
    engine.images.prune(filters)
    assert ["alpine:latest"] in [image.tags for image in engine.images.list()]
    engine.clock.run_for(10 * 365 * 86400)
    engine.images.prune(filters)
    assert engine.images.list() == []
    with pytest.raises(NotFound, match="No such image: alpine:latest"):
        engine.rest.containers.create({"Image": "alpine"})
    engine.images.pull("alpine")
    engine.rest.containers.create({"Image": "alpine"})
