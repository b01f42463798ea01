"""Files and pipes of the simulated userland."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.files import File, FileSystem, Pipe
from cnmsim.kernel.task import Task, run_until


def test_what_is_written_is_read() -> None:
    files = FileSystem()
    files.write("/etc/hosts", b"127.0.0.1 localhost\n")
    files.append("/etc/hosts", b"::1 localhost\n")
    assert files.read("/etc/hosts") == b"127.0.0.1 localhost\n::1 localhost\n"


@pytest.mark.parametrize("spelling", ["/a/b", "a/b", "./a/b", "/a/../a/b", "//a//b", "/a/b/"])
def test_every_spelling_of_a_path_names_one_file(spelling: str) -> None:
    files = FileSystem()
    files.put("/a/b", b"x")
    assert files.read(spelling) == b"x"


def test_a_bound_file_is_one_file_in_both_trees() -> None:
    first, second, shared = FileSystem(), FileSystem(), File(b"old")
    first.mount("/etc/hosts", shared)
    second.mount("/etc/hosts", shared)
    first.write("/etc/hosts", b"new")
    assert second.read("/etc/hosts") == b"new"


@pytest.mark.parametrize(
    ("action", "number"),
    [
        (lambda f: f.read("/nowhere"), errno.ENOENT),
        (lambda f: f.read("/dir"), errno.EISDIR),
        (lambda f: f.write("/dir", b""), errno.EISDIR),
        (lambda f: f.write("/dir/file/below", b""), errno.ENOTDIR),
        (lambda f: f.read("/dir/file/below"), errno.ENOTDIR),
        (lambda f: f.mkdir("/dir/file"), errno.EEXIST),
        (lambda f: f.remove("/nowhere"), errno.ENOENT),
        (lambda f: f.remove("/dir"), errno.ENOTEMPTY),
        (lambda f: f.listdir("/nowhere"), errno.ENOENT),
        (lambda f: f.listdir("/dir/file"), errno.ENOTDIR),
    ],
)  # fmt: skip
def test_misuse_fails_as_on_linux_and_changes_nothing(action, number: int) -> None:  # type: ignore[no-untyped-def]
    files = FileSystem()
    files.put("/dir/file", b"content")
    with pytest.raises(OSError) as caught:
        action(files)
    assert caught.value.errno == number
    assert files.read("/dir/file") == b"content"
    assert files.listdir("/dir") == ["file"]


def test_a_removed_file_and_its_empty_directory_are_gone() -> None:
    files = FileSystem()
    files.put("/a/b", b"")
    files.remove("/a/b")
    files.remove("/a")
    assert not files.exists("/a")
    assert "a" not in files.listdir("/")


def test_a_reader_waits_for_the_writer() -> None:
    clock = Clock()
    pipe = Pipe(clock)
    clock.call_later(2, pipe.write, b"late")
    assert run_until(clock, pipe.read()) == b"late"
    assert clock.now == 2


def test_the_end_comes_after_what_was_written() -> None:
    clock = Clock()
    pipe = Pipe(clock)
    pipe.write(b"last")
    pipe.close()
    assert run_until(clock, pipe.read()) == b"last"
    assert run_until(clock, pipe.read()) == b""


def test_writing_where_nobody_reads_breaks_the_pipe() -> None:
    pipe = Pipe(Clock())
    pipe.close_reader()
    with pytest.raises(BrokenPipeError):
        pipe.write(b"x")


def test_callbacks_see_every_write_and_leave_it_to_be_read() -> None:
    pipe = Pipe(Clock())
    seen: list[bytes] = []
    pipe.on_data.append(seen.append)
    pipe.write(b"a")
    pipe.write(b"b")
    assert (seen, pipe.getvalue()) == ([b"a", b"b"], b"ab")


@given(st.lists(st.binary(max_size=20)), st.integers(1, 30))
def test_a_pipe_keeps_the_stream(chunks: list[bytes], size: int) -> None:
    clock = Clock()
    pipe = Pipe(clock)

    async def reader() -> bytes:
        whole = b""
        while data := await pipe.read(size):
            assert len(data) <= size
            whole += data
        return whole

    task = Task(clock, reader())
    for at, chunk in enumerate(chunks):
        clock.call_later(at, pipe.write, chunk)
    clock.call_later(len(chunks), pipe.close)
    clock.run()
    assert task.result() == b"".join(chunks)
