"""Volumes: named objects that containers mount.

A volume of the local driver is a directory of the host, `/var/lib/docker/volumes/NAME/_data`.

Source: moby `volume/service`, `volume/local`, `daemon/volume/service` (v26.1.5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random
from typing import Any

from attrs import define, field

from cnmsim.engine.daemon.event_log import EventLog
from cnmsim.engine.wire.filters import Filters
from cnmsim.errors import Conflict, InvalidParameter, NotFound
from cnmsim.gojson.fields import rfc3339
from cnmsim.gostrconv import parse_bool
from cnmsim.gounits import ram_in_bytes
from cnmsim.kernel.files import FileSystem
from cnmsim.kernel.inode import Directory, File
from cnmsim.stringid import hex_id

_ROOT = "/var/lib/docker/volumes"
_ANONYMOUS = "com.docker.volume.anonymous"
#: Options of the local driver.
_OPTIONS = ("type", "o", "device", "size")
#: Pairs of an option and another one that it requires (moby `volume/local/local_unix.go`, mandatoryOpts).
_REQUIRED = (("o", "device"), ("type", "device"), ("device", "type"), ("o", "type"))
_VALID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


@define
class Volume:
    """One volume of the local driver. `users` are the ids of the containers that mount it."""

    name: str
    created_ns: int
    labels: dict[str, str] | None
    options: dict[str, str] | None
    users: set[str] = field(factory=set)

    @property
    def mountpoint(self) -> str:
        """The path of the volume's data on its host, `/var/lib/docker/volumes/NAME/_data`."""
        return f"{_ROOT}/{self.name}/_data"

    @property
    def is_anonymous(self) -> bool:
        """Whether the volume was created without a name."""
        return _ANONYMOUS in (self.labels or {})

    def view(self) -> dict[str, Any]:
        """Return the volume as the API prints it."""
        return {
            "CreatedAt": rfc3339(self.created_ns, digits=0),
            "Driver": "local",
            "Labels": self.labels,
            "Mountpoint": self.mountpoint,
            "Name": self.name,
            "Options": self.options,
            "Scope": "local",
        }


