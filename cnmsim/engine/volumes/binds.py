"""The syntax of `HostConfig.Binds`, and the checks of `HostConfig.Mounts`.

Source: moby `volume/mounts/{linux_parser,validate}.go` (v26.1.5).
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Any

from attrs import frozen

from cnmsim.errors import InvalidParameter
from cnmsim.libnetwork.profile import Profile

_PROPAGATIONS = ("private", "rprivate", "slave", "rslave", "shared", "rshared")
#: Words of a mode by kind; a mode has at most one of each kind.
_MODES = (("rw", "ro"), ("z", "Z"), _PROPAGATIONS, ("nocopy",), ("consistent", "cached", "delegated"))


@frozen
class Bind:
    """A parsed entry of `HostConfig.Binds`.

    `source` is a host path, a volume's name, or "" for a new anonymous volume.
    """

    source: str
    destination: str
    mode: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """The words in the mode: `("ro", "z")` for `ro,z`."""
        return tuple(self.mode.split(",")) if self.mode else ()

    @property
    def is_host_path(self) -> bool:
        """Whether the source is a path of the host, not a volume."""
        return self.source.startswith("/")

    @property
    def propagation(self) -> str:
        """The mode's word for mount propagation, such as `rslave`, or ""."""
        return next((word for word in self.words if word in _PROPAGATIONS), "")


def is_valid_mode(mode: str) -> bool:
    """Return True if a mode such as `ro,z` has only known words, and at most one of each kind."""
    words = mode.split(",") if mode else []
    counts = [sum(word in kind for word in words) for kind in _MODES]
    return sum(counts) == len(words) and max(counts) <= 1


def parse_bind(text: str) -> Bind:
    """Parse an entry `SOURCE:DESTINATION[:MODE]` or `DESTINATION`.

    Raises `InvalidParameter`, with the engine's text, for a malformed entry, an unknown mode, or a mode that the kind
    of source does not permit.
    """
    parts = text.split(":")
    if len(parts) > 3 or not parts[0]:
        raise InvalidParameter(f"invalid volume specification: '{text}'")
    if len(parts) == 1:
        bind = Bind("", text)
    elif len(parts) == 2 and parts[1] and is_valid_mode(parts[1]):
        raise InvalidParameter(f"invalid volume specification: '{text}'")
    else:
        bind = Bind(*parts)
    if not is_valid_mode(bind.mode):
        raise InvalidParameter(f"invalid mode: {bind.mode}")
    kind = "bind" if bind.is_host_path else "volume"
    fault = _target_fault(bind.destination)
    if not fault and kind == "bind" and "nocopy" in bind.words:
        fault = "field VolumeOptions must not be specified"
    if not fault and kind == "volume" and bind.propagation:
        fault = "field BindOptions must not be specified"
    if fault:
        raise InvalidParameter(f"invalid volume specification: '{text}': {_config_fault(kind, fault)}")
    return Bind(bind.source, posixpath.normpath(bind.destination), bind.mode)


def _config_fault(kind: str, fault: str) -> str:
    return f'invalid mount config for type "{kind}": {fault}'


def _target_fault(target: str) -> str:
    if not target:
        return "field Target must not be empty"
    if posixpath.normpath(target) == "/":
        return "invalid specification: destination can't be '/'"
    return "" if target.startswith("/") else f"invalid mount path: '{target}' mount path must be absolute"


def check_spec(profile: Profile, spec: dict[str, Any], has_source: Callable[[str], bool]) -> None:
    """Check an entry of `HostConfig.Mounts` by the rules of the release `profile`.

    `has_source` returns True if a path of the host exists. Raises `InvalidParameter`, with the engine's text, for an
    unknown type, a field that the type does not permit, or a missing host path.
    """
    kind, target = spec.get("Type") or "", spec.get("Target") or ""
    has_image_mounts = profile.has_image_mounts
    fault = _exclusive_fault(kind, spec) if profile.exclusive_mount_options_first else ""
    fault = fault or _target_fault(target)
    if not fault and has_image_mounts and kind != "image" and spec.get("ImageOptions") is not None:
        fault = "field ImageOptions must not be specified"
    if not fault:
        check = _FAULTS.get(kind) if has_image_mounts or kind != "image" else None
        fault = check(spec) if check is not None else "mount type unknown"
    source = spec.get("Source") or ""
    is_anonymous = kind == "volume" and not source
    if not fault and is_anonymous and spec.get("ReadOnly") and not profile.mounts_anonymous_read_only:
        fault = "must not set ReadOnly mode when using anonymous volumes"
    creates = (spec.get("BindOptions") or {}).get("CreateMountpoint")
    if not fault and kind == "bind" and not creates and not has_source(source):
        fault = f"bind source path does not exist: {source}"
    if fault:
        raise InvalidParameter(_config_fault(kind, fault))


def _exclusive_fault(kind: str, spec: dict[str, Any]) -> str:
    for owner in ("bind", "volume", "image", "tmpfs", "cluster"):
        name = f"{owner.title()}Options"
        if kind != owner and spec.get(name) is not None:
            return f"field {name} must not be specified"
    return ""


def _bind_fault(spec: dict[str, Any]) -> str:
    source, propagation = spec.get("Source") or "", (spec.get("BindOptions") or {}).get("Propagation") or ""
    if not source:
        return "field Source must not be empty"
    if propagation and propagation not in _PROPAGATIONS:
        return f"invalid propagation mode: {propagation}"
    if spec.get("VolumeOptions") is not None:
        return "field VolumeOptions must not be specified"
    return "" if source.startswith("/") else f"invalid mount path: '{source}' mount path must be absolute"


def _volume_fault(spec: dict[str, Any]) -> str:
    if spec.get("BindOptions") is not None:
        return "field BindOptions must not be specified"
    subpath = (spec.get("VolumeOptions") or {}).get("Subpath") or ""
    if subpath and not spec.get("Source"):
        return "must not set Subpath when using anonymous volumes"
    return _subpath_fault(subpath)


def _image_fault(spec: dict[str, Any]) -> str:
    if not spec.get("Source"):
        return "field Source must not be empty"
    subpath = (spec.get("ImageOptions") or {}).get("Subpath") or ""
    return _subpath_fault(subpath)


def _subpath_fault(subpath: str) -> str:
    if subpath.startswith("/") or posixpath.normpath(subpath).split("/")[0] == "..":
        return "subpath must be a relative path within the volume"
    return ""


def _tmpfs_fault(spec: dict[str, Any]) -> str:
    extra = next((field for field in ("BindOptions", "Source") if spec.get(field)), "")
    return f"field {extra} must not be specified" if extra else ""


_FAULTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "bind": _bind_fault,
    "volume": _volume_fault,
    "tmpfs": _tmpfs_fault,
    "image": _image_fault,
}
