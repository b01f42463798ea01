"""An edit of a file from which a lab was read, such as a Compose file."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from attrs import field, frozen

from cnmsim.errors import FileError

#: The number of unchanged lines around a change in a diff, as `diff -u` prints them.
_CONTEXT_LINES = 3


@frozen
class FileEdit:
    """An edit of a file: `before` is the text that was read, `after` the edited text.

    Comments, order, spacing and quotes are the same in both.
    """

    path: str
    before: str = field(repr=False)
    after: str = field(repr=False)

    @property
    def line(self) -> int:
        """The number (from 1) of the first changed line of `before`.

        If lines are only inserted, it is the line before which they are inserted.
        """
        before, after = self.before.splitlines(), self.after.splitlines()
        same = next(
            (number for number, (old, new) in enumerate(zip(before, after, strict=False)) if old != new), None
        )
        return min(len(before), len(after)) + 1 if same is None else same + 1

    @property
    def diff(self) -> str:
        """The edit as a unified diff that `patch` and `git apply` accept."""
        lines = difflib.unified_diff(
            self.before.splitlines(), self.after.splitlines(), self.path, self.path, n=_CONTEXT_LINES, lineterm=""
        )
        return "\n".join(lines)

    @property
    def changed_lines(self) -> tuple[str, ...]:
        """The lines of `diff` that are removed (`-`) or added (`+`)."""
        return tuple(line for line in self.diff.splitlines()[2:] if line[:1] in {"-", "+"})

    def write(self) -> None:
        """Write the new content to the file.

        Raises `FileError` if the file has changed since it was read, and `OSError` if it cannot be written.
        """
        path = Path(self.path)
        raw = path.read_bytes()
        if text_of(raw) != self.before:
            raise FileError("the file has changed since it was read: nothing was written", path=self.path)
        mark = b"\xef\xbb\xbf" if raw.startswith(b"\xef\xbb\xbf") else b""
        ending = "\r\n" if b"\r\n" in raw else "\n"
        path.write_bytes(mark + self.after.replace("\n", ending).encode())

    def to_json(self) -> dict[str, Any]:
        """Return the edit as plain values: `path`, `line` and `diff`."""
        return {"path": self.path, "line": self.line, "diff": self.diff}

    def __str__(self) -> str:
        return f"{self.path}:{self.line}\n{self.diff}"


def text_of(raw: bytes) -> str:
    """Decode `raw`, the content of a file, as UTF-8. A byte order mark is removed, and CR LF becomes LF.

    Raises `UnicodeError` if the content is not UTF-8.
    """
    return raw.decode("utf-8-sig").replace("\r\n", "\n")
