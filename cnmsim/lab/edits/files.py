"""The files that an edit concerns, with their texts before and after."""

from __future__ import annotations

from pathlib import Path

from cnmsim.errors import FileError
from cnmsim.lab.edits.yaml_text import YamlText
from cnmsim.observe.fixes.file_edit import FileEdit, text_of


class NotExpressible(Exception):
    """Raised if a file has no key by which a change could be made."""


class EditedFiles:
    """Files opened for editing, with their edited texts in memory: nothing is written to disk.

    `added_networks` are the names of the networks that the edits add.
    """

    def __init__(self) -> None:
        self.added_networks: set[str] = set()
        self._before: dict[str, str] = {}
        self._texts: dict[str, YamlText] = {}

    def open(self, path: str) -> YamlText:
        """Return the editable text of a file, including the edits so far.

        Raises `FileError` if the file cannot be read.
        """
        if path not in self._texts:
            try:
                self._before[path] = text_of(Path(path).read_bytes())
            except (OSError, UnicodeError) as error:
                raise FileError(str(error), path=path) from None
            self._texts[path] = YamlText(self._before[path])
        return self._texts[path]

    @property
    def edits(self) -> tuple[FileEdit, ...]:
        """The edits so far: one for each file whose text differs from that on disk."""
        return tuple(
            FileEdit(path, before, self._texts[path].text)
            for path, before in self._before.items()
            if self._texts[path].text != before
        )
