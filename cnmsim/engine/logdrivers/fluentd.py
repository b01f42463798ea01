"""The messages of the driver `fluentd`: the forward protocol, in MessagePack.

Source: moby `daemon/logger/fluentd/fluentd.go`, fluent/fluent-logger-golang `proto.go`, the specification of
MessagePack.
"""

from __future__ import annotations

from hashlib import sha256

from attrs import define, field

from cnmsim.engine.logdrivers.message import LogLine
from cnmsim.kernel.clock import NS_PER_S

_LONG_STRING = 0xDA


@define(eq=False)
class FluentdFormat:
    """Encodes messages for the driver `fluentd`: each is an array of tag, time, record and empty options.

    With `is_precise` (fluentd-sub-second-precision) the time is an EventTime of seconds and nanoseconds.
    """

    tag: str
    fields: dict[str, str]
    is_precise: bool = False
    #: The number of the last part of a line that is being logged in parts, by stream.
    _parts: dict[str, int] = field(factory=dict, init=False, repr=False)

    def format(self, line: LogLine) -> bytes:
        """Return the bytes to send for one message."""
        seconds, rest = divmod(line.time_ns, NS_PER_S)
        if self.is_precise:
            time = b"\xd7\x00" + seconds.to_bytes(4, "big") + rest.to_bytes(4, "big")
        else:
            time = b"\xd2" + seconds.to_bytes(4, "big") if seconds < 1 << 31 else b"\xd3" + seconds.to_bytes(8, "big")
        record: dict[str, str | bytes] = {**self.fields, "source": line.stream, "log": line.text.removesuffix(b"\n")}
        is_last = line.text.endswith(b"\n")
        ordinal = self._parts.pop(line.stream, 0) + 1
        if not is_last or ordinal > 1:
            identity = f"{self.fields} {line.stream} {line.time_ns}".encode()  # a real one is random
            record |= {
                "partial_message": "true",
                "partial_id": sha256(identity).hexdigest(),
                "partial_ordinal": str(ordinal),
                "partial_last": str(is_last).lower(),
            }
        if not is_last:
            self._parts[line.stream] = ordinal
        items = b"".join(_string(key) + _string(value) for key, value in record.items())
        return b"\x94" + _string(self.tag) + time + _map_head(len(record)) + items + b"\x80"


def _map_head(size: int) -> bytes:
    return bytes([0x80 | size]) if size < 16 else b"\xde" + size.to_bytes(2, "big")


def _string(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    if len(data) < 32:
        return bytes([0xA0 | len(data)]) + data
    if len(data) < 256:
        return bytes([_LONG_STRING - 1, len(data)]) + data
    return bytes([_LONG_STRING]) + len(data).to_bytes(2, "big") + data
