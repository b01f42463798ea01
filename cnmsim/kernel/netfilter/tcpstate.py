"""The TCP states of connection tracking: a table from direction, flags and state to the next state.

Source: the behaviour of Linux 6.1 `net/netfilter/nf_conntrack_proto_tcp.c`. Sequence numbers and windows are not
tracked (as with the sysctl nf_conntrack_tcp_be_liberal).
"""

from __future__ import annotations

from enum import IntEnum

from cnmsim.kernel.packet import TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, TCP_URG


class TcpState(IntEnum):
    """Conntrack's states of a TCP connection, named as `conntrack -L` prints them."""

    NONE = 0
    SYN_SENT = 1
    SYN_RECV = 2
    ESTABLISHED = 3
    FIN_WAIT = 4
    CLOSE_WAIT = 5
    LAST_ACK = 6
    TIME_WAIT = 7
    CLOSE = 8
    SYN_SENT2 = 9


#: Results that are not states: the packet is invalid for the connection, or valid but leaves the state unchanged.
INVALID, IGNORE = -1, -2

_CODES = {
    "no": 0, "ss": 1, "sr": 2, "es": 3, "fw": 4, "cw": 5, "la": 6, "tw": 7, "cl": 8, "s2": 9, "--": INVALID,
    "..": IGNORE,
}  # fmt: skip

# Columns are the current state, in the order of TcpState.
_TEXT = {
    #                  no ss sr es fw cw la tw cl s2
    ("orig", "syn"): "ss ss .. .. .. .. .. ss ss s2",
    ("orig", "synack"): "-- -- sr -- -- -- -- -- -- sr",
    ("orig", "fin"): "-- -- fw fw la la la tw cl --",
    ("orig", "ack"): "es -- es es cw cw tw tw cl --",
    ("orig", "rst"): "-- cl cl cl cl cl cl cl cl cl",
    ("reply", "syn"): "-- s2 .. .. .. .. .. ss .. s2",
    ("reply", "synack"): "-- sr .. .. .. .. .. .. .. sr",
    ("reply", "fin"): "-- -- fw fw la la la tw cl --",
    ("reply", "ack"): "-- .. sr es cw cw tw tw cl ..",
    ("reply", "rst"): "-- cl cl cl cl cl cl cl cl cl",
}
_KINDS = ("syn", "synack", "fin", "ack", "rst")
SYN, SYNACK, FIN, ACK, RST, ODD = range(6)


def _rows(direction: str) -> tuple[tuple[int, ...], ...]:
    rows = [tuple(_CODES[word] for word in _TEXT[direction, kind].split()) for kind in _KINDS]
    return (*rows, (INVALID,) * 10)


#: TRANSITIONS[is_reply][kind of flags][state]: the next state
TRANSITIONS = (_rows("orig"), _rows("reply"))

_SENSIBLE = {
    TCP_SYN: SYN, TCP_SYN | TCP_URG: SYN, TCP_SYN | TCP_ACK: SYNACK, TCP_RST: RST, TCP_RST | TCP_ACK: RST,
    TCP_FIN | TCP_ACK: FIN, TCP_FIN | TCP_ACK | TCP_URG: FIN, TCP_ACK: ACK, TCP_ACK | TCP_URG: ACK,
}  # fmt: skip
#: FLAG_KIND[flags byte]: the kind of a segment. PSH, ECE and CWR are ignored; an invalid combination is ODD.
FLAG_KIND = tuple(_SENSIBLE.get(flags & 0x37, ODD) for flags in range(256))
