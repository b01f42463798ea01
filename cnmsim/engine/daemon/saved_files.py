"""Save and restore trees of files as plain data: those of volumes, and what containers and hosts changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cnmsim.kernel.files import FileSystem
from cnmsim.kernel.inode import Directory, File, Inode, LayeredDirectory, Symlink

Data = dict[str, Any]


def _saved(inode: Inode) -> list[Any]:
    attributes = [inode.mode, inode.uid, inode.gid, inode.mtime_ns]
    if isinstance(inode, Directory):
        return ["directory", *attributes]
    if isinstance(inode, Symlink):
        return ["symlink", *attributes, inode.target]
    return ["file", *attributes, inode.content.decode("latin-1") if isinstance(inode, File) else ""]


def save_tree(tree: Directory) -> Data:
    """Return everything in a directory as JSON types: kind, mode, owner, time and content by path, parents first."""
    return {path: _saved(inode) for path, inode in _storable(tree.walk())}


def _storable(inodes: Iterable[tuple[str, Inode]]) -> Iterable[tuple[str, Inode]]:
    """Return the inodes without those that a process or the kernel provides: sockets and generated files."""
    return ((path, inode) for path, inode in inodes if type(inode) in (File, Symlink) or isinstance(inode, Directory))


def save_changes(layer: LayeredDirectory) -> tuple[Data, list[str]]:
    """Return what differs from the lower directory, as `save_tree` does, and the paths that were removed."""
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
    """Restore what `save_tree` or `save_changes` returned: remove paths, then create or replace what was saved.

    Raises `ValueError` for data of another form.
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
