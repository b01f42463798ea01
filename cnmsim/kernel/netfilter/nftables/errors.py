"""What can go wrong with nft commands, in nft's own words, with the place in the input that is at fault."""

from __future__ import annotations

from attrs import frozen


@frozen
class Place:
    """Where in the input something stands: a line, from 1, and columns, from 0, the second one excluded."""

    line: int
    begin: int
    end: int

    def to(self, other: Place) -> Place:
        """Give the place from here to there, if that is on one line."""
        return Place(self.line, self.begin, other.end) if other.line == self.line else self


class NftError(Exception):
    """A command failed and changed nothing.

    `place` is what nft underlines, `None` if there is nothing to underline; `with_respect_to` what it marks besides.
    """

    def __init__(self, message: str, place: Place | None = None, with_respect_to: Place | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.with_respect_to = with_respect_to

    def text(self, source: str, origin: str = "") -> str:
        """Write the error as nft does. `origin` is the file the input came from, "" for the command line."""
        if self.place is None:
            return f"{origin}Error: {self.message}\n"
        place = self.place
        head = f"{origin}:{place.line}:{place.begin + 1}-{max(place.end, place.begin + 1)}: " if origin else ""
        lines = source.split("\n")
        line = lines[place.line - 1] if place.line <= len(lines) else ""
        marks = " " * place.begin + "^" * max(1, place.end - place.begin)
        other = self.with_respect_to
        if other is not None and other.line == place.line and other.end <= place.begin:
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
        del source, origin
        return "".join(f"internal:0:0-0: Error: {message}\n\n" for message in self.messages)


def refused(errno_text: str, place: Place | None = None) -> NftError:
    """Give the error of a command that the kernel refuses."""
    return NftError(f"Could not process rule: {errno_text}", place)
