"""The states of an IPVS connection and their timeouts (ip_vs_proto_tcp.c, ip_vs_proto_udp.c)."""

from __future__ import annotations

from enum import IntEnum

from cnmsim.kernel.packet import TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN


class IpvsState(IntEnum):
    """The states of a TCP connection, and the single state `UDP`."""

    NONE = 0
    ESTABLISHED = 1
    SYN_SENT = 2
    SYN_RECV = 3
    FIN_WAIT = 4
    TIME_WAIT = 5
    CLOSE = 6
    CLOSE_WAIT = 7
    LAST_ACK = 8
    LISTEN = 9
    SYNACK = 10
    UDP = 11


#: The timeout of each state in seconds (tcp_timeouts and udp_timeouts).
TIMEOUTS_S: dict[IpvsState, int] = {
    IpvsState.NONE: 2,
    IpvsState.ESTABLISHED: 900,
    IpvsState.SYN_SENT: 120,
    IpvsState.SYN_RECV: 60,
    IpvsState.FIN_WAIT: 120,
    IpvsState.TIME_WAIT: 120,
    IpvsState.CLOSE: 10,
    IpvsState.CLOSE_WAIT: 60,
    IpvsState.LAST_ACK: 30,
    IpvsState.LISTEN: 120,
    IpvsState.SYNACK: 120,
    IpvsState.UDP: 300,
}
#: The states in which a connection counts as active.
ACTIVE = frozenset({IpvsState.ESTABLISHED, IpvsState.SYN_SENT, IpvsState.SYN_RECV, IpvsState.SYNACK})

_SHORT = {
    "NO": IpvsState.NONE, "ES": IpvsState.ESTABLISHED, "SS": IpvsState.SYN_SENT, "SR": IpvsState.SYN_RECV,
    "FW": IpvsState.FIN_WAIT, "TW": IpvsState.TIME_WAIT, "CL": IpvsState.CLOSE, "CW": IpvsState.CLOSE_WAIT,
    "LA": IpvsState.LAST_ACK, "LI": IpvsState.LISTEN, "SA": IpvsState.SYNACK,
}  # fmt: skip


def _table(text: str) -> dict[str, tuple[IpvsState, ...]]:
    """Parse a table of state transitions. Return, for each TCP flag, the new state of each old state.

    A line of `text` is a TCP flag followed by the new states, in the order of `IpvsState`.
    """
    rows = (line.split() for line in text.strip().splitlines())
    return {row[0]: tuple(_SHORT[name] for name in row[1:]) for row in rows}


#: Transition tables for packets from the client, from the server, and from the client while replies bypass this host.
REQUEST = _table("""
    syn SR ES ES SR SR SR SR SR SR SR SR
    fin CL CW SS TW TW TW CL CW LA LI TW
    ack ES ES SS ES FW TW CL CW CL LI ES
    rst CL CL CL SR CL CL CL CL LA LI SR
""")
REPLY = _table("""
    syn SS ES SS SR SS SS SS SS SS LI SR
    fin TW FW SS TW FW TW CL TW LA LI TW
    ack ES ES SS ES FW TW CL CW LA ES ES
    rst CL CL SS CL CL TW CL CL CL CL CL
""")
REQUEST_ONLY = _table("""
    syn SR ES ES SR SR SR SR SR SR SR SR
    fin CL FW SS TW FW TW CL CW LA LI TW
    ack ES ES SS ES FW TW CL CW CL LI ES
    rst CL CL CL SR CL CL CL CL LA LI CL
""")


def next_state(old: IpvsState, flags: int, table: dict[str, tuple[IpvsState, ...]]) -> IpvsState:
    """Return the state that follows `old` after a segment with these TCP flags, according to `table`."""
    for bit, name in ((TCP_RST, "rst"), (TCP_SYN, "syn"), (TCP_FIN, "fin"), (TCP_ACK, "ack")):
        if flags & bit:
            return table[name][old]
    return IpvsState.CLOSE
