"""The releases of Docker Engine that a lab can simulate."""

from __future__ import annotations

from cnmsim.errors import InvalidParameter
from cnmsim.libnetwork.profile import PROFILES
from cnmsim.suggestion import suggestion

#: The newest release that is simulated.
DEFAULT_RELEASE = "29.7.2"


def require_release(version: str) -> str:
    """Return the full number of a release, such as `29.7.2`.

    `version` is that number or its beginning: `29` selects the newest release 29. Raises `InvalidParameter` if there
    is none.
    """
    matching = [release for release in PROFILES if f"{release}.".startswith(f"{version}.")]
    if not matching:
        is_file = str(version).endswith((".yml", ".yaml"))
        hint = f"; Lab.from_compose({version!r}) reads a file" if is_file else suggestion(str(version), PROFILES)
        raise InvalidParameter(f"no engine release {version}{hint}")
    return max(matching, key=lambda release: [int(part) for part in release.split(".")])
