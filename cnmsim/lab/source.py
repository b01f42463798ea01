"""The files that a lab was read from, and how to read them again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

if TYPE_CHECKING:
    from cnmsim.lab.lab import Lab


@frozen
class LabSource:
    """The files from which a lab was read, and the options with which they were read.

    These are a lab file, or Compose files or their content.
    """

    files: Any
    is_lab_file: bool
    options: Mapping[str, Any] = field(factory=dict)

    @property
    def lab_file(self) -> Path | None:
        """The path of the lab file; `None` for Compose files."""
        return Path(self.files) if self.is_lab_file else None

    def load(self, texts: Mapping[str, str]) -> Lab:
        """Read the files again and build a new lab from them.

        `texts` maps paths of files to text that is used in place of their content. Raises `FileError`, and `NotFound`
        or `InvalidParameter` for options that no longer fit the files.
        """
        if self.is_lab_file:
            from cnmsim.lab.labfile import load_lab

            return load_lab(Path(self.files), texts=texts, **self.options)
        from cnmsim.lab.compose.default_topology import compose_lab

        return compose_lab(self.files, texts=texts, **self.options)
