"""Causes and assumptions about programs that are not simulated."""

from __future__ import annotations

from attrs import frozen

from cnmsim.engine.standins.knownport import KnownPort
from cnmsim.observe.diagnosis.causes.base import Assumption, Cause, Remark


@frozen
class PathOpen(Cause):
    """The probe arrived at `endpoint` of `server`, whose `program` is not simulated. Its listeners are not known.

    `known` are the ports on which it is known to listen, such as `8000/tcp`.
    """

    server: str
    endpoint: str
    program: str
    known: tuple[str, ...] = ()


@frozen
class ListenerAssumed(Assumption):
    """`program`, which is not simulated, listens on `port` of `server`. `port` holds the source of that knowledge."""

    server: str
    program: str
    port: KnownPort


@frozen
class NoOtherListenerAssumed(Assumption):
    """`program`, which is not simulated, listens on no other ports of `server` than `ports`."""

    server: str
    program: str
    ports: tuple[KnownPort, ...]


@frozen
class InternetAssumed(Assumption):
    """`destination`, a public name or address, exists and answers: `server` stands for the whole internet."""

    server: str
    destination: str


@frozen
class StateListener(Remark):
    """A user can state that `service` listens on a port, if it is so."""

    service: str
    port: str
