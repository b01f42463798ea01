"""What can go wrong with nft commands, in nft's own words, with the location in the input that is at fault."""

from __future__ import annotations

from attrs import frozen


@frozen
class Location:
    """Where in the input something stands: a line, from 1, and columns, from 0, the second one excluded."""

    line: int
    begin: int
    end: int

    def to(self, other: Location) -> Location:
        """Give the location from here to there, if that is on one line."""
        return Location(self.line, self.begin, other.end) if other.line == self.line else self


class NftError(Exception):
    """A command failed and changed nothing.

    `location` is what nft underlines, `None` if there is nothing to underline; `secondary` what it marks besides.
    """

    def __init__(self, message: str, location: Location | None = None, secondary: Location | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.location = location
        self.secondary = secondary

    def text(self, source: str, origin: str = "") -> str:
        """Write the error as nft does. `origin` is the file the input came from, "" for the command line."""
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
    """A command names a table that is not there."""


class InternalError(NftError):
    """What is wrong with commands in JSON, which have no places to underline; there may be several things to say of it."""

    def __init__(self, *messages: str) -> None:
        super().__init__(messages[0])
        self.messages = messages

    def text(self, source: str, origin: str = "") -> str:
        """Write the error as nft does."""
        return "".join(f"internal:0:0-0: Error: {message}\n\n" for message in self.messages)


def kernel_refusal(errno_text: str, location: Location | None = None) -> NftError:
    """Give the error of a command that the kernel refuses."""
    return NftError(f"Could not process rule: {errno_text}", location)
