"""`docker cp`, `export` and `diff`: copy files of a container as tar archives, and list the files it changed.

Source: moby `daemon/{archive_unix,changes}.go`, `pkg/archive/{archive,changes,diff}.go` (v26.1.5).
"""

from __future__ import annotations

import io
import posixpath
import stat
import tarfile
from typing import Any

from cnmsim.engine.containers.container import Container
from cnmsim.errors import InvalidParameter, NotFound, SystemFault
from cnmsim.gojson.fields import rfc3339
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.errno_text import go_strerror
from cnmsim.kernel.files import FileSystem
from cnmsim.kernel.inode import Directory, File, Inode, LayeredDirectory, SocketFile, Symlink
from cnmsim.kernel.namei import canonical
from cnmsim.libnetwork.profile import Profile

MODIFIED, ADDED, DELETED = 0, 1, 2
#: Files that the engine mounts into every container.
_ENGINE_FILES = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf")
#: Bits of Go's os.FileMode.
_GO_DIRECTORY, _GO_SYMLINK, _GO_SOCKET = 1 << 31, 1 << 27, 1 << 24
_GO_BITS = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))


def _locate(container: Container, path: str) -> tuple[str, Inode]:
    """Return the canonical path and the inode of a path in a container.

    If the path's last component is a symbolic link, it is followed only if the path ends in `/` or `/.`. Raises
    `NotFound` for a missing file, and `SystemFault` for any other error on the way, such as a loop of symbolic links.
    """
    clean = canonical(path)
    files = container.files
    try:
        follows = path.endswith(("/", "/."))
        inode = files.inode(clean, follows=follows)
        folder = files.realpath(posixpath.dirname(clean))
        resolved = files.realpath(clean) if follows else posixpath.join(folder, posixpath.basename(clean))
    except FileNotFoundError:
        raise NotFound(f"Could not find the file {path} in container {container.name}") from None
    except OSError as error:
        raise SystemFault(f"lstat {path}: {go_strerror(error)}") from None
    return resolved, inode


def _go_mode(inode: Inode) -> int:
    mode = inode.mode & 0o777
    for bit, go_bit in _GO_BITS:
        mode |= go_bit if inode.mode & bit else 0
    if isinstance(inode, Directory):
        return mode | _GO_DIRECTORY
    if isinstance(inode, Symlink):
        return mode | _GO_SYMLINK
    return mode | _GO_SOCKET if isinstance(inode, SocketFile) else mode


def path_stat(container: Container, path: str) -> dict[str, Any]:
    """Return a file's name, size, mode, time and link target, as `HEAD /containers/{id}/archive` does in a header.

    Raises `NotFound` if the file does not exist, and `SystemFault` if the path cannot be resolved.
    """
    clean, inode = _locate(container, path)
    return {
        "name": posixpath.basename(clean) or "/",
        "size": inode.size,
        "mode": _go_mode(inode),
        "mtime": rfc3339(inode.mtime_ns),
        "linkTarget": inode.target if isinstance(inode, Symlink) else "",
    }


def read_archive(container: Container, path: str) -> bytes:
    """Return a file, or a directory with everything in it, as a tar archive.

    Raises `NotFound` if nothing exists at `path`, and `SystemFault` if the path cannot be resolved.
    """
    clean, inode = _locate(container, path)
    buffer = io.BytesIO()
    name = "." if path.endswith("/.") else posixpath.basename(clean) or "/"
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        _put(container, archive, clean, inode, name)
    return buffer.getvalue()


def export_archive(container: Container) -> bytes:
    """Return the container's own files as a tar archive, as `docker export` prints it.

    Mounted file systems, such as volumes and `/proc`, are left out except for the mount point itself.
    """
    buffer = io.BytesIO()
    mounted = frozenset(("/dev", "/proc", "/sys", *_ENGINE_FILES, *(mount.destination for mount in container.mounts)))
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for child in container.files.listdir("/"):
            inode = container.files.inode(f"/{child}", follows=False)
            _put(container, archive, f"/{child}", inode, child, mounted)
    return buffer.getvalue()


def _put(
    container: Container,
    archive: tarfile.TarFile,
    path: str,
    inode: Inode,
    name: str,
    mounted: frozenset[str] = frozenset(),
) -> None:
    """Add a file, or a directory with everything in it, to an archive under the name `name`.

    Of the paths in `mounted`, only the file or directory itself is added, without content.
    """
    entry = tarfile.TarInfo(name)
    entry.mtime, entry.mode = inode.mtime_ns // NS_PER_S, inode.mode
    entry.uid, entry.gid = inode.uid, inode.gid
    if isinstance(inode, Directory):
        entry.type, entry.name = tarfile.DIRTYPE, f"{name.rstrip('/')}/"
        archive.addfile(entry)
        for child in container.files.listdir(path) if path not in mounted else ():
            inner = posixpath.join(path, child)
            inode = container.files.inode(inner, follows=False)
            _put(container, archive, inner, inode, f"{entry.name}{child}", mounted)
    elif isinstance(inode, Symlink):
        entry.type, entry.linkname = tarfile.SYMTYPE, inode.target
        archive.addfile(entry)
    elif isinstance(inode, File):
        content = inode.content if path not in mounted else b""
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))


