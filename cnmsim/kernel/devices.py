"""The devices of /dev that every container and host has (null, zero, full, random, urandom, tty, and the links)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from cnmsim.kernel.errno_text import message
from cnmsim.kernel.inode import Directory, File, Inode, Symlink

if TYPE_CHECKING:
    from cnmsim.kernel.clock import Clock
    from cnmsim.kernel.files import FileSystem

#: The most that one read of an endless device returns, in bytes: the capacity of a pipe.
_READ = 65536
_SHM_SIZE = 64 << 20


class Device(File):
    """A character device. `major` and `minor` are its numbers.

    Subclasses define the result of reading and writing.
    """

    mtime_ns = 0

    def __init__(self, major: int, minor: int) -> None:
        self.major, self.minor = major, minor
        self.mode, self.uid, self.gid = 0o666, 0, 0

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes read from the device. The base class, as /dev/null, returns b""."""
        del size
        return b""

    def write(self, data: bytes) -> None:
        """Accept and discard the data."""

    @property
    def content(self) -> bytes:
        """The bytes that one read of the default buffer size returns."""
        return self.read(_READ)

    @content.setter
    def content(self, written: bytes) -> None:
        self.write(written)


class _Zero(Device):
    def read(self, size: int) -> bytes:
        """Return `size` zero bytes."""
        return bytes(size)


class _Full(_Zero):
    def write(self, data: bytes) -> None:
        """Raise `OSError` (ENOSPC) for any data."""
        if data.strip(b"\0"):
            raise OSError(errno.ENOSPC, message(errno.ENOSPC))


class _Random(Device):
    """Random bytes from the lab's seeded stream."""

    def __init__(self, minor: int, clock: Clock) -> None:
        super().__init__(1, minor)
        self._clock = clock

    def read(self, size: int) -> bytes:
        """Return `size` random bytes."""
        return self._clock.stream("/dev/urandom").randbytes(size)


def mount(files: FileSystem, clock: Clock, *, shm_size: int = _SHM_SIZE) -> None:
    """Mount a tmpfs with the devices at /dev, and one of `shm_size` bytes for shared memory at /dev/shm.

    With a `shm_size` of 0 there is no shared memory.
    """
    devices: dict[str, Inode | None] = {
        "full": _Full(1, 7), "null": Device(1, 3), "random": _Random(8, clock), "tty": Device(5, 0),
        "urandom": _Random(9, clock), "zero": _Zero(1, 5), "fd": Symlink("/proc/self/fd"),
        "ptmx": Symlink("pts/ptmx"),
        "stdin": Symlink("/proc/self/fd/0"), "stdout": Symlink("/proc/self/fd/1"),
        "stderr": Symlink("/proc/self/fd/2"), "pts": Directory(), "shm": Directory(0o1777),
        "mqueue": Directory(0o1777),
    }  # fmt: skip
    for inode in devices.values():
        if inode is not None:
            inode.mtime_ns = clock.unix_ns
    options = "rw,nosuid,size=65536k,mode=755"
    if not shm_size:
        del devices["shm"]
    device_directory, shared_memory = Directory(entries=devices), Directory(0o1777)
    device_directory.mtime_ns = shared_memory.mtime_ns = clock.unix_ns
    files.mount("/dev", device_directory, device="tmpfs", kind="tmpfs", options=options, limit=_SHM_SIZE)
    if not shm_size:
        return
    options = f"rw,nosuid,nodev,noexec,relatime,size={shm_size >> 10}k"
    shm = "/dev/shm"  # noqa: S108 - where the device is, no temporary file
    files.mount(shm, shared_memory, device="shm", kind="tmpfs", options=options, limit=shm_size)


def add_host_devices(files: FileSystem) -> None:
    """Add the devices that a Docker host has but a container has not: net/tun, fuse and kvm."""
    for path, minor in (("net/tun", 200), ("fuse", 229), ("kvm", 232)):
        files.add(f"/dev/{path}", Device(10, minor))
