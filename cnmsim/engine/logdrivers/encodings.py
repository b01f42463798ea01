"""The formats of the log files of the drivers `json-file` and `local`.

Source: moby `daemon/logger/jsonfilelog/jsonlog/jsonlogbytes.go`, `daemon/logger/local/local.go`,
`api/types/plugins/logdriver/entry.proto`.
"""

from __future__ import annotations

import re

from attrs import frozen

from cnmsim.engine.logdrivers.message import LogLine
from cnmsim.gojson.fields import rfc3339

_INVALID = re.compile("[\udc80-\udcff]")
#: What `jsonlogbytes.go` escapes in strings; unlike `encoding/json` it has no short form for a tab.
_ESCAPES = {
    **{code: f"\\u{code:04x}" for code in (*range(32), *map(ord, "<>&\u2028\u2029"))},
    ord("\n"): "\\n", ord("\r"): "\\r", ord('"'): '\\"', ord("\\"): "\\\\",
}  # fmt: skip


def _log_string(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'


@frozen
class JsonEncoding:
    """The file format of the driver `json-file`: one JSON object a line.

    `attributes` is the JSON text of the field `attrs`, or "" for none.
    """

    attributes: str = ""

    def stored(self, text: bytes) -> bytes:
        """Return the text that a reader of the file gets back: each byte of invalid UTF-8 becomes U+FFFD."""
        try:
            text.decode()
        except UnicodeDecodeError:
            return _INVALID.sub("\ufffd", text.decode(errors="surrogateescape")).encode()
        return text

    def encode(self, line: LogLine) -> bytes:
        """Return the bytes of one message in the file."""
        attributes = f'"attrs":{self.attributes},' if self.attributes else ""
        log = f'"log":{_log_string(line.text.decode())},' if line.text else ""
        time = rfc3339(line.time_ns)
        return f'{{{log}"stream":"{line.stream}",{attributes}"time":"{time}"}}\n'.encode()


@frozen
class LocalEncoding:
    """The file format of the driver `local`.

    Protobuf messages (logdriver.LogEntry), each between two copies of its length. `attributes` are stored with each
    message, sorted.
    """

    attributes: tuple[tuple[str, str], ...] = ()

    def stored(self, text: bytes) -> bytes:
        """Return the text that a reader of the file gets back."""
        return text

    def encode(self, line: LogLine) -> bytes:
        """Return the bytes of one message in the file."""
        text = line.text.removesuffix(b"\n")
        entry = _bytes_field(1, line.stream.encode()) + b"\x10" + _varint(line.time_ns)
        if text:
            entry += _bytes_field(3, text)
        if not line.text.endswith(b"\n"):
            entry += b"\x20\x01"
        for name, value in self.attributes:
            entry += _bytes_field(6, _bytes_field(1, name.encode()) + _bytes_field(2, value.encode()))
        length = len(entry).to_bytes(4, "big")
        return length + entry + length


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _bytes_field(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(data)) + data


Encoding = JsonEncoding | LocalEncoding
