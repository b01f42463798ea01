"""The TCP connection states and the table of transitions between them (RFC 9293 §3.3.2, figure 5)."""

from __future__ import annotations

from enum import Enum


class TcpState(Enum):
    """A connection state; the value is its name in `ss`."""

    CLOSED = "UNCONN"
    LISTEN = "LISTEN"
    SYN_SENT = "SYN-SENT"
    SYN_RECEIVED = "SYN-RECV"
    ESTABLISHED = "ESTAB"
    FIN_WAIT_1 = "FIN-WAIT-1"
    FIN_WAIT_2 = "FIN-WAIT-2"
    CLOSE_WAIT = "CLOSE-WAIT"
    CLOSING = "CLOSING"
    LAST_ACK = "LAST-ACK"
    TIME_WAIT = "TIME-WAIT"

    # Members are singletons. Hashing by identity avoids Enum's slow hash of the name on the packet path.
    __hash__ = object.__hash__


class TcpEvent(Enum):
    """An event that moves a connection from one state to another."""

    ACTIVE_OPEN = "connect"
    PASSIVE_OPEN = "listen"
    SYN = "SYN received"
    SYN_ACK = "SYN and ACK of our SYN received"
    ACK_OF_SYN = "ACK of our SYN received"
    CLOSE = "close"
    FIN = "FIN received"
    ACK_OF_FIN = "ACK of our FIN received"
    EXPIRY = "TIME-WAIT or FIN-WAIT-2 is over"
    ABORT = "reset, abort, or given up"

    __hash__ = object.__hash__


_S, _E = TcpState, TcpEvent
TRANSITIONS: dict[tuple[TcpState, TcpEvent], TcpState] = {
    (_S.CLOSED, _E.ACTIVE_OPEN): _S.SYN_SENT,
    (_S.CLOSED, _E.PASSIVE_OPEN): _S.LISTEN,
    # A listener stays in LISTEN; each SYN creates a connection whose initial state is LISTEN, too.
    (_S.LISTEN, _E.SYN): _S.SYN_RECEIVED,
    (_S.LISTEN, _E.CLOSE): _S.CLOSED,
    (_S.SYN_SENT, _E.SYN): _S.SYN_RECEIVED,
    (_S.SYN_SENT, _E.SYN_ACK): _S.ESTABLISHED,
    (_S.SYN_SENT, _E.CLOSE): _S.CLOSED,
    (_S.SYN_RECEIVED, _E.ACK_OF_SYN): _S.ESTABLISHED,
    (_S.SYN_RECEIVED, _E.CLOSE): _S.FIN_WAIT_1,
    (_S.ESTABLISHED, _E.CLOSE): _S.FIN_WAIT_1,
    (_S.ESTABLISHED, _E.FIN): _S.CLOSE_WAIT,
    (_S.FIN_WAIT_1, _E.FIN): _S.CLOSING,
    (_S.FIN_WAIT_1, _E.ACK_OF_FIN): _S.FIN_WAIT_2,
    (_S.FIN_WAIT_2, _E.FIN): _S.TIME_WAIT,
    (_S.FIN_WAIT_2, _E.EXPIRY): _S.CLOSED,
    (_S.CLOSE_WAIT, _E.CLOSE): _S.LAST_ACK,
    (_S.CLOSING, _E.ACK_OF_FIN): _S.TIME_WAIT,
    (_S.LAST_ACK, _E.ACK_OF_FIN): _S.CLOSED,
    (_S.TIME_WAIT, _E.EXPIRY): _S.CLOSED,
    **{(state, _E.ABORT): _S.CLOSED for state in _S if state not in (_S.CLOSED, _S.LISTEN)},
}


def next_state(state: TcpState, event: TcpEvent) -> TcpState:
    """Return the state after `event`. Raises `RuntimeError` for an event that is impossible in `state`."""
    following = TRANSITIONS.get((state, event))
    if following is None:
        raise RuntimeError(f"TCP: {event.name} cannot happen in {state.name}")
    return following


#: States in which this side has sent FIN or will send no more.
SEND_CLOSED = frozenset((_S.FIN_WAIT_1, _S.FIN_WAIT_2, _S.CLOSING, _S.LAST_ACK, _S.TIME_WAIT, _S.CLOSED))
#: States in which the peer may still send data.
RECEIVING = frozenset((_S.ESTABLISHED, _S.FIN_WAIT_1, _S.FIN_WAIT_2))
#: States in which data or a FIN may be in flight to the peer.
SENDING = frozenset((_S.ESTABLISHED, _S.CLOSE_WAIT, _S.FIN_WAIT_1, _S.CLOSING, _S.LAST_ACK))
#: States in which keepalives are sent.
SYNCHRONIZED = SENDING | {_S.FIN_WAIT_2}
#: States before the connection is established.
OPENING = frozenset((_S.SYN_SENT, _S.SYN_RECEIVED))
