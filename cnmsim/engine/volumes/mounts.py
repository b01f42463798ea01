"""The mounts of a container: validate the mounts in its create body, and create their volumes.

Source: moby `volume/mounts/linux_parser.go` and `daemon/volumes_unix.go` (v26.1.5 to docker-v29.7.2).
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Any

from cnmsim.engine.containers.container import Mount
from cnmsim.engine.context import EngineContext
from cnmsim.errors import InvalidParameter


def mounts_of(context: EngineContext, config: dict[str, Any], host_config: dict[str, Any]) -> list[Mount]:
    """Return the mounts of a create body, and create their volumes. Raises `InvalidParameter` or `NotFound`."""
    mounts: dict[str, Mount] = {}
    for term in host_config["VolumesFrom"] or ():
        source, _, mode = term.partition(":")
        for mount in context.containers.get(source).mounts:
            mounts[mount.destination] = Mount(
                mount.type, mount.source, mount.destination, mount.name, mode, mode != "ro" and mount.is_writable
            )
    for text in host_config["Binds"] or ():
        mount = _bind(context, text)
        mounts[mount.destination] = mount
    for spec in host_config.get("Mounts") or ():
        mount = _mount_from_spec(context, spec)
        mounts[mount.destination] = mount
    for path in config["Volumes"] or {}:
        if path not in mounts:
            volume = context.volumes.create()
            mounts[path] = Mount("volume", volume.mountpoint, path, volume.name)
    return [mounts[path] for path in sorted(mounts)]


def _bind(context: EngineContext, text: str) -> Mount:
    parts = text.split(":")
    if len(parts) not in (2, 3) or not parts[1].startswith("/"):
        raise InvalidParameter(f"invalid volume specification: '{text}'")
    source, destination = parts[0], parts[1]
    mode = parts[2] if len(parts) == 3 else ""
    if source.startswith("/"):
        return Mount("bind", source, destination, "", mode, "ro" not in mode.split(","))
    volume = context.volumes.create(source)
    return Mount("volume", volume.mountpoint, destination, volume.name, mode or "z", "ro" not in mode.split(","))


def _mount_from_spec(context: EngineContext, spec: dict[str, Any]) -> Mount:
    kind, target = spec.get("Type") or "", spec.get("Target") or ""
    if fault := _fault(kind, target, spec):
        raise InvalidParameter(f'invalid mount config for type "{kind}": {fault}')
    source, is_writable = spec.get("Source") or "", not spec.get("ReadOnly")
    if kind != "volume":
        return Mount(kind, source, target, is_writable=is_writable)
    options = spec.get("VolumeOptions") or {}
    driver = options.get("DriverConfig") or {}
    volume = context.volumes.create(
        source, driver=driver.get("Name") or "", labels=options.get("Labels"), options=driver.get("Options")
    )
    return Mount("volume", volume.mountpoint, target, volume.name, "z", is_writable)


def _fault(kind: str, target: str, spec: dict[str, Any]) -> str:
    """Return a text that says why a mount is invalid, or "" if it is valid (`validateMountConfigImpl`)."""
    if not target:
        return "field Target must not be empty"
    if posixpath.normpath(target) == "/":
        return "invalid specification: destination can't be '/'"
    if not target.startswith("/"):
        return f"invalid mount path: '{target}' mount path must be absolute"
    check = _FAULTS.get(kind)
    return check(spec) if check is not None else "mount type unknown"


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
    if spec.get("ReadOnly") and not spec.get("Source"):
        return "must not set ReadOnly mode when using anonymous volumes"
    return ""


def _tmpfs_fault(spec: dict[str, Any]) -> str:
    extra = next((field for field in ("BindOptions", "Source") if spec.get(field)), "")
    return f"field {extra} must not be specified" if extra else ""


_PROPAGATIONS = ("private", "rprivate", "slave", "rslave", "shared", "rshared")
_FAULTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "bind": _bind_fault,
    "volume": _volume_fault,
    "tmpfs": _tmpfs_fault,
}
