"""The SQLite database of a state file, with one row for each object and one for each line of a log.

A transaction is on disk when `write` returns: the write-ahead log is synchronised with each commit. While the
database is open no other process can open it; the lock ends with the process. Every row has a checksum.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

from attrs import define, frozen

from cnmsim.errors import Conflict
from cnmsim.lab.state.errors import wrong_file

MAGIC = b"SQLite format 3\0"
VERSION = 3
#: Size of a database's header in bytes.
HEADER_SIZE = 100
#: The application id of state files: "CNMS".
APPLICATION = 0x434E4D53
_SCHEMA = """
CREATE TABLE objects (
    number INTEGER PRIMARY KEY, host TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, data TEXT NOT NULL,
    checksum INTEGER NOT NULL, UNIQUE (host, kind, id)
);
CREATE TABLE lines (
    number INTEGER PRIMARY KEY, host TEXT NOT NULL, container TEXT NOT NULL, time_ns INTEGER NOT NULL,
    stream TEXT NOT NULL, text BLOB NOT NULL, checksum INTEGER NOT NULL
);
CREATE INDEX lines_of_container ON lines (host, container);
"""
_STATEMENTS = tuple(statement.removesuffix(";") for statement in _SCHEMA.strip().split(";\n"))
#: The size in bytes of the largest value of a row that can be read.
_MOST_VALUE = 1 << 29

#: The host ("" for the lab itself), the kind and the id of an object.
Key: TypeAlias = tuple[str, str, str]
#: A line of a log: host, container, time in nanoseconds since 1970, stream, text.
Line: TypeAlias = tuple[str, str, int, str, bytes]


@frozen
class Transaction:
    """Changes to write in one transaction.

    `objects` are rows to add or replace, `removed` the keys of rows to remove. Each item of `dropped` is (host,
    container, number): that number of lines, the oldest ones, is removed from the container's log. Then `lines` are
    appended.
    """

    objects: dict[Key, str]
    removed: Iterable[Key] = ()
    dropped: Iterable[tuple[str, str, int]] = ()
    lines: Iterable[Line] = ()


@define(eq=False)
class StateDatabase:
    """An open database, locked until `close`."""

    path: Path
    _connection: sqlite3.Connection

    @classmethod
    def open(cls, path: Path) -> StateDatabase:
        """Open a database, or create it if the file does not exist or is empty.

        Raises `Conflict` if another process has opened it, `FileError` if it is damaged or not a state file,
        `OSError` for other errors.
        """
        return cls._open(path, "WAL")

    @classmethod
    def create(cls, path: Path) -> StateDatabase:
        """Create a database in a new file, which the caller later renames to replace another file.

        The content is on disk only after `close`. Raises `OSError` if the file cannot be created.
        """
        return cls._open(path, "OFF")

    @classmethod
    def _open(cls, path: Path, journal: str) -> StateDatabase:
        # Only the owner may read the file: environments of containers hold passwords.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        # Transactions begin and end by statements, and a locked file is refused at once. Several threads use the
        # connection, one at a time.
        connection = sqlite3.connect(path, isolation_level=None, timeout=0, check_same_thread=False)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_VALUE)
        try:
            with _translated(path):
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                connection.execute(f"PRAGMA journal_mode = {journal}")
                connection.execute(f"PRAGMA synchronous = {'FULL' if journal == 'WAL' else 'OFF'}")
                connection.execute("BEGIN EXCLUSIVE")
                if not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                    for statement in _STATEMENTS:
                        connection.execute(statement)
                    connection.execute(f"PRAGMA application_id = {APPLICATION}")
                    connection.execute(f"PRAGMA user_version = {VERSION}")
                connection.execute("COMMIT")
                _check(connection, path)
        except BaseException:
            connection.close()
            raise
        return cls(path, connection)

    def objects(self) -> Generator[tuple[Key, str], None, None]:
        """Yield the key and the JSON text of every object, in order of creation.

        Raises `FileError` if the database is damaged.
        """
        with _translated(self.path):
            for *key, data, checksum in self._connection.execute(
                "SELECT host, kind, id, data, checksum FROM objects ORDER BY number"
            ):
                if checksum != row_checksum(*key, data):
                    raise wrong_file(self.path, "damaged: its content does not fit its checksums")
                if not all(isinstance(value, str) for value in (*key, data)):
                    raise wrong_file(self.path, f"malformed: {key[1]} {key[2]}: a value that is no text")
                yield (key[0], key[1], key[2]), data

    def lines(self) -> Generator[Line, None, None]:
        """Yield the lines of all logs, oldest first. Raises `FileError` if the database is damaged."""
        with _translated(self.path):
            for *line, checksum in self._connection.execute(
                "SELECT host, container, time_ns, stream, text, checksum FROM lines ORDER BY number"
            ):
                if checksum != row_checksum(*line):
                    raise wrong_file(self.path, "damaged: its content does not fit its checksums")
                if [type(value) for value in line] != [str, str, int, str, bytes]:
                    raise wrong_file(self.path, f"malformed: log of container {line[1]}: a value of another type")
                yield (line[0], line[1], line[2], line[3], line[4])

    def write(self, transaction: Transaction) -> None:
        """Write all changes of a transaction. Raises `OSError`, e.g. if the disk is full; then nothing is written."""
        execute, many = self._connection.execute, self._connection.executemany
        with _translated(self.path):
            execute("BEGIN")
            try:
                many(
                    "DELETE FROM objects WHERE host = ? AND kind = ? AND id = ?",
                    transaction.removed,
                )
                many(
                    "DELETE FROM lines WHERE host = ? AND container = ?",
                    ((host, id_) for host, kind, id_ in transaction.removed if kind == "container"),
                )
                many(
                    "INSERT INTO objects (host, kind, id, data, checksum) VALUES (?, ?, ?, ?, ?)"
                    " ON CONFLICT (host, kind, id) DO UPDATE SET data = excluded.data, checksum = excluded.checksum",
                    ((*key, data, row_checksum(*key, data)) for key, data in transaction.objects.items()),
                )
                many(
                    "DELETE FROM lines WHERE number IN"
                    " (SELECT number FROM lines WHERE host = ? AND container = ? ORDER BY number LIMIT ?)",
                    transaction.dropped,
                )
                many(
                    "INSERT INTO lines (host, container, time_ns, stream, text, checksum) VALUES (?, ?, ?, ?, ?, ?)",
                    ((*line, row_checksum(*line)) for line in transaction.lines),
                )
                execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # after some errors SQLite has rolled back itself
                    execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the database, so that other processes can open it."""
        self._connection.close()