@define
class VolumeStore:
    """The volumes of one engine."""

    events: EventLog
    random: Random
    #: The files of the host.
    files: FileSystem
    _volumes: dict[str, Volume] = field(factory=dict, init=False)

    def create(
        self,
        name: str = "",
        *,
        driver: str = "",
        labels: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Volume:
        """Create a volume, and return it; if a volume with this name exists, return that one unchanged.

        "" stands for a random name: the volume is then anonymous. Raises `InvalidParameter` for an invalid name or
        option, and `NotFound` for a driver other than `local`.
        """
        if not name:
            name = hex_id(self.random)
            labels = {**(labels or {}), _ANONYMOUS: ""}
        if driver not in {"", "local"}:
            raise NotFound(f'create {name}: error looking up volume plugin {driver}: plugin "{driver}" not found')
        if len(name) == 1:
            raise InvalidParameter(
                f"create {name}: volume name is too short, names should be at least two alphanumeric characters"
            )
        if not _VALID.fullmatch(name):
            raise InvalidParameter(
                f'create {name}: "{name}" includes invalid characters for a local volume name, only'
                ' "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute '
                "path"
            )
        volume = self._volumes.get(name)
        if volume is None:
            _check_options(name, options or {})
            volume = Volume(
                name,
                self.events.clock.unix_ns,
                None if labels is None else dict(labels),
                None if options is None else dict(options),
            )
            self._volumes[name] = volume
            self.make_directory(volume)
            self.events.log("volume", "create", name, {"driver": "local"})
        return volume

    def make_directory(self, volume: Volume) -> Directory:
        """Create the directory of a volume's data on the host, and return it."""
        self.files.makedirs(f"{_ROOT}/{volume.name}", 0o701)
        self.files.makedirs(volume.mountpoint)
        inode = self.files.inode(volume.mountpoint)
        assert isinstance(inode, Directory), "makedirs created it"
        return inode

    def size(self, volume: Volume) -> int:
        """Return the size of a volume's data in bytes."""
        return sum(inode.size for _, inode in self.make_directory(volume).walk() if isinstance(inode, File))

    def get(self, name: str) -> Volume:
        """Return the volume with this name. Raises `NotFound` if there is none."""
        if name not in self._volumes:
            raise NotFound(f"{' '.join(filter(None, ('get', name)))}: no such volume")
        return self._volumes[name]

    def find(self, name: str) -> Volume | None:
        """Return the volume with this name, or `None` if there is none."""
        return self._volumes.get(name)

    def list(self, filters: Filters | None = None) -> list[Volume]:
        """Return the volumes that pass the filters of `docker volume ls`.

        Raises `InvalidParameter` for an unknown filter or value.
        """
        accepted = filters or Filters()
        accepted.validate(("dangling", "name", "driver", "label"))
        volumes = [
            volume
            for volume in self._volumes.values()
            if accepted.match("name", volume.name)
            and accepted.exact_match("driver", "local")
            and accepted.match_labels(volume.labels)
        ]
        if "dangling" in accepted:
            is_dangling = accepted.boolean("dangling", default=False)
            volumes = [volume for volume in volumes if bool(volume.users) != is_dangling]
        return volumes

    def remove(self, name: str, *, force: bool = False) -> None:
        """Remove an unused volume. Raises `Conflict` if a container uses it.

        Raises `NotFound` if there is no such volume; with `force`, does nothing in this case.
        """
        if force and name not in self._volumes:
            return
        volume = self.get(name)
        if volume.users:
            users = ", ".join(sorted(volume.users))
            raise Conflict(f"remove {name}: volume is in use - [{users}]")
        del self._volumes[name]
        if any(mount.path == volume.mountpoint for mount in self.files.mounts()):
            self.files.unmount(volume.mountpoint)
        self.files.remove_tree(f"{_ROOT}/{name}")
        self.events.log("volume", "destroy", name, {"driver": "local"})

    def prune(self, filters: Filters | None = None, *, includes_named: bool = False) -> dict[str, Any]:
        """Remove the unused volumes that pass the filters and have no driver options.

        Only anonymous volumes are removed, unless `includes_named` or the filter `all` includes named ones. Return a
        dict with the names of the removed volumes under `VolumesDeleted` and the freed bytes under `SpaceReclaimed`.
        """
        accepted = filters or Filters()
        accepted.validate(("label", "label!", "all"))
        for value in accepted.get("all"):
            try:
                includes_named = parse_bool(value)
            except ValueError as error:
                raise InvalidParameter(f"invalid filter 'all': {error}") from None
        deleted = [
            volume.name
            for volume in self._volumes.values()
            if not volume.users
            and not volume.options
            and (includes_named or volume.is_anonymous)
            and accepted.prunes(volume.labels)
        ]
        reclaimed = 0
        for name in deleted:
            reclaimed += self.size(self._volumes[name])
            self.remove(name)
        self.events.log("volume", "prune", "", {"reclaimed": str(reclaimed)})
        return {"VolumesDeleted": deleted, "SpaceReclaimed": reclaimed}


def _check_options(name: str, options: Mapping[str, str]) -> None:
    """Check the driver options of a new volume.

    Raises `InvalidParameter`, with the local driver's text, for an unknown option, a size (quotas need a file system
    with project quotas), or if an option is missing that another one requires.
    """
    for option in options:
        if option not in _OPTIONS:
            raise InvalidParameter(f'create {name}: invalid option: "{option}"')
    if "size" in options:
        try:
            size = ram_in_bytes(options["size"])
        except ValueError as error:
            raise InvalidParameter(f"create {name}: {error}") from None
        if size:
            raise InvalidParameter(f"create {name}: quota size requested but no quota support")
    for option, required in _REQUIRED:
        if option in options and required not in options:
            raise InvalidParameter(f'create {name}: missing required option: "{required}"')
