"""Errors of nft commands, with nft's own messages and the location in the input."""

from __future__ import annotations

from attrs import frozen


@frozen
class Location:
    """A location in the input: a line, and the columns from `begin` up to but excluding `end`.

    Lines count from 1, columns from 0.
    """

    line: int
    begin: int
    end: int

    def to(self, other: Location) -> Location:
        """Return the location from the start of this one to the end of `other`.

        If they are on different lines, return this one.
        """
        return Location(self.line, self.begin, other.end) if other.line == self.line else self


class NftError(Exception):
    """Error: a command failed; nothing changed.

    `location` is the part of the input that nft underlines with carets, or None. `secondary` is a part that it
    underlines with tildes, or None.
    """

    def __init__(self, message: str, location: Location | None = None, secondary: Location | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.location = location
        self.secondary = secondary

    def text(self, source: str, origin: str = "") -> str:
        """Return the error as nft prints it.

        `source` is the input, `origin` the name of the file that contained it, or "" for the command line.
        """
        if self.location is None:
            return f"{origin}Error: {self.message}\n"
        location = self.location
        head = (
            f"{origin}:{location.line}:{location.begin + 1}-{max(location.end, location.begin + 1)}: "
            if origin
            else ""
        )
        lines = source.split("\n")
        line = lines[location.line - 1] if location.line <= len(lines) else ""
        marks = " " * location.begin + "^" * max(1, location.end - location.begin)
        other = self.secondary
        if other is not None and other.line == location.line and other.end <= location.begin:
            marks = " " * other.begin + "~" * (other.end - other.begin) + marks[other.end :]
        return f"{head}Error: {self.message}\n{line}\n{marks}\n"


class NoTableError(NftError):
    """Error: a command names a table that does not exist."""


class InternalError(NftError):
    """An error in commands given as JSON. It has no location, but may have several messages."""

    def __init__(self, *messages: str) -> None:
        super().__init__(messages[0])
        self.messages = messages

    def text(self, source: str, origin: str = "") -> str:
        """Return the error as nft prints it. `source` and `origin` are unused: the error has no location."""
        return "".join(f"internal:0:0-0: Error: {message}\n\n" for message in self.messages)


def kernel_refusal(errno_text: str, location: Location | None = None) -> NftError:
    """Return the error of a command that the kernel refuses, such as `Could not process rule: File exists`.

    `errno_text` is the part after the colon, `location` the part of the input that nft underlines.
    """
    return NftError(f"Could not process rule: {errno_text}", location)
