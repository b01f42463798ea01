"""The differences between engine releases: one attribute per behaviour, one frozen instance per release.

Code reads the profile and never compares version numbers.
"""

from __future__ import annotations

from attrs import fields

from cnmsim.libnetwork.profile.behaviour import Profile

__all__ = ["DEFAULT_VERSION", "PROFILES", "Profile", "profile"]


def _release(name: str) -> Profile:
    """Return the profile of a release, given by the name of its parameter of `per_release`, such as "v28"."""
    return Profile(**{each.name: each.metadata[name] for each in fields(Profile) if each.metadata})


PROFILES: dict[str, Profile] = {each.version: each for each in (Profile(), _release("v28"), _release("v29"))}
DEFAULT_VERSION = next(reversed(PROFILES))


def profile(version: str = DEFAULT_VERSION) -> Profile:
    """Return the profile of an engine release. Raises `ValueError` if it is not one of `PROFILES`."""
    try:
        return PROFILES[version]
    except KeyError:
        known = ", ".join(PROFILES)
        raise ValueError(f"unknown engine version {version!r} (known: {known})") from None
