"""The differences between engine releases: one attribute per behaviour, one frozen instance per release.

Code reads the profile and never compares version numbers. Each release has a module of its own, written as its
differences from the release before.
"""

from __future__ import annotations

from cnmsim.libnetwork.profile.behaviour import Profile
from cnmsim.libnetwork.profile.v26 import V26
from cnmsim.libnetwork.profile.v28 import V28
from cnmsim.libnetwork.profile.v29 import V29

__all__ = ["DEFAULT_VERSION", "PROFILES", "Profile", "profile"]

PROFILES: dict[str, Profile] = {each.version: each for each in (V26, V28, V29)}
DEFAULT_VERSION = V29.version


def profile(version: str = DEFAULT_VERSION) -> Profile:
    """Return the profile of an engine release. Raises `ValueError` if it is not one of `PROFILES`."""
    try:
        return PROFILES[version]
    except KeyError:
        known = ", ".join(PROFILES)
        raise ValueError(f"unknown engine version {version!r} (known: {known})") from None
