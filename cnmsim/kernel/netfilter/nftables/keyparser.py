"""Parser of the fields in nft's rules. It also infers which protocols a rule implies (proto.c, evaluate.c)."""

from __future__ import annotations

from attrs import define

from cnmsim.kernel.netfilter.nftables import datatypes as types
from cnmsim.kernel.netfilter.nftables.cursor import Cursor
from cnmsim.kernel.netfilter.nftables.datatypes import Span
from cnmsim.kernel.netfilter.nftables.elements import Elements
from cnmsim.kernel.netfilter.nftables.errors import Location, NftError, kernel_refusal
from cnmsim.kernel.netfilter.nftables.keys import ALIASES, KEYS, MAX_WORDS, Key, raw_key
from cnmsim.kernel.netfilter.nftables.statements import Operand

#: Bases of raw payload expressions: the link, network or transport header.
_RAW_BASES = frozenset({"@ll", "@nh", "@th"})
_MAX_RAW_BITS = 128


@define(eq=False)
class KeyParser:
    """Parses the fields of one rule. `family` is the family of its table: `ip`, `ip6` or `inet`.

    `network` and `protocol` are the IP version (4, 6) and the transport protocol of the packets that the rule parsed
    so far can match. 0 means any; `protocol` -1 means one of several.
    """

    cursor: Cursor
    family: str
    network: int = 0
    protocol: int = 0

    def key(self) -> Key | None:
        """Consume the longest field that the next tokens form, such as `tcp dport`.

        Return None, and consume nothing, if they form no field. Raises `NftError` if the field is not allowed in the
        rule.
        """
        cursor = self.cursor
        if cursor.text in _RAW_BASES and cursor.peek(1) == ",":
            return self._raw()
        for count in range(MAX_WORDS, 0, -1):
            words = [cursor.text] + [cursor.peek(ahead) for ahead in range(1, count)]
            text = " ".join(words)
            text = ALIASES.get(text, text)
            if text.startswith("ct ") and text not in KEYS:
                # `ct original saddr` omits the family, which the table determines.
                parts = text.split()
                if len(parts) == 3 and parts[2] in {"saddr", "daddr"} and self.network:
                    text = f"ct {parts[1]} {'ip' if self.network == 4 else 'ip6'} {parts[2]}"
            key = KEYS.get(text)
            if key is not None:
                begin = cursor.location
                for _ in words:
                    cursor.take()
                self._check(key, begin.to(cursor.last_location))
                return key
        return None

    def _raw(self) -> Key:
        cursor = self.cursor
        begin = cursor.location
        base = cursor.take().text[1:]
        cursor.expect(",")
        offset = cursor.number()
        cursor.expect(",")
        bits = cursor.number()
        if base == "ll" or not 0 < bits <= _MAX_RAW_BITS:
            raise kernel_refusal("Operation not supported", begin.to(cursor.last_location))
        return raw_key(base, offset, bits)

    def _check(self, key: Key, location: Location) -> None:
        if key.text == "meta nfproto" and self.family != "inet":
            raise NftError("meta nfproto is only useful in the inet family", location)
        if key.family and self.network and key.family != self.network:
            names = {4: "ip", 6: "ip6"}
            raise NftError(
                f"conflicting network layer protocols specified: {names[self.network]} vs. {names[key.family]}",
                location,
            )
        if key.protocol and self.protocol and key.protocol != self.protocol:
            names = {number: types.PROTOCOL.write(number) for number in (key.protocol, self.protocol)}
            raise NftError(
                "conflicting transport layer protocols specified: "
                f"{names[self.protocol]} vs. {names[key.protocol]}", location,
            )  # fmt: skip

    def _infer_from_presence(self, key: Key) -> None:
        """Set `protocol` and `network` to those that a packet must have to contain the field `key`."""
        if key.protocol:
            self.protocol = key.protocol
        if key.family and key.is_payload:
            self.network = key.family

    def concatenation(self, first: Key) -> tuple[Key, ...]:
        """Consume the rest of a concatenation `first . second . …` and return all its fields.

        Raises `NftError` if a dot is not followed by a field.
        """
        keys = [first]
        while self.cursor.accept("."):
            key = self.key()
            if key is None:
                self.cursor.unexpected()
            keys.append(key)
        for key in keys:
            self._infer_from_presence(key)
        return tuple(keys)

    def infer_from_value(self, key: Key, operator: str, operand: Operand) -> None:
        """Set `protocol` or `network` if comparing `key` with `operand` restricts the packet to one of them.

        For example, `meta l4proto tcp` restricts it to TCP. `operator` is as in `Match`.
        """
        if operator or not isinstance(operand, Span) or not operand.is_single:
            if key.text == "meta l4proto" and isinstance(operand, Elements):
                self.protocol = self.protocol or -1
            return
        if key.text in {"meta l4proto", "ip protocol", "ip6 nexthdr"}:
            self.protocol = operand.low
        elif key.text == "meta nfproto":
            self.network = 4 if operand.low == 2 else 6
