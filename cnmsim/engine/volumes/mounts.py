"""The mounts of a container: validate the mounts in its create body, and create their volumes.

Source: moby `daemon/volumes.go` (`registerMountPoints`), `daemon/create_unix.go` (v26.1.5 to docker-v29.7.2).
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Collection
from typing import Any

from cnmsim.engine.containers.container import Mount
from cnmsim.engine.context import EngineContext
from cnmsim.engine.volumes.binds import check_spec, is_valid_mode, parse_bind
from cnmsim.engine.wire.api_version import ApiVersion
from cnmsim.errors import InvalidParameter, NotFound
from cnmsim.libnetwork.profile import Profile

#: The options of each type of mount, in the order in which they are checked.
_OPTIONS = {"VolumeOptions": "volume", "BindOptions": "bind", "TmpfsOptions": "tmpfs"}


def check_mount_options(profile: Profile, host_config: dict[str, Any], api: ApiVersion) -> None:
    """Check that the client's API version permits the options of a create body's mounts.

    Options that the version ignores are removed. Raises `InvalidParameter` for an option that it does not permit.

    Source: moby `daemon/server/router/container/container_routes.go` (`postContainersCreate`).
    """
    specs = host_config.get("Mounts") or ()
    for spec in specs:
        for name, kind in _OPTIONS.items():
            if spec.get(name) is None or spec.get("Type") == kind:
                continue
            if api.at_least("1.42"):
                raise InvalidParameter(f'{name} must not be specified on mount type "{spec.get("Type") or ""}"')
            if name != "BindOptions":
                spec[name] = None
    if not api.at_least("1.45") and any((spec.get("VolumeOptions") or {}).get("Subpath") for spec in specs):
        raise InvalidParameter("VolumeOptions.Subpath needs API v1.45 or newer")
    if profile.has_image_mounts and not api.at_least("1.48") and any(spec.get("Type") == "image" for spec in specs):
        raise InvalidParameter('Mount type "Image" needs API v1.48 or newer')


def check_mounts(context: EngineContext, host_config: dict[str, Any]) -> None:
    """Check the mounts of a create body, and create nothing.

    Raises `InvalidParameter` for the first invalid mount.
    """
    for text in host_config["Binds"] or ():
        parse_bind(text)
    for spec in host_config.get("Mounts") or ():
        check_spec(context.profile, spec, context.machine.files.exists)
    for path in host_config.get("Tmpfs") or {}:
        if not path.startswith("/"):
            raise InvalidParameter(f"invalid mount path: '{path}' mount path must be absolute")


def mounts_of(
    context: EngineContext, container_id: str, config: dict[str, Any], host_config: dict[str, Any]
) -> list[Mount]:
    """Create the volumes that a create body mounts, and return all its mounts.

    Raises `InvalidParameter` for two mounts at the same path, an invalid volume, or a missing container in
    `VolumesFrom`, and `NotFound` for an unknown volume driver.
    """
    mounts: dict[str, Mount] = {}
    for term in host_config["VolumesFrom"] or ():
        mounts.update((mount.destination, mount) for mount in _mounts_from(context, term))
    named: set[str] = set()
    tmpfs = {posixpath.normpath(path) for path in host_config.get("Tmpfs") or {}}
    for text in host_config["Binds"] or ():
        _add(mounts, named, tmpfs, _mount_of_bind(context, text))
    for spec in host_config.get("Mounts") or ():
        _add(mounts, named, tmpfs, _mount_of_spec(context, container_id, spec))
    for path in config["Volumes"] or {}:
        destination = posixpath.normpath(path)
        if destination not in mounts and destination not in tmpfs:
            volume = context.volumes.create()
            mounts[destination] = Mount("volume", volume.mountpoint, destination, volume.name, is_anonymous=True)
    return [mounts[path] for path in sorted(mounts)]


def _add(mounts: dict[str, Mount], named: set[str], tmpfs: Collection[str], mount: Mount) -> None:
    if mount.destination in named or mount.destination in tmpfs:
        raise InvalidParameter(f"Duplicate mount point: {mount.destination}")
    named.add(mount.destination)
    mounts[mount.destination] = mount


def _mounts_from(context: EngineContext, term: str) -> list[Mount]:
    if not term:
        raise InvalidParameter("volumes-from specification cannot be an empty string")
    source, _, mode = term.partition(":")
    if not is_valid_mode(mode) or "nocopy" in mode:
        raise InvalidParameter(f"invalid mode: {mode}")
    is_read_only = "ro" in mode.split(",")
    try:
        mounts = context.containers.get(source).mounts
    except NotFound as error:
        raise InvalidParameter(error.message) from None
    return [
        Mount(
            mount.type, mount.source, mount.destination, mount.name,
            is_writable=mount.is_writable and not is_read_only, propagation=mount.propagation,
            is_anonymous=mount.is_anonymous, subpath=mount.subpath, creates_source=mount.creates_source,
        )
        for mount in mounts
    ]  # fmt: skip


def _mount_of_bind(context: EngineContext, text: str) -> Mount:
    bind = parse_bind(text)
    is_writable = "ro" not in bind.words
    if bind.is_host_path:
        return Mount(
            "bind", posixpath.normpath(bind.source), bind.destination, "", bind.mode, is_writable,
            propagation=bind.propagation, creates_source=True,
        )  # fmt: skip
    volume = context.volumes.create(bind.source)
    return Mount(
        "volume", volume.mountpoint, bind.destination, volume.name, bind.mode or "z", is_writable,
        is_anonymous=not bind.source, copies="nocopy" not in bind.words,
    )  # fmt: skip


def _mount_of_spec(context: EngineContext, container_id: str, spec: dict[str, Any]) -> Mount:
    kind, source, is_writable = spec["Type"], spec.get("Source") or "", not spec.get("ReadOnly")
    target = posixpath.normpath(spec["Target"])
    if kind == "bind":
        options = spec.get("BindOptions") or {}
        return Mount(
            kind, posixpath.normpath(source), target, is_writable=is_writable,
            propagation=options.get("Propagation") or "", creates_source=bool(options.get("CreateMountpoint")),
        )  # fmt: skip
    if kind == "tmpfs":
        options = spec.get("TmpfsOptions") or {}
        return Mount(
            kind, source, target, is_writable=is_writable, limit=options.get("SizeBytes") or 0,
            permissions=options.get("Mode") or 0,
        )  # fmt: skip
    if kind == "image":
        context.images.get(source)
        layer = hashlib.sha256(f"{container_id}-src={source}-dst={target}".encode()).hexdigest()
        return Mount(
            kind, f"/var/lib/docker/overlay2/{layer}/merged", target, source, is_writable=False,
            propagation="rprivate", subpath=(spec.get("ImageOptions") or {}).get("Subpath") or "",
        )  # fmt: skip
    options = spec.get("VolumeOptions") or {}
    driver = options.get("DriverConfig") or {}
    volume = context.volumes.create(
        source, driver=driver.get("Name") or "", labels=options.get("Labels"), options=driver.get("Options")
    )
    return Mount(
        "volume", volume.mountpoint, target, volume.name, "z", is_writable, is_anonymous=not source,
        copies=not options.get("NoCopy"), subpath=options.get("Subpath") or "",
    )  # fmt: skip
