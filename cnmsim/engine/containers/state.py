"""The states of a container, and the table of transitions between them.

Source: moby `daemon/container/state.go`. A failed start leaves the state as it was.
"""

from __future__ import annotations

from enum import Enum

from cnmsim.errors import SystemFault


class ContainerState(Enum):
    """The states that `docker ps` prints."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"


class Change(Enum):
    """The events that move a container from one state to another."""

    START = "start"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    EXIT = "exit"
    EXIT_TO_RESTART = "exit, to be restarted"
    GIVE_UP_RESTART = "give up restarting"
    REMOVE = "remove"
    FAIL_REMOVAL = "fail to be removed"


S, C = ContainerState, Change
TRANSITIONS: dict[tuple[ContainerState, Change], ContainerState] = {
    (S.CREATED, C.START): S.RUNNING,
    (S.CREATED, C.REMOVE): S.REMOVING,
    (S.RUNNING, C.PAUSE): S.PAUSED,
    (S.RUNNING, C.EXIT): S.EXITED,
    (S.RUNNING, C.EXIT_TO_RESTART): S.RESTARTING,
    (S.PAUSED, C.UNPAUSE): S.RUNNING,
    (S.PAUSED, C.EXIT): S.EXITED,
    (S.PAUSED, C.EXIT_TO_RESTART): S.RESTARTING,
    (S.RESTARTING, C.START): S.RUNNING,
    (S.RESTARTING, C.GIVE_UP_RESTART): S.EXITED,
    (S.EXITED, C.START): S.RUNNING,
    (S.EXITED, C.REMOVE): S.REMOVING,
    (S.REMOVING, C.FAIL_REMOVAL): S.DEAD,
    (S.DEAD, C.REMOVE): S.REMOVING,
}
#: The states in which Docker's `State.Running` is true; it includes waiting to be restarted.
RUNNING_STATES = frozenset({S.RUNNING, S.PAUSED, S.RESTARTING})


def after(state: ContainerState, change: Change) -> ContainerState:
    """Return the state that follows `state` after a change. Raises `SystemFault` if the change is not allowed."""
    try:
        return TRANSITIONS[state, change]
    except KeyError:
        raise SystemFault(f"a {state.value} container cannot {change.value}") from None
