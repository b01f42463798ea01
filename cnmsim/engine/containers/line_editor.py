"""Line editing at a terminal: cursor keys, deletion, and a history of earlier lines.

The process receives a line only after the user has pressed Return (termios(3), canonical mode). The keys are those of
busybox (`libbb/lineedit.c`), whose shell many images contain.
"""

from __future__ import annotations

from attrs import define, field

_RETURN, _BACKSPACES, _ESCAPE = (0x0D, 0x0A), (0x08, 0x7F), 0x1B
_START, _BACK, _END, _FORWARD, _KILL, _OLDER, _NEWER, _ERASE_LINE, _ERASE_WORD = (
    ord(letter) - 64 for letter in "ABEFKPNUW"
)
_SEQUENCES = {
    b"A": _OLDER, b"B": _NEWER, b"C": _FORWARD, b"D": _BACK, b"H": _START, b"F": _END, b"1~": _START, b"7~": _START,
    b"4~": _END, b"8~": _END,
}  # fmt: skip
_DELETE = b"3~"
_MAX_HISTORY = 256
#: The longest line of a terminal; further input is discarded (termios(3), canonical mode).
_LONGEST_LINE = 4095
_LONGEST_SEQUENCE = 32


def _width(text: bytes) -> int:
    """Return the number of characters in text that is encoded as UTF-8."""
    return sum(byte & 0xC0 != 0x80 for byte in text)


@define
class LineEditor:
    """The line that a user is typing at a terminal, with the cursor's position and the earlier lines."""

    _before: bytes = field(default=b"", init=False)
    _after: bytes = field(default=b"", init=False)
    _history: list[bytes] = field(factory=list, init=False)
    _recalled: int = field(default=0, init=False)
    _sequence: bytes | None = field(default=None, init=False)

    @property
    def line(self) -> bytes:
        """The text typed so far."""
        return self._before + self._after

    def clear(self) -> None:
        """Empty the line."""
        self._before = self._after = b""
        self._recalled = len(self._history)

    def key(self, byte: int) -> tuple[bytes, bytes | None]:
        """Process one byte of a key press.

        Return the text to write to the terminal, and the line that the key has finished, or `None` if it did not
        finish one.
        """
        if self._sequence is not None:
            return self._escaped(byte), None
        if byte == _ESCAPE:
            self._sequence = b""
            return b"", None
        if byte not in _RETURN:
            return self._edit(byte), None
        line = self.line
        if line.strip() and self._history[-1:] != [line]:
            self._history = [*self._history, line][-_MAX_HISTORY:]
        self.clear()
        return b"\r\n", line

    def _escaped(self, byte: int) -> bytes:
        """Process a byte of an escape sequence, which a cursor key sends. Return the text to write to the terminal.

        Unknown sequences are ignored.
        """
        sequence = self._sequence or b""
        if not sequence and byte in b"[O":
            self._sequence = b"["
            return b""
        sequence += bytes([byte])
        if sequence[:1] == b"[" and not 0x40 <= byte <= 0x7E:
            self._sequence = sequence[:_LONGEST_SEQUENCE]
            return b""
        self._sequence = None
        if sequence[1:] == _DELETE:
            return self._show(self._before, self._after[self._next() :])
        meaning = _SEQUENCES.get(sequence[1:]) if sequence[:1] == b"[" else None
        return b"" if meaning is None else self._edit(meaning)

    def _edit(self, byte: int) -> bytes:
        before, after = self._before, self._after
        match byte:
            case _ if byte in _BACKSPACES:
                return self._show(before[: self._previous()], after)
            case _ if byte in (_OLDER, _NEWER):
                return self._recall(-1 if byte == _OLDER else 1)
            case _ if byte == _START:
                return self._show(b"", before + after)
            case _ if byte == _END:
                return self._show(before + after, b"")
            case _ if byte == _BACK:
                at = self._previous()
                return self._show(before[:at], before[at:] + after)
            case _ if byte == _FORWARD:
                at = self._next()
                return self._show(before + after[:at], after[at:])
            case _ if byte == _KILL:
                return self._show(before, b"")
            case _ if byte == _ERASE_LINE:
                return self._show(b"", after)
            case _ if byte == _ERASE_WORD:
                words = before.rstrip(b" ")
                return self._show(words[: words.rfind(b" ") + 1], after)
            case _ if len(before) + len(after) >= _LONGEST_LINE:
                return b""
            case _:
                return self._show(before + bytes([byte]), after)

    def _previous(self) -> int:
        """Return the offset at which the character before the cursor begins."""
        at = max(len(self._before) - 1, 0)
        while at and self._before[at] & 0xC0 == 0x80:
            at -= 1
        return at

    def _next(self) -> int:
        """Return the offset at which the character at the cursor ends."""
        at = min(1, len(self._after))
        while at < len(self._after) and self._after[at] & 0xC0 == 0x80:
            at += 1
        return at

    def _recall(self, step: int) -> bytes:
        position = self._recalled + step
        if not 0 <= position <= len(self._history):
            return b""
        self._recalled = position
        return self._show(self._history[position] if position < len(self._history) else b"", b"")

    def _show(self, before: bytes, after: bytes) -> bytes:
        """Replace the line by `before + after`, with the cursor between them.

        Return the text to write to the terminal.
        """
        old, new = self.line, before + after
        # The common prefix left of the cursor is on the screen already.
        kept = next(
            (
                prefix
                for prefix in (self._before, before)
                if new.startswith(prefix) and self._before.startswith(prefix)
            ),
            b"",
        )
        shown = b"\b" * (_width(self._before) - _width(kept)) + new[len(kept) :]
        surplus = max(_width(old) - _width(new), 0)
        shown += b" " * surplus + b"\b" * (surplus + _width(after))
        self._before, self._after = before, after
        return shown
