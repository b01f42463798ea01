"""Causes and assumptions about programs that are not simulated and whose ports are therefore not all known."""

from __future__ import annotations

from attrs import frozen

from cnmsim.engine.standins.knownport import KnownPort
from cnmsim.observe.diagnosis.causes.base import Assumption, Cause, Remark


@frozen
class PathOpen(Cause):
    """The probe arrived at `endpoint` of `server`, but it is not known whether its `program` listens there.

    The program is not simulated. `known` are the ports on which it is known to listen, such as `8000/tcp`.
    """

    server: str
    endpoint: str
    program: str
    known: tuple[str, ...] = ()


@frozen
class ListenerAssumed(Assumption):
    """Assumes that `program`, which is not simulated, listens on `port` of `server`.

    `port` also records the source of that knowledge, e.g. the image's name.
    """

    server: str
    program: str
    port: KnownPort


@frozen
class NoOtherListenerAssumed(Assumption):
    """Assumes that `program`, which is not simulated, listens on no ports of `server` other than `ports`."""

    server: str
    program: str
    ports: tuple[KnownPort, ...]


@frozen
class InternetAssumed(Assumption):
    """Assumes that `destination`, a public name or address, exists and answers: `server` represents the internet."""

    server: str
    destination: str


@frozen
class MachineAssumed(Assumption):
    """Assumes that the machine with `address` is on the LAN and answers.

    Only the Compose file mentions this machine.
    """

    address: str


@frozen
class StateListener(Remark):
    """A hint for the user: if `service` listens on `port`, tell cnmsim so with `--listen` or in the Compose file."""

    service: str
    port: str