def write_archive(profile: Profile, container: Container, path: str, content: bytes) -> None:
    """Unpack a tar archive into a directory of a container.

    Raises `NotFound` if the directory does not exist, `InvalidParameter` if it is no directory or the archive is
    malformed, and `SystemFault` if the path cannot be resolved or a file cannot be written.
    """
    files = container.files
    try:
        folder = files.realpath(path)
    except FileNotFoundError:
        raise NotFound(f"Could not find the file {path} in container {container.name}") from None
    except OSError as error:
        raise SystemFault(f"lstat {path}: {go_strerror(error)}") from None
    if not files.is_dir(folder):
        raise InvalidParameter("extraction point is not a directory")
    _require_writable(container, folder)
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:*") as archive:
            entries = [(entry, _content(archive, entry)) for entry in archive]
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InvalidParameter(f"Error processing tar file(exit status 1): {error}") from None
    is_read_only, files.is_read_only = files.is_read_only, False
    try:
        for entry, data in entries:
            target = canonical(f"{folder}/{canonical(entry.name)}")
            present = _present(files, target)
            try:
                _unpack(files, folder, target, entry, data)
            except OSError as error:
                verb, name = "open" if present is None else "unlinkat", target
                if profile.unpacks_in_root:
                    verb = "openat" if present is None else "RemoveAll"
                    name = posixpath.relpath(target, folder)
                raise SystemFault(f"{verb} {name}: {go_strerror(error)}") from None
    finally:
        files.is_read_only = is_read_only


def _require_writable(container: Container, folder: str) -> None:
    for mount in container.mounts:
        if folder == mount.destination or folder.startswith(f"{mount.destination}/"):
            if not mount.is_writable:
                raise InvalidParameter("mounted volume is marked read-only")
            return
    if container.host_config["ReadonlyRootfs"]:
        raise InvalidParameter("container rootfs is marked read-only")


def _present(files: FileSystem, path: str) -> Inode | None:
    try:
        return files.inode(path, follows=False)
    except OSError:
        return None


def _unpack(files: FileSystem, folder: str, target: str, entry: tarfile.TarInfo, data: bytes | None) -> None:
    present = _present(files, target)
    is_folder = isinstance(present, Directory)
    if present is not None and not (is_folder and entry.isdir()):
        files.remove_tree(target)
    owner = {"mode": entry.mode & 0o7777, "uid": entry.uid, "gid": entry.gid}
    if entry.isdir():
        files.makedirs(target)
    elif entry.issym():
        files.makedirs(posixpath.dirname(target))
        files.symlink(entry.linkname, target)
    elif entry.islnk():
        files.link(canonical(f"{folder}/{entry.linkname}"), target)
    elif data is not None:
        files.add(target, File(data))
    else:
        return  # a device: the kernel has none of these
    files.change(target, **owner, mtime_ns=int(entry.mtime * NS_PER_S), follows=False)


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes | None:
    reader = archive.extractfile(entry) if entry.isfile() else None
    return reader.read() if reader is not None else None


def changed_files(container: Container) -> list[tuple[str, int]]:
    """Return (path, kind) of every file and directory that differs from the image.

    The kind is `MODIFIED`, `ADDED` or `DELETED`. A directory in which something was added or removed is modified.
    """
    root = container.files.root
    assert isinstance(root, LayeredDirectory), "a container's files are a layer over those of its image"
    kinds = {
        path: DELETED if inode is None else ADDED if lower is None else MODIFIED
        for path, inode, lower in root.changes()
    }
    for path in tuple(kinds):
        parent = posixpath.dirname(path)
        while parent != "/":
            kinds.setdefault(parent, MODIFIED)
            parent = posixpath.dirname(parent)
    return sorted(kinds.items())


Changes = list[dict[str, Any]] | None


def changes_view(container: Container) -> Changes:
    """Return the changed files in the API's format, `{"Path": …, "Kind": …}`; `None` if nothing has changed."""
    return [{"Path": path, "Kind": kind} for path, kind in changed_files(container)] or None


def size_of_changes(container: Container) -> int:
    """Return the size in bytes of the files that a container has written over its image."""
    root = container.files.root
    assert isinstance(root, LayeredDirectory), "a container's files are a layer over those of its image"
    return sum(len(inode.content) for _, inode, _ in root.changes() if isinstance(inode, File))
