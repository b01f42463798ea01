"""Convert trees of files to JSON types and back: those of volumes, and the changed files of containers and hosts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

from cnmsim.kernel.files import FileSystem
from cnmsim.kernel.inode import Directory, File, Inode, LayeredDirectory, Symlink
from cnmsim.underlay.host import FOLDERS

Data = dict[str, Any]
_log = logging.getLogger(__name__)
#: What the kernel, the engine or the lab file provides on a host. The engine saves its volumes and containers itself.
_PROVIDED = frozenset(
    (
        "/dev", "/proc", "/sys", "/run", "/var/run", "/var/lib/docker", "/etc/docker/daemon.json", "/etc/group",
        "/etc/hostname", "/etc/hosts", "/etc/passwd", "/etc/resolv.conf", "/www",
    )
)  # fmt: skip
#: Bytes of files of one host that are saved.
MOST_HOST_BYTES = 16 << 20


def _saved(inode: Inode) -> list[Any]:
    attributes = [inode.mode, inode.uid, inode.gid, inode.mtime_ns]
    if isinstance(inode, Directory):
        return ["directory", *attributes]
    if isinstance(inode, Symlink):
        return ["symlink", *attributes, inode.target]
    return ["file", *attributes, inode.content.decode("latin-1") if isinstance(inode, File) else ""]


def save_tree(tree: Directory) -> Data:
    """Return all files in a directory as JSON types: a mapping from path to a list that describes the file.

    The list contains kind, mode, owner, group, time and, unless the file is a directory, content or link target. A
    directory precedes the files in it.
    """
    return {path: _saved(inode) for path, inode in _storable(tree.walk())}


def host_files(root: Directory) -> list[tuple[str, Inode]]:
    """Return (path, inode) of the files that were written to a host, preceded by their directories.

    Files that would exceed a total of `MOST_HOST_BYTES` are left out, which is logged.
    """
    found: list[tuple[str, Inode]] = []
    size = 0
    for path, inode in _storable(_walk_host(root, "")):
        size += inode.size if isinstance(inode, File) else 0
        if isinstance(inode, File) and size > MOST_HOST_BYTES:
            _log.warning("%s is not saved: the host has more than %d MiB of files", path, MOST_HOST_BYTES >> 20)
            size -= inode.size
            continue
        found.append((path, inode))
    # Directories in which nothing was written and that every host has would only make the state larger.
    kept = {path for path, inode in found if not isinstance(inode, Directory) or path not in _SYSTEM}
    needed = {parent for path in kept for parent in _parents(path)} | kept
    return [(path, inode) for path, inode in found if path in needed]


def save_host_files(found: Iterable[tuple[str, Inode]]) -> Data:
    """Convert `found`, a result of `host_files`, to JSON types in the format of `save_tree`."""
    return {path: _saved(inode) for path, inode in found}


def _walk_host(directory: Directory, prefix: str) -> Iterator[tuple[str, Inode]]:
    for name in directory.names():
        path = f"{prefix}/{name}"
        inode = directory.get(name)
        if path in _PROVIDED or inode is None:
            continue
        yield path, inode
        if isinstance(inode, Directory):
            yield from _walk_host(inode, path)


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


#: Directories that every host has.
_SYSTEM = {"/etc", "/etc/docker", *FOLDERS, *(parent for folder in FOLDERS for parent in _parents(folder))}


def _storable(inodes: Iterable[tuple[str, Inode]]) -> Iterable[tuple[str, Inode]]:
    """Return the inodes except sockets and generated files, which a process or the kernel provides."""
    return ((path, inode) for path, inode in inodes if type(inode) in (File, Symlink) or isinstance(inode, Directory))


def save_changes(layer: LayeredDirectory) -> tuple[Data, list[str]]:
    """Return the differences of `layer` from the directory below it, the image's.

    The first item holds the added and changed files, in the format of `save_tree`, the second the paths of removed
    files.
    """
    changes = tuple(layer.changes())
    present = ((path, inode) for path, inode, _ in changes if inode is not None)
    saved = {path: _saved(inode) for path, inode in _storable(present)}
    return saved, [path for path, inode, _ in changes if inode is None]


def _is_saved_inode(entry: Any) -> bool:
    types = [type(value) for value in entry] if isinstance(entry, list) else []
    words = [str] if types and entry[0] in {"symlink", "file"} else []
    is_kind = types[:1] == [str] and entry[0] in {"directory", "symlink", "file"}
    return is_kind and types[1:] == [int] * 4 + words and all(0 <= number < 1 << 64 for number in entry[1:5])


def restore_tree(files: FileSystem, data: Data, removed: Iterable[str] = ()) -> None:
    """Restore the files that `save_tree` or `save_changes` returned: remove paths, then create or replace files.

    Raises `ValueError`, and changes nothing, if `data` is not in the format of `save_tree`.
    """
    for path, entry in data.items():
        if not _is_saved_inode(entry):
            raise ValueError(f"file {path[:80]}: expected kind, mode, owner, group, time and content")
    for path in removed:
        files.remove_tree(path)
    for path, (kind, mode, uid, gid, mtime_ns, *content) in data.items():
        attributes = {"mode": mode, "uid": uid, "gid": gid, "mtime_ns": mtime_ns}
        if kind == "directory":
            files.makedirs(path)
        elif kind == "symlink":
            files.add(path, Symlink(content[0]))
        else:
            files.add(path, File(content[0].encode("latin-1")))
        files.change(path, **attributes, follows=False)
    # Adding an entry to a directory changed the directory's time.
    for path, (kind, _, _, _, mtime_ns, *_) in data.items():
        if kind == "directory":
            files.change(path, mtime_ns=mtime_ns)
