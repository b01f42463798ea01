"""Syntax errors of Go's JSON decoder, and the depth of nesting that it accepts."""

import pytest

from cnmsim.gojson.scanner import GoJsonError, first_value, whole_value

#: What Docker Engine 26.1.5 and 28.5.2 answered to these bodies of POST /volumes/create, after "invalid JSON: ".
REFUSED = [
    (b"[", "unexpected EOF"),
    (b"tru", "unexpected EOF"),
    (b"trux", "invalid character 'x' in literal true (expecting 'e')"),
    (b"-a", "invalid character 'a' in numeric literal"),
    (b"1.", "unexpected EOF"),
    (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
    (b"1e+q", "invalid character 'q' in exponent of numeric literal"),
    (b'"a\x01"', "invalid character '\\x01' in string literal"),
    (b'["\xff\\x"]', "invalid character 'x' in string escape code"),
    (b'"\\u12g"', "invalid character 'g' in \\u hexadecimal character escape"),
    (b'"abc', "unexpected EOF"),
    (b"\xc3\xa9", "invalid character 'Ã' looking for beginning of value"),
    (b"\x80", "invalid character '\\u0080' looking for beginning of value"),
    (b"\x07", "invalid character '\\a' looking for beginning of value"),
    (b"\x7f", "invalid character '\\x7f' looking for beginning of value"),
    (b"'", "invalid character '\\'' looking for beginning of value"),
    (b"{1:2}", "invalid character '1' looking for beginning of object key string"),
    (b'{"a" 1}', "invalid character '1' after object key"),
    (b'{"a":01}', "invalid character '1' after object key:value pair"),
    (b"[1,]", "invalid character ']' looking for beginning of value"),
    (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
    (b"[1 2]", "invalid character '2' after array element"),
    (b"-Infinity", "invalid character 'I' in numeric literal"),
    (b"[" * 10_000, "unexpected EOF"),
    (b"[" * 10_001, "invalid character '[' exceeded max depth"),
    (b'{"a":' * 10_001, "invalid character '{' exceeded max depth"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=range(len(REFUSED)))
def test_a_syntax_error_has_the_message_of_go(text, message):
    with pytest.raises(GoJsonError) as raised:
        first_value(text)
    assert str(raised.value) == message


def test_ten_thousand_levels_are_read_without_recursion():
    for opening, content, closing in ((b"[", b"", b"]"), (b'{"a":', b"1", b"}")):
        value, rest = first_value(opening * 10_000 + content + closing * 10_000 + b" x")
        levels = 0
        while value not in ([], 1):
            value, levels = (value[0] if isinstance(value, list) else value["a"]), levels + 1
        assert (levels, rest) == (10_000 if content else 9_999, " x")


def test_bytes_that_are_not_utf8_and_halves_of_surrogate_pairs_become_replacement_characters():
    assert first_value(b'{"\xff\xe2\x82":"\\ud800x\\ud83d\\ude00"}') == ({"\ufffd" * 3: "\ufffdx\U0001f600"}, "")


def test_a_whole_text_has_to_be_one_value():
    assert whole_value(b' {"a": 1.5} ') == {"a": 1.5}
    for text, message in (
        (b"{} {}", "invalid character '{' after top-level value"),
        (b'{"a"', "unexpected end of JSON input"),
        (b"", "unexpected end of JSON input"),
    ):
        with pytest.raises(GoJsonError) as raised:
            whole_value(text)
        assert str(raised.value) == message
