"""Restart policies: whether and when a container that exited is restarted.

Source: moby `daemon/internal/restartmanager/restartmanager.go`.
"""

from __future__ import annotations

from attrs import define

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 60.0
#: After a run of at least this long the delay starts from its minimum again.
_CALM_S = 10.0


@define
class RestartManager:
    """Decides whether and when one container is restarted.

    `policy` and `maximum_retries` are those of the container's restart policy. `retries` counts the restarts,
    `pause_s` is the current delay in seconds.
    """

    policy: str = "no"
    maximum_retries: int = 0
    retries: int = 0
    pause_s: float = 0.0

    def reset(self) -> None:
        """Reset the delay and the count of restarts, because the user started the container."""
        self.retries, self.pause_s = 0, 0.0

    def pause_before_restart(self, exit_code: int, ran_s: float, *, was_stopped: bool) -> float | None:
        """Return after how many seconds a container that exited is started again; `None` if it is not.

        `ran_s` is how long it ran. `was_stopped` is True if a user stopped or killed it.
        """
        if self.policy in {"", "no"}:
            return None
        if ran_s >= _CALM_S:
            self.pause_s = 0.0
        self.pause_s = min(self.pause_s * 2 or _FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        if was_stopped or not self._wants_restart(exit_code):
            return None
        self.retries += 1
        return self.pause_s

    def _wants_restart(self, exit_code: int) -> bool:
        if self.policy == "on-failure":
            has_retry = self.maximum_retries == 0 or self.retries < self.maximum_retries
            return exit_code != 0 and has_retry
        return self.policy in {"always", "unless-stopped"}