def application_id(header: bytes) -> int:
    """Return the application id in a SQLite file's header; it identifies the program to which the file belongs.

    The format is described at https://www.sqlite.org/fileformat2.html, section 1.3.
    """
    return int.from_bytes(header[68:72])


def _check(connection: sqlite3.Connection, path: Path) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
        raise wrong_file(path, "no state file of cnmsim")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != VERSION:
        raise wrong_file(path, f"a state file of version {version}; this cnmsim reads versions 1 to {VERSION}")
    # Without this check, a view or trigger in the place of a table would be executed.
    names = connection.execute(
        "SELECT count(*), total(sql IN (?, ?, ?)) FROM sqlite_schema WHERE sql IS NOT NULL", _STATEMENTS
    )
    if names.fetchone() != (len(_STATEMENTS), len(_STATEMENTS)):
        raise wrong_file(path, "malformed: its tables are not those of a state file")
    fault = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if fault != "ok":
        raise wrong_file(path, f"damaged: {fault}")


def row_checksum(*values: str | int | bytes) -> int:
    """Return the CRC-32 of the values of a row."""
    return zlib.crc32(repr(values).encode("ascii", "backslashreplace"))


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Convert errors of SQLite in a `with` block to `Conflict`, `OSError` or `FileError` about the file `path`."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise Conflict(f"{path}: another server uses this state file; end it, or choose another file") from None
        if name.startswith("SQLITE_FULL"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from None
        if name.startswith(("SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
            raise OSError(errno.EIO, str(error), str(path)) from None
        raise wrong_file(path, f"damaged: {error}") from None
    except UnicodeDecodeError as error:
        raise wrong_file(path, f"damaged: {error}") from None
