"""State files: they keep the state of a lab's engines from one `serve` to the next, like a daemon's data folder.

A state file is a SQLite database. A change is written to the file before the client receives the response that
reports success. Files of versions 1 and 2, which were JSON, are read once and replaced by a database. A file that is
damaged, has another format or belongs to another lab is refused and not changed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from cnmsim.bounded_read import read_bytes
from cnmsim.errors import CnmsimError, Conflict
from cnmsim.lab.state.content import content_of
from cnmsim.lab.state.database import APPLICATION, HEADER_SIZE, MAGIC, StateDatabase, Transaction, application_id
from cnmsim.lab.state.errors import wrong_file
from cnmsim.lab.state.json_format import read_json
from cnmsim.lab.state.recorder import Recorder
from cnmsim.lab.state.restore import restore_lab

if TYPE_CHECKING:
    from cnmsim.engine.daemon.changes import Settle
    from cnmsim.lab.lab import Lab


#: The size in bytes of the largest JSON file that can be read.
_MOST_JSON = 1 << 30
#: If the disk has less free space than this number of bytes, changes are refused.
_LEAST_SPACE = 256 * 1024


@frozen
class PendingWrite:
    """Changes that are not written yet.

    `write` may run in another thread, but `settle` only in the thread of the lab.
    """

    _database: StateDatabase
    _transaction: Transaction
    _settle: Settle

    def write(self) -> OSError | None:
        """Write the changes to the file. Return `None` once they are on disk, or the error if that fails."""
        try:
            self._database.write(self._transaction)
        except OSError as error:
            return error
        except CnmsimError as error:
            return OSError(errno.EIO, error.message, str(self._database.path))
        return None

    def settle(self, error: OSError | None) -> None:
        """Report the result of `write` to the recorder of changes; `None` means success.

        After an error, the changes are returned again by the next `StateFile.changes`, and the error is raised.
        """
        self._settle(error is None)
        if error is not None:
            raise error


@define(eq=False)
class StateFile:
    """An open state file, which no other server can open.

    `content` is the saved state, `None` for a new file.
    """

    path: Path
    content: dict[str, Any] | None
    _database: StateDatabase | None = None
    _json_lock: int | None = None
    _recorder: Recorder | None = field(default=None, init=False)

    @classmethod
    def open(cls, path: Path) -> StateFile:
        """Open a state file, or create it if it does not exist.

        Raises `Conflict` if another server has opened it, `FileError` if it is a symbolic link, damaged or not a
        state file, `OSError` for other errors.
        """
        _refuse_link(path)
        if path.exists() and not _is_database(path):
            descriptor = _locked(path)
            try:
                return cls(path, read_json(path, read_bytes(path, _MOST_JSON)), json_lock=descriptor)
            except BaseException:
                os.close(descriptor)
                raise
        database = StateDatabase.open(path)
        try:
            # A statement that is still open would keep the database locked after `close`.
            with closing(database.objects()) as objects, closing(database.lines()) as lines:
                return cls(path, content_of(objects, lines, path), database)
        except BaseException:
            database.close()
            raise

    def record(self, lab: Lab, source: Path | None = None) -> None:
        """Write the whole state of a lab to the file; from then on `changes` finds what changes in this lab.

        `source` is the file from which the lab was built. Raises `OSError` if writing fails; the file is then
        unchanged.
        """
        starts = (self.content or {}).get("starts", 0)
        self._recorder = Recorder(lab, str(source) if source else "", starts + 1)
        if self._database is None:
            _write_new(self.path, self._recorder)
            self._database = StateDatabase.open(self.path)
        else:
            self._recorder.load(self._database.objects())
            self.finish()
        self.content = None

    def require_space(self) -> None:
        """Raise `OSError` if the disk is full or nearly full: SQLite needs some free pages for any change."""
        disk = os.statvfs(self.path.parent)
        if disk.f_bavail * disk.f_frsize < _LEAST_SPACE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))

    def changes(
        self, *, has_swarm_changes: bool = True, is_sweep: bool = False, is_forced: bool = False
    ) -> PendingWrite | None:
        """Return what has changed since the last call, or `None` if nothing has.

        The caller must write the result before the next call. Without `has_swarm_changes` swarms are not checked.
        With `is_sweep`, objects whose changes are not notified, such as logs, are checked too. With `is_forced` the
        result is never `None`.
        """
        assert self._recorder is not None, "the state is recorded"
        assert self._database is not None, "the state is recorded"
        if is_sweep:
            self._recorder.sweep()
        changes = self._recorder.changes(has_swarm_changes=has_swarm_changes, is_forced=is_forced)
        return None if changes is None else PendingWrite(self._database, *changes)

    def is_saved(self, host: str, kind: str, identity: str) -> bool:
        """Return True if the file contains the object with this host, kind (such as `container`) and id."""
        assert self._recorder is not None, "the state is recorded"
        return (host, kind, identity) in self._recorder.rows

    def finish(self) -> None:
        """Check every object in the lab, and write all differences to the file. Raises `OSError` if writing fails."""
        assert self._recorder is not None, "the state is recorded"
        assert self._database is not None, "the state is recorded"
        changes = self._recorder.changes(is_complete=True)
        if changes is not None:
            pending = PendingWrite(self._database, *changes)
            pending.settle(pending.write())

    def close(self) -> None:
        """Close the file, so that other servers can open it."""
        if self._database is not None:
            self._database.close()
        if self._json_lock is not None:
            os.close(self._json_lock)
        self._database = self._json_lock = None


def save_state(lab: Lab, path: Path, source: Path | None = None) -> None:
    """Write the state of a lab, which was built from the file `source`, to the state file `path`.

    Raises `Conflict` if a server has opened the file, `FileError` if it is not a state file, `OSError` if writing
    fails. The previous content is then kept.
    """
    _refuse_link(path)
    if path.exists() and _is_database(path):
        file = StateFile.open(path)
        try:
            file.record(lab, source)
        finally:
            file.close()
    else:
        _write_new(path, Recorder(lab, str(source) if source else "", 1))


def read_state(path: Path) -> dict[str, Any]:
    """Return the content of a state file.

    Raises `FileError` if the content is damaged or has another format, `Conflict` if a server has opened the file, or
    `OSError` if it cannot be read.
    """
    path.stat()
    file = StateFile.open(path)
    file.close()
    if file.content is None:
        raise wrong_file(path, "the file is empty")
    return file.content


def restore_state(lab: Lab, path: Path, epoch_s: int | None = None) -> None:
    """Restore the state that the file `path` contains into the engines of a lab; see `restore_lab`.

    Raises the errors of `read_state` and `restore_lab`.
    """
    restore_lab(lab, read_state(path), path, epoch_s)


def _refuse_link(path: Path) -> None:
    """Raise `FileError` if `path` is a symbolic link.

    A write would follow the link, so whoever created it could redirect the write to another file.
    """
    if path.is_symlink():
        raise wrong_file(path, f"a symbolic link; name the file itself, {path.readlink()}")


def _is_database(path: Path) -> bool:
    """Return True if a file is empty or a SQLite database. Raises `FileError` for the database of another program."""
    with path.open("rb") as file:
        header = file.read(HEADER_SIZE)
    if not header:
        return True
    if not header.startswith(MAGIC):
        return False
    # Right after a database was created, its header is only in the write-ahead log.
    if application_id(header) != APPLICATION and not Path(f"{path}-wal").exists():
        raise wrong_file(path, "no state file of cnmsim")
    return True


def _locked(path: Path) -> int:
    """Lock a file and return its file descriptor. Closing the descriptor releases the lock.

    Raises `Conflict` if another process has the lock.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Conflict(f"{path}: another server uses this state file; end it, or choose another file") from None
    return descriptor


def _write_new(path: Path, recorder: Recorder) -> None:
    """Write the whole state to a new database, and rename the new file to `path`, which replaces the old one."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        database = StateDatabase.create(Path(temporary))
        try:
            changes = recorder.changes(is_complete=True)
            assert changes is not None, "a lab has rows"
            transaction, settle = changes
            database.write(transaction)
        finally:
            database.close()
        os.fsync(descriptor)
        Path(temporary).replace(path)
        settle(True)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
    finally:
        os.close(descriptor)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
