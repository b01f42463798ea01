"""What differs between engine releases, for the strata above libnetwork."""

from __future__ import annotations

from cnmsim.libnetwork.profile import DEFAULT_VERSION, PROFILES, Profile, profile

__all__ = ["DEFAULT_VERSION", "PROFILES", "Profile", "profile"]
