"""A terminal of a container: keys that edit a line, recall one, or interrupt what runs."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmsim.engine.containers.line_editor import LineEditor

UP, DOWN, RIGHT, LEFT, HOME, END, DELETE = (b"\x1b[" + key for key in (b"A", b"B", b"C", b"D", b"H", b"F", b"3~"))


class Screen:
    """One row of a terminal, as far as a line editor needs it."""

    def __init__(self):
        self.row, self.at = [], 0
        self.decoder = codecs.getincrementaldecoder("utf-8")()

    def show(self, data):
        for character in self.decoder.decode(data):
            if character == "\b":
                assert self.at, "the cursor leaves the line"
                self.at -= 1
            elif character not in "\r\n":
                self.row[self.at : self.at + 1] = [character]
                self.at += 1


def typed(*keys, editor=None):
    editor, screen, lines = editor or LineEditor(), Screen(), []
    for byte in b"".join(keys):
        shown, line = editor.key(byte)
        screen.show(shown)
        if line is not None:
            lines.append(line)
            screen = Screen()
    return editor, screen, lines


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ([b"abc"], b"abc"),
        ([b"abc\x7f\x08d"], b"ad"),
        ([b"\x7fa"], b"a"),
        ([b"ac", LEFT, b"b"], b"abc"),
        ([b"abc", LEFT, LEFT, LEFT, LEFT, b"x", RIGHT, b"y"], b"xaybc"),
        ([b"bc", HOME, b"a", END, b"d"], b"abcd"),
        ([b"abc", HOME, DELETE, DELETE], b"c"),
        ([b"one two \x17three"], b"one three"),
        ([b"one\x15two"], b"two"),
        ([b"onetwo", LEFT, LEFT, LEFT, b"\x15"], b"two"),
        ([b"onetwo", LEFT, LEFT, LEFT, b"\x0b"], b"one"),
        ([b"first\rsecond\r", UP], b"second"),
        ([b"first\rsecond\r", UP, UP, UP, UP], b"first"),
        ([b"first\rsecond\r", UP, UP, DOWN, b"!"], b"second!"),
        ([b"first\r", UP, DOWN], b""),
        ([b"first\rfirst\r \r", UP, UP], b"first"),
        ([b"first\rsecond\rsecond\r", UP, UP], b"first"),
        ([b"second\rfirst\rsecond\r", UP, UP, UP], b"second"),
        ([b"first\nsecond\n", UP, UP], b"first"),
        ([b"a\tb"], b"a\tb"),
        ([b"a\x1b[1;5Pb"], b"ab"),
        (["aé".encode(), b"\x7fb"], b"ab"),
        (["éü".encode(), LEFT, b"x"], "éxü".encode()),
    ],
)
def test_keys_edit_the_line_and_the_screen_shows_it(keys, line):
    editor, screen, _ = typed(*keys)
    assert editor.line == line
    assert "".join(screen.row).rstrip() == line.decode()


KEYS = st.sampled_from([UP, DOWN, RIGHT, LEFT, HOME, END, DELETE, b"\x7f", b"\x15", b"\x17", b"\x0b", b"\r", b"a",
                        b"b", b" "])  # fmt: skip


@given(st.lists(KEYS, max_size=40))
def test_the_screen_always_shows_the_line_with_the_cursor_in_its_place(keys):
    editor, screen, _ = typed(*keys)
    assert "".join(screen.row).rstrip() == editor.line.decode().rstrip()
    before = screen.at
    typed(b"x", editor=editor)
    assert editor.line.decode()[before] == "x"
