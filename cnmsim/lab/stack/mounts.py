"""Conversion of a service's `volumes` to mounts.

Source: docker/cli `cli/compose/convert/volume.go`, `internal/volumespec/volumespec.go` (v29.7.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from os.path import normpath
from pathlib import Path
from typing import Any

from attrs import define

from cnmsim.lab.compose.scalars import string_map

_PROPAGATIONS = ("rprivate", "private", "rshared", "shared", "rslave", "slave")
_OPTIONS = ("volume", "bind", "tmpfs")


@define
class Volume:
    """One item of `volumes`. `bind`, `volume` and `tmpfs` are the options for a mount of that type, or `None`."""

    type: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind: Mapping[str, Any] | None = None
    volume: Mapping[str, Any] | None = None
    tmpfs: Mapping[str, Any] | None = None

    @classmethod
    def parse(cls, item: Any) -> Volume:
        """Parse an item in short or long syntax.

        Raises `ValueError` for an invalid item, with the text that the docker command prints.
        """
        if isinstance(item, Mapping):
            return cls(**{key: value for key, value in item.items() if not key.startswith("x-")})
        return _parse_short(item)


def _parse_short(spec: str) -> Volume:
    if not spec:
        raise ValueError("invalid empty volume spec")
    if len(spec) <= 2:
        return Volume("volume", target=spec)
    parts = _split(spec)
    if any(not part for part in parts):
        raise ValueError(f"invalid spec: {spec}: empty section between colons")
    if len(parts) > 3:
        raise ValueError(f"invalid spec: {spec}: too many colons")
    volume = Volume(target=parts[0]) if len(parts) == 1 else Volume(source=parts[0], target=parts[1])
    for option in parts[2].split(",") if len(parts) == 3 else ():
        if option in {"ro", "rw"}:
            volume.read_only = option == "ro"
        elif option == "nocopy":
            volume.volume = {"nocopy": True}
        elif option in _PROPAGATIONS:
            volume.bind = {"propagation": option}
    volume.type = "bind" if _is_path(volume.source) else "volume"
    return volume


def _split(spec: str) -> list[str]:
    """Split a short-syntax item at its colons, except at the colon after a Windows drive letter."""
    parts: list[str] = []
    for part in spec.split(":"):
        if parts and len(parts[-1]) == 1 and parts[-1].isalpha():
            parts[-1] += f":{part}"
        else:
            parts.append(part)
    return parts


def _is_path(source: str) -> bool:
    if source.startswith((".", "/", "~")):
        return True
    return len(source) > 1 and (source.startswith("\\\\") or (source[0].isalpha() and source[1] == ":"))


@define
class Mounts:
    """Converts the `volumes` of services to mounts.

    `declared` are the volumes declared in the stack, by name. `label` is put on each volume and marks it as part of
    the stack. Relative paths start at `folder`.
    """

    stack: str
    declared: Mapping[str, Any]
    label: Mapping[str, str]
    folder: Path

    def mount(self, volume: Volume) -> dict[str, Any]:
        """Convert a volume to a mount of the Engine API.

        Raises `ValueError` for an invalid volume, with the text that the docker command prints.
        """
        kind = volume.type or "volume"
        make = {
            "volume": self._volume,
            "bind": self._bind,
            "tmpfs": self._tmpfs,
            "npipe": self._bind,
            "image": self._image,
        }.get(kind)
        if make is None:
            raise ValueError("volume type must be volume, bind, tmpfs, npipe, or cluster")
        for other in _OPTIONS:
            allowed = "bind" if kind == "npipe" else kind
            if other != allowed and getattr(volume, other) is not None:
                raise ValueError(f"{other} options are incompatible with type {kind}")
        mount = {
            "Type": volume.type,
            "Source": volume.source,
            "Target": volume.target,
            "ReadOnly": volume.read_only,
            "Consistency": volume.consistency,
        }
        mount.update(make(volume))
        return {key: value for key, value in mount.items() if value or key.endswith("Options")}

    def _volume(self, volume: Volume) -> dict[str, Any]:
        if not volume.source:
            return {}
        if volume.source not in self.declared:
            raise ValueError(f'undefined volume "{volume.source}"')
        declaration = self.declared[volume.source] or {}
        external = declaration.get("external", False)
        is_external = bool(external) if isinstance(external, bool) else True
        name = declaration.get("name") or (external.get("name") if isinstance(external, Mapping) else "")
        options: dict[str, Any] = {}
        if volume.volume and volume.volume.get("nocopy"):
            options["NoCopy"] = True
        if is_external:
            return {"Source": name or volume.source, "VolumeOptions": options}
        options["Labels"] = {**string_map(declaration.get("labels", {})), **self.label}
        if declaration.get("driver") or "driver_opts" in declaration:
            driver = {
                "Name": declaration.get("driver", ""),
                "Options": string_map(declaration.get("driver_opts", {})),
            }
            options["DriverConfig"] = {key: value for key, value in driver.items() if value}
        return {"Source": name or f"{self.stack}_{volume.source}", "VolumeOptions": options}

    def _bind(self, volume: Volume) -> dict[str, Any]:
        if not volume.source:
            if volume.type == "bind":
                raise ValueError('invalid mount config for type "bind": field Source must not be empty')
            raise ValueError(f"invalid {volume.type} source, source cannot be empty")
        source = volume.source
        if volume.type == "bind" and not source.startswith(("/", "~")) and not _is_windows(source):
            source = normpath(self.folder / source)
        if volume.bind is None:
            return {"Source": source}
        propagation = volume.bind.get("propagation")
        return {"Source": source, "BindOptions": {"Propagation": propagation} if propagation else {}}

    def _tmpfs(self, volume: Volume) -> dict[str, Any]:
        if volume.source:
            raise ValueError("invalid tmpfs source, source must be empty")
        if volume.tmpfs is None:
            return {}
        size = volume.tmpfs.get("size", 0)
        return {"TmpfsOptions": {"SizeBytes": size} if size else {}}

    def _image(self, volume: Volume) -> dict[str, Any]:
        if not volume.source:
            raise ValueError("invalid image source, source cannot be empty")
        return {}


def _is_windows(source: str) -> bool:
    return source.startswith("\\\\") or (len(source) > 2 and source[0].isalpha() and source[1:3] in {":\\", ":/"})
