"""Directories, links, mounts and layers of file systems."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.files import Directory, File, FileSystem
from cnmsim.kernel.inode import LayeredDirectory


def test_a_file_needs_its_directory() -> None:
    with pytest.raises(FileNotFoundError):
        FileSystem().write("/nope/deep/x", b"")


def test_links_are_followed_and_loops_are_refused() -> None:
    files = FileSystem()
    files.put("/a/b/file", b"x")
    files.symlink("a/b", "/link")
    files.symlink("../b/file", "/a/b/other")
    files.symlink("/loop", "/loop")
    assert files.read("/link/other") == b"x"
    assert files.realpath("/link/../b/file") == "/a/b/file"
    with pytest.raises(OSError) as caught:
        files.read("/loop")
    assert caught.value.errno == errno.ELOOP


def test_files_carry_the_time_of_the_lab() -> None:
    clock = Clock()
    files = FileSystem(clock=clock)
    clock.run_for(5)
    files.write("/etc/x", b"")
    assert files.inode("/etc/x").mtime_ns == (clock.epoch_s + 5) * 10**9


def test_a_mounted_tree_hides_what_is_below_and_unmounting_shows_it() -> None:
    files, tree = FileSystem(), Directory(entries={"new": File(b"1")})
    files.put("/data/old", b"0")
    files.mount("/data", tree)
    assert files.listdir("/data") == ["new"]
    with pytest.raises(OSError) as caught:
        files.remove("/data")
    assert caught.value.errno == errno.EBUSY
    files.unmount("/data")
    assert files.listdir("/data") == ["old"]


def test_renaming_between_mounts_is_refused() -> None:
    files = FileSystem()
    files.write("/etc/x", b"")
    files.mount("/m", Directory())
    with pytest.raises(OSError) as caught:
        files.rename("/etc/x", "/m/x")
    assert caught.value.errno == errno.EXDEV


_PATHS = st.sampled_from(["/etc/a", "/etc/b", "/opt/a", "/opt/d/a", "/opt/d", "/new", "/new/x"])
_CHANGES = st.lists(st.tuples(st.sampled_from(["put", "remove", "mkdir", "chmod"]), _PATHS), max_size=12)


@given(_CHANGES)
def test_a_layer_never_changes_its_lower_directory_and_its_changes_rebuild_it(changes) -> None:  # type: ignore[no-untyped-def]
    lower = FileSystem()
    for path in ("/etc/a", "/opt/d/a", "/opt/d/b"):
        lower.put(path, b"lower")
    before = {path: (type(inode), inode.mode) for path, inode in lower.root.walk()}
    upper = FileSystem(LayeredDirectory.over(lower.root))
    for action, path in changes:
        try:
            if action == "put":
                upper.put(path, b"upper")
            elif action == "remove":
                upper.remove_tree(path)
            elif action == "mkdir":
                upper.makedirs(path)
            else:
                upper.change(path, mode=0o700)
        except OSError:
            continue
    assert {path: (type(inode), inode.mode) for path, inode in lower.root.walk()} == before
    assert lower.read("/etc/a") == b"lower"
    rebuilt = {path for path, _ in lower.root.walk()}
    assert isinstance(upper.root, LayeredDirectory)
    for path, inode, below in upper.root.changes():
        if inode is None:
            rebuilt -= {each for each in rebuilt if each == path or each.startswith(f"{path}/")}
        elif not (isinstance(inode, LayeredDirectory) and below is not None):
            rebuilt -= {each for each in rebuilt if each.startswith(f"{path}/")}
            rebuilt.add(path)
    assert rebuilt == {path for path, _ in upper.root.walk()}


@given(_CHANGES)
def test_a_layer_shows_what_a_file_system_of_its_own_would(changes) -> None:  # type: ignore[no-untyped-def]
    plain, lower = FileSystem(), FileSystem()
    for path in ("/etc/a", "/opt/d/a", "/opt/d/b"):
        plain.put(path, b"lower")
        lower.put(path, b"lower")
    layered = FileSystem(LayeredDirectory.over(lower.root))
    actions = {
        "put": lambda files, path: files.put(path, b"upper"), "remove": FileSystem.remove_tree,
        "mkdir": FileSystem.makedirs, "chmod": lambda files, path: files.change(path, mode=0o700),
    }  # fmt: skip
    for action, path in changes:
        outcomes = []
        for files in (plain, layered):
            try:
                outcomes.append(actions[action](files, path))
            except OSError as error:
                outcomes.append(error.errno)
            outcomes.append([(name, inode.mode, getattr(inode, "content", b"")) for name, inode in files.root.walk()])
        assert outcomes[:2] == outcomes[2:]


def test_a_directory_changes_when_an_entry_is_added_replaced_renamed_or_removed() -> None:
    clock = Clock()
    files = FileSystem(clock=clock)
    files.mkdir("/d")
    changes = (
        lambda: files.add("/d/x", File(b"")), lambda: files.add("/d/x", File(b"1")), lambda: files.write("/d/y", b""),
        lambda: files.symlink("x", "/d/z"), lambda: files.rename("/d/y", "/d/v"), lambda: files.mkdir("/d/e"),
        lambda: files.remove("/d/v"),
    )  # fmt: skip
    for number, change in enumerate(changes, 1):
        clock.run_for(1)
        change()
        assert files.inode("/d").mtime_ns == (clock.epoch_s + number) * 10**9
    clock.run_for(1)
    files.write("/d/x", b"12")  # changes the file only
    assert files.inode("/d").mtime_ns == (clock.epoch_s + 7) * 10**9
