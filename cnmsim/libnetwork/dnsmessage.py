"""DNS messages of the embedded resolver: parsing of queries, and encoding of the resolver's own answers.

The bytes are the same as from Go's DNS library. Whether a message is accepted as a query is decided from its header
alone. Answers are uncompressed unless they would be too long; if compression is not enough, they are truncated.
Source: moby `libnetwork/resolver.go` (all releases), github.com/miekg/dns `acceptfunc.go`, `msg_truncate.go`; RFC
1035 §4.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

from attrs import frozen

from cnmsim.kernel.address import Address, literal_address

A, PTR, MX, AAAA = 1, 12, 15, 28
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5
#: Response codes, by the names that dig prints.
RCODE_NAMES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
#: TTL in seconds of the resolver's own answers.
TTL_S = 600
UDP_LIMIT, TCP_LIMIT = 512, 65535

_HEADER = Struct("!HHHHHH")
_RECORD = Struct("!HHIH")
_QR, _OPCODE, _AA, _TC, _RD, _RA, _Z, _CD = 0x8000, 0x7800, 0x0400, 0x0200, 0x0100, 0x0080, 0x0040, 0x0010
_IN = 1
_OPCODE_QUERY, _OPCODE_NOTIFY = 0, 4
#: A compression pointer to the question's name (RFC 1035 §4.1.4).
_QUESTION_POINTER = b"\xc0\x0c"


@frozen
class Query:
    """One DNS query.

    `name` is the queried name as sent, in its original case and with the final dot; `owner` is the same name in wire
    format. `kind` is the requested record type as a number (1 for A). `edns_payload` is the UDP payload size that the
    client announces, or 0 without EDNS.
    """

    id: int
    flags: int
    name: str
    owner: bytes
    kind: int
    question_class: int
    edns_payload: int

    def limit(self, *, is_tcp: bool) -> int:
        """Return the size in bytes of the largest answer that the client accepts.

        `is_tcp` is True if the query arrived over TCP, False for UDP.
        """
        return TCP_LIMIT if is_tcp else max(UDP_LIMIT, self.edns_payload)

    @property
    def kind_name(self) -> str:
        """The requested record type as text, e.g. "AAAA"."""
        import dns.rdatatype

        return dns.rdatatype.to_text(dns.rdatatype.RdataType.make(self.kind))


@frozen
class Rejection:
    """A message that is not accepted as a query, with the response to it.

    `answer` is the response as a DNS message; `None` if no response is sent.
    """

    answer: bytes | None


def read_query(wire: bytes) -> Query | Rejection:
    """Parse a DNS message into a query.

    If the message is not accepted, return a `Rejection` with the response to send instead. Never raises an exception.
    """
    if len(wire) < _HEADER.size:
        return Rejection(None)
    message_id, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(wire)
    if flags & _QR:
        return Rejection(None)
    if (flags & _OPCODE) >> 11 not in {_OPCODE_QUERY, _OPCODE_NOTIFY}:
        return Rejection(_refusal(message_id, flags, NOTIMP))
    if questions != 1 or answers > 1 or authorities > 1 or additionals > 2:
        return Rejection(_refusal(message_id, flags, FORMERR))
    return _parse(wire, message_id, flags) or Rejection(_refusal(message_id, flags, FORMERR))


def _parse(wire: bytes, message_id: int, flags: int) -> Query | None:
    import dns.exception
    import dns.message

    try:
        message = dns.message.from_wire(wire, ignore_trailing=True)
        question = message.question[0]
        owner = question.name.to_wire()
        name = question.name.to_text()
    except (dns.exception.DNSException, ValueError, LookupError):
        return None
    assert owner is not None
    payload = message.payload if message.edns >= 0 else 0
    return Query(message_id, flags, name, owner, int(question.rdtype), int(question.rdclass), payload)


def _refusal(message_id: int, flags: int, rcode: int) -> bytes:
    """Encode a response that consists of a header only, with the error code `rcode`.

    `message_id` and `flags` are those of the query. The query's opcode is copied only if `rcode` is NOTIMP.
    """
    kept = flags & ~(_AA | _Z | 0xF | (0 if rcode == NOTIMP else _OPCODE))
    return _HEADER.pack(message_id, kept | _QR | rcode, 0, 0, 0, 0)


def answer(query: Query, records: Sequence[bytes] = (), *, limit: int, rcode: int = NOERROR) -> bytes:
    """Encode an answer to `query`, in which all records belong to the queried name.

    Each of `records` is the bytes of a record's type, class, TTL, length and data. The answer has at most `limit`
    bytes: it is compressed if it is too long, and if that is not enough, truncated and marked TC.
    """
    flags = _QR | _RA | rcode | query.flags & (_OPCODE | _RD | _CD)
    if rcode != NOERROR:
        flags &= ~_RA
    question = query.owner + query.kind.to_bytes(2) + query.question_class.to_bytes(2)
    head = _HEADER.size + len(question)
    owner = query.owner
    if head + sum(len(owner) + len(data) for data in records) > limit:
        owner = _QUESTION_POINTER
    kept: list[bytes] = []
    size = head
    for record in records:
        size += len(owner) + len(record)
        if size > limit:
            flags |= _TC
            break
        kept.append(owner + record)
    return _HEADER.pack(query.id, flags, 1, len(kept), 0, 0) + question + b"".join(kept)


def address_record(address: Address) -> bytes:
    """Encode an A record (IPv4) or an AAAA record (IPv6), without the owner name."""
    return _RECORD.pack(AAAA if len(address) == 16 else A, _IN, TTL_S, len(address)) + address


def pointer_record(name: str) -> bytes:
    """Encode a PTR record, without the owner name. Raises `ValueError` if `name` is not a domain name."""
    import dns.exception
    import dns.name

    try:
        target = dns.name.from_text(name).to_wire()
    except dns.exception.DNSException as error:
        raise ValueError(f"invalid domain name {name!r}: {error}") from None
    assert target is not None
    return _RECORD.pack(PTR, _IN, TTL_S, len(target)) + target


def reversed_address(name: str) -> Address | None:
    """Return the address in a reverse-lookup name, e.g. 1.2.3.4 for `4.3.2.1.in-addr.arpa.`.

    Return `None` for any other name. IPv6 names end in `ip6.arpa.`. As in the engine, the suffix and the hexadecimal
    digits must be in lower case.
    """
    if name.endswith(".in-addr.arpa."):
        labels = name.removesuffix(".in-addr.arpa.").split(".")
        return literal_address(".".join(reversed(labels))) if len(labels) == 4 else None
    if name.endswith(".ip6.arpa."):
        digits = name.removesuffix(".ip6.arpa.").split(".")
        if len(digits) != 32 or any(len(digit) != 1 or digit not in "0123456789abcdef" for digit in digits):
            return None
        return bytes.fromhex("".join(reversed(digits)))
    return None


def rcode_of(wire: bytes) -> int | None:
    """Return the response code of an upstream server's answer, or `None` if the answer cannot be parsed."""
    import dns.exception
    import dns.message

    try:
        message = dns.message.from_wire(wire, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError, LookupError):
        return None
    return int(message.rcode()) if message.flags & _QR else None
