"""`docker cp` and `docker diff`: copy files of a container as tar archives, and list the files it changed.

Source: moby `daemon/{archive_unix,changes}.go`.
"""

from __future__ import annotations

import io
import posixpath
import tarfile
from typing import Any

from cnmsim.engine.containers.container import Container
from cnmsim.engine.wire.timestamps import rfc3339
from cnmsim.errors import InvalidParameter, NotFound
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.files import File

MODIFIED, ADDED, DELETED = 0, 1, 2
_DIRECTORY_BIT = 1 << 31  # of Go's os.FileMode
#: Files that the engine mounts over those of the image. They never belong to the container's own layer.
_MOUNTED = frozenset({"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"})


def path_stat(container: Container, path: str) -> dict[str, Any]:
    """Return the description of a file for a response header of `HEAD /containers/{id}/archive`.

    Raises `NotFound`.
    """
    clean = posixpath.normpath("/" + path.lstrip("/"))
    files = container.files
    if not files.exists(clean):
        raise NotFound(f"Could not find the file {path} in container {container.name}")
    is_folder = files.is_dir(clean)
    return {
        "name": posixpath.basename(clean) or "/",
        "size": 4096 if is_folder else len(files.read(clean)),
        "mode": (0o755 | _DIRECTORY_BIT) if is_folder else files.file(clean).mode,
        "mtime": rfc3339(container.created_ns),
        "linkTarget": "",
    }


def read_archive(container: Container, path: str) -> bytes:
    """Return a file, or a folder with everything in it, as a tar archive. Raises `NotFound`."""
    stat = path_stat(container, path)
    clean = posixpath.normpath("/" + path.lstrip("/"))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        _put(container, archive, clean, stat["name"].strip("/") or ".")
    return buffer.getvalue()


def _put(container: Container, archive: tarfile.TarFile, path: str, name: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.mtime = container.created_ns // NS_PER_S
    if container.files.is_dir(path):
        entry.type, entry.mode, entry.name = tarfile.DIRTYPE, 0o755, f"{name}/"
        archive.addfile(entry)
        for child in container.files.listdir(path):
            _put(container, archive, posixpath.join(path, child), posixpath.join(name, child))
        return
    file = container.files.file(path)
    entry.size, entry.mode = len(file.content), file.mode
    archive.addfile(entry, io.BytesIO(file.content))


def write_archive(container: Container, path: str, content: bytes) -> None:
    """Unpack a tar archive into a folder of a container. Raises `NotFound` or `InvalidParameter`."""
    clean = posixpath.normpath("/" + path.lstrip("/"))
    if not container.files.exists(clean):
        raise NotFound(f"Could not find the file {path} in container {container.name}")
    if not container.files.is_dir(clean):
        raise InvalidParameter("extraction point is not a directory")
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:*") as archive:
            entries = [(entry, _content(archive, entry)) for entry in archive]
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InvalidParameter(f"Error processing tar file(exit status 1): {error}") from None
    for entry, data in entries:
        target = posixpath.normpath(posixpath.join(clean, "." + posixpath.normpath("/" + entry.name)))
        if entry.isdir():
            container.files.mkdir(target)
        elif data is not None and target in _MOUNTED and container.files.exists(target):
            container.files.write(target, data)
        elif data is not None:
            container.files.bind(target, File(data, entry.mode & 0o7777))


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes | None:
    reader = archive.extractfile(entry) if entry.isfile() else None
    return reader.read() if reader is not None else None


def changed_files(container: Container) -> list[tuple[str, int]]:
    """Return (path, kind) of every file that differs from the image; the kind is `MODIFIED`, `ADDED` or `DELETED`."""
    from cnmsim.engine.containers.create import file_paths

    present = set(file_paths(container)) - _MOUNTED
    changes = [(path, ADDED) for path in present - container.baseline.keys()]
    for path, content in container.baseline.items():
        if path not in present:
            changes.append((path, DELETED))
        elif container.files.read(path) != content:
            changes.append((path, MODIFIED))
    return sorted(changes)


Changes = list[dict[str, Any]] | None


def changes_view(container: Container) -> Changes:
    """Return the changed files and the folders that contain them, in the API's format; `None` if nothing changed."""
    kinds: dict[str, int] = {}
    for path, kind in changed_files(container):
        parent = posixpath.dirname(path)
        while parent != "/":
            kinds.setdefault(parent, MODIFIED)
            parent = posixpath.dirname(parent)
        kinds[path] = kind
    return [{"Path": path, "Kind": kinds[path]} for path in sorted(kinds)] or None


def size_of_changes(container: Container) -> int:
    """Return the number of bytes that a container has written into its own layer."""
    return sum(len(container.files.read(path)) for path, kind in changed_files(container) if kind != DELETED)
