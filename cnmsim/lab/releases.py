"""The releases of Docker Engine that a lab can simulate."""

from __future__ import annotations

from cnmsim.errors import InvalidParameter
from cnmsim.libnetwork.profile import PROFILES
from cnmsim.suggestion import suggestion

#: The newest release that is simulated.
DEFAULT_RELEASE = "29.7.2"


def require_release(version: str) -> str:
    """Return the release named by `version`: in full, or by its first numbers (`"29"`: the newest 29).

    Raises `InvalidParameter` if there is none.
    """
    matching = [release for release in PROFILES if f"{release}.".startswith(f"{version}.")]
    if not matching:
        raise InvalidParameter(f"no engine release {version}{suggestion(str(version), PROFILES)}")
    return max(matching, key=lambda release: [int(part) for part in release.split(".")])
