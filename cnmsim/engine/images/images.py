"""Image references, and the image store of an engine.

Source: distribution/reference `normalize.go`, moby `daemon/images`, `api/types/image`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from attrs import define, field, frozen

from cnmsim.engine.daemon.event_log import EventLog
from cnmsim.engine.images.catalogue import ImageCatalogue, ImageMeaning
from cnmsim.engine.images.platform import HOST_PLATFORM, Platform
from cnmsim.engine.images.systems import release_files
from cnmsim.engine.wire.filters import Filters
from cnmsim.errors import Conflict, InvalidParameter, NotFound, SystemFault
from cnmsim.gojson.fields import rfc3339
from cnmsim.kernel.clock import NS_PER_S, Clock
from cnmsim.kernel.files import FileSystem
from cnmsim.kernel.inode import Directory, LayeredDirectory

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<path>(?:(?P<domain>[A-Za-z0-9.-]+(?::[0-9]+)?)/)?{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>[a-z0-9+._-]+:[0-9a-fA-F]{32,}))?"
)


Objects = list[dict[str, Any]]
Removals = list[dict[str, str]]
#: The containers of an image: id, and whether it runs.
Users = list[tuple[str, bool]]


@frozen
class Reference:
    """A parsed image reference.

    `repository` is in its short form (`nginx`, `ghcr.io/a/b`). `digest` is "" for a reference without a digest.
    """

    repository: str
    tag: str
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"

    @property
    def remote_path(self) -> str:
        """The repository's name in its registry: `library/nginx` for `nginx`."""
        first, slash, rest = self.repository.partition("/")
        if not slash:
            return f"library/{first}"
        return rest if _is_domain(first) else self.repository

    @classmethod
    def parse(cls, name: str) -> Reference:
        """Parse a reference such as `nginx:1.27`.

        Raises `InvalidParameter`, with Docker's text, if it is malformed.
        """
        short = name
        for prefix in ("docker.io/", "index.docker.io/"):
            short = short.removeprefix(prefix)
        short = short.removeprefix("library/") or short
        if re.fullmatch(r"[0-9a-f]{64}", short):
            raise InvalidParameter(f"invalid repository name ({name}), cannot specify 64-byte hexadecimal strings")
        match = _REFERENCE.fullmatch(short)
        if match is None:
            if name != name.lower() and _REFERENCE.fullmatch(short.lower()):
                path = short.partition(":")[0]
                shown = path if "/" in path else f"library/{path}"
                raise InvalidParameter(f"invalid reference format: repository name ({shown}) must be lowercase")
            raise InvalidParameter("invalid reference format")
        return cls(match["path"], match["tag"] or ("" if match["digest"] else "latest"), match["digest"] or "")


def _is_domain(component: str) -> bool:
    return "." in component or ":" in component or component == "localhost"


@define
class Image:
    """An image in the store of an engine: its id, its tags and its configuration."""

    id: str
    meaning: ImageMeaning
    created_ns: int
    repository: str
    tags: list[str] = field(factory=list)
    digests: list[str] = field(factory=list)
    #: System, architecture and variant. Programs of every architecture run, as where binfmt_misc has an emulator.
    platform: tuple[str, str, str] = ("linux", "amd64", "")

    @property
    def layer(self) -> str:
        """The digest of the image's only layer."""
        return "sha256:" + hashlib.sha256(f"layer {self.repository}".encode()).hexdigest()

    def config(self, *, is_slim: bool) -> dict[str, Any]:
        """Return the image's configuration in the API's format.

        `is_slim` omits empty fields, as later releases do.
        """
        meaning = self.meaning
        listed: dict[str, Any] = {
            "Hostname": "",
            "Domainname": "",
            "User": meaning.user,
            "AttachStdin": False,
            "AttachStdout": False,
            "AttachStderr": False,
            **({"ExposedPorts": {port: {} for port in sorted(meaning.exposed)}} if meaning.exposed else {}),
            "Tty": False,
            "OpenStdin": False,
            "StdinOnce": False,
            "Env": list(meaning.env) or None,
            "Cmd": list(meaning.command) or None,
            "Image": "",
            "Volumes": {path: {} for path in meaning.volumes} or None,
            "WorkingDir": meaning.working_dir,
            "Entrypoint": list(meaning.entrypoint) or None,
            "OnBuild": None,
            "Labels": dict(meaning.labels) or None,
        }
        if meaning.stop_signal:
            listed["StopSignal"] = meaning.stop_signal
        return {key: value for key, value in listed.items() if value} if is_slim else listed

    def file_system(self, clock: Clock | None = None) -> FileSystem:
        """Return a new file system for a container of the image: an empty layer over the image's files.

        `clock` provides the times of later changes; without it they are 0.
        """
        return FileSystem(LayeredDirectory.over(_layer(self.meaning, self.created_ns)), clock)


#: Directories of every image.
_FOLDERS = (
    "/bin", "/dev", "/home", "/lib", "/media", "/mnt", "/opt", "/proc", "/root", "/run", "/sbin", "/srv", "/sys",
    "/usr/bin", "/usr/lib", "/usr/local/bin", "/usr/sbin", "/usr/share", "/var/cache", "/var/lib", "/var/log",
    "/var/tmp",  # noqa: S108
)  # fmt: skip


#: Files that the engine puts over those of an image (moby `daemon/initlayer`).
_INIT_LAYER = ("/.dockerenv", "/dev/console", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf")


@lru_cache(maxsize=256)
def _layer(meaning: ImageMeaning, created_ns: int) -> Directory:
    """Return the directory tree of an image's files, which all containers of the image share."""
    files = FileSystem()
    files.put("/etc/passwd", meaning.passwd.encode())
    files.put("/etc/group", meaning.group.encode())
    files.put("/etc/shadow", meaning.shadow.encode(), 0o640)
    for path, content in release_files("", "", ""):
        files.put(path, content.encode())
    for path, content in meaning.files:
        if path.endswith("/"):
            files.makedirs(path.rstrip("/"))
        else:
            files.makedirs(path.rpartition("/")[0])
            files.put(path, content.encode(), 0o755 if content.startswith("#!") else 0o644)
    for path in (*_FOLDERS, *meaning.volumes):
        files.makedirs(path)
    for path in _INIT_LAYER:
        if not files.exists(path):
            files.put(path, b"")
    files.symlink("/proc/mounts", "/etc/mtab")
    for _, inode in files.root.walk():
        inode.mtime_ns = created_ns
    files.root.mtime_ns = created_ns
    return files.root


@define
class ImageStore:
    """The images that one engine has."""

    catalogue: ImageCatalogue
    events: EventLog
    _images: dict[str, Image] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        for name in self.catalogue.present:
            self._add(Reference.parse(name))

    def __len__(self) -> int:
        return len(self._images)

    def _add(self, reference: Reference, platform: Platform | None = None) -> Image:
        """Add an image, and return it. Without `platform` it is built for the host's platform."""
        platform = Platform() if platform is None or HOST_PLATFORM.runs(platform) else platform
        of_platform = "" if platform == Platform() else f"@{platform}"
        name = f"{reference.repository}:{reference.tag or reference.digest}{of_platform}"
        digest = hashlib.sha256(name.encode()).hexdigest()
        identity = f"sha256:{digest}"
        image = self._images.get(identity)
        if image is None:
            meaning = self.catalogue.meaning(reference.repository, reference.tag)
            image = Image(identity, meaning, self.events.clock.unix_ns, reference.repository)
            image.platform = (platform.system, platform.architecture, platform.variant)
            self._images[identity] = image
        for other in self._images.values():
            if str(reference) in other.tags and other is not image:
                other.tags.remove(str(reference))
        names = image.digests if reference.digest else image.tags
        if str(reference) not in names:
            names.append(str(reference))
        return image

    def nothing(self) -> Image:
        """Return a new image without id, tags and configuration, for a container that was created without one."""
        meaning = ImageMeaning(command=(), entrypoint=())
        return Image("", meaning, self.events.clock.unix_ns, "")

    def find(self, name: str) -> Image | None:
        """Return the image with this reference, id or unique id prefix, `None` if there is none."""
        self._configure()
        exact = self._images.get(name) or self._images.get(f"sha256:{name}")
        if exact is not None:
            return exact
        try:
            reference = str(Reference.parse(name))
        except InvalidParameter:
            reference = ""
        for image in self._images.values():
            if reference in image.tags or reference in image.digests:
                return image
        prefix = name.removeprefix("sha256:")
        if re.fullmatch(r"[0-9a-f]{2,64}", prefix):
            matches = [image for image in self._images.values() if image.id[7:].startswith(prefix)]
            if len(matches) == 1:
                return matches[0]
        return None

    def get(self, name: str) -> Image:
        """Return the image with this reference, id or unique id prefix.

        Raises `NotFound`, or `InvalidParameter` for an invalid reference.
        """
        image = self.find(name)
        if image is not None:
            return image
        if not re.fullmatch(r"(sha256:)?[0-9a-f]{64}", name):
            name = str(Reference.parse(name))
        raise NotFound(f"No such image: {name}")

    def _configure(self) -> None:
        """Update the images for which `ImageCatalogue.add` has added a configuration after they were pulled."""
        for image in self._images.values() if self.catalogue.meanings else ():
            for name in image.tags:
                image.meaning = self.catalogue.added(*name.rsplit(":", 1)) or image.meaning

    def list(self, filters: Filters | None = None) -> list[Image]:
        """Return the images that pass the filters of `docker images`, newest first.

        Raises `InvalidParameter` for an unknown filter or value.
        """
        accepted = filters or Filters()
        accepted.validate(("dangling", "label", "before", "since", "reference", "until"))
        self._configure()
        images = sorted(self._images.values(), key=lambda image: -image.created_ns)
        if "dangling" in accepted:
            is_dangling = accepted.boolean("dangling", default=False)
            images = [image for image in images if bool(image.tags) != is_dangling]
        if "reference" in accepted:
            images = [image for image in images if _matches_reference(image, accepted.get("reference"))]
        return [image for image in images if accepted.match_labels(image.meaning.labels)]

    def pull(self, name: str, tag: str = "", platform: Platform | None = None) -> Iterator[dict[str, Any]]:
        """Pull the image `name`, with `tag` if it is given, for `platform` or the host's platform.

        Return the progress messages. Raises `SystemFault` if the engine is offline, `InvalidParameter` for an invalid
        reference.
        """
        joint = "@" if ":" in tag else ":"
        reference = Reference.parse(f"{name}{joint}{tag}" if tag else name)
        if self.catalogue.is_offline:
            raise SystemFault(
                'Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: no such host'
            )
        present = self.find(str(reference))
        image = self._add(reference, platform)
        self.events.log("image", "pull", str(reference), {"name": reference.repository})
        return iter(_progress(reference, image, is_new=present is not image))

    def tag(self, name: str, repository: str, tag: str) -> None:
        """Add the name `repository:tag` to the image `name`, and remove it from any other image.

        Raises `NotFound` if there is no image `name`, and `InvalidParameter` if the new name is malformed.
        """
        image = self.get(name)
        reference = Reference.parse(f"{repository}:{tag}" if tag else repository)
        for other in self._images.values():
            if str(reference) in other.tags:
                other.tags.remove(str(reference))
        image.tags.append(str(reference))
        self.events.log("image", "tag", image.id, {"name": str(reference)})

    def remove(self, name: str, users: Users, *, force: bool = False) -> Removals:
        """Remove a tag of an image, or the image itself if `name` is its last tag or an id.

        Return the API's report: a list of dicts with the key `Untagged` or `Deleted`. `users` has the pair (id, is
        running) for each container of the image. Raises `NotFound` if there is no such image, and `Conflict` if a
        container uses it; `force` ignores containers that do not run.
        """
        image = self.get(name)
        report = []
        is_by_id = name.removeprefix("sha256:") and image.id[7:].startswith(name.removeprefix("sha256:"))
        reference = "" if is_by_id else str(Reference.parse(name))
        names = [*image.tags, *image.digests]
        if reference and len(names) > 1:
            return [self._untag(image, reference)]
        self._refuse_use(image, reference or image.id[7:19], users, force=force, is_by_id=bool(is_by_id))
        report += [self._untag(image, name) for name in names]
        del self._images[image.id]
        self.events.log("image", "delete", image.id, {"name": image.id})
        return [*report, {"Deleted": image.id}, {"Deleted": image.layer}]

    def _refuse_use(self, image: Image, shown: str, users: Users, *, force: bool, is_by_id: bool) -> None:
        if is_by_id and len(image.tags) > 1 and not force:
            raise Conflict(
                f"conflict: unable to delete {image.id[7:19]} (must be forced) - image is referenced in"
                " multiple repositories"
            )
        for container_id, is_running in users:
            if force and not is_running:
                continue
            user, identity = container_id[:12], image.id[7:19]
            if is_by_id:
                state, remedy = ("running", "cannot be forced") if is_running else ("stopped", "must be forced")
                cause = f"delete {identity} ({remedy}) - image is being used by {state} container {user}"
            else:
                remedy = "cannot be forced" if is_running else "must force"
                cause = f'remove repository reference "{shown}" ({remedy}) - container {user} is using its'
                cause += f" referenced image {identity}"
            raise Conflict(f"conflict: unable to {cause}")

    def _untag(self, image: Image, name: str) -> dict[str, str]:
        for names in (image.tags, image.digests):
            if name in names:
                names.remove(name)
        self.events.log("image", "untag", image.id, {"name": image.id})
        return {"Untagged": name}

    def prune(self, used: set[str], filters: Filters | None, invalid_until_text: str) -> dict[str, Any]:
        """Remove unused images: only untagged ones, or all with the filter `dangling=false`.

        `used` are the ids of images that containers use. Return a dict with the removed names and ids under
        `ImagesDeleted` and the number of freed bytes under `SpaceReclaimed`. Raises `InvalidParameter` for an invalid
        filter; `invalid_until_text` is its text for a filter `until` that is no time.
        """
        accepted = filters or Filters()
        accepted.validate(("dangling", "label", "label!", "until"))
        only_dangling = accepted.boolean("dangling", default=True)
        until = accepted.until(self.events.clock.unix_ns, invalid_until_text)
        unused = [
            image
            for image in self._images.values()
            if image.id not in used
            and not (only_dangling and image.tags)
            and (until is None or image.created_ns <= until)
            and accepted.prunes(image.meaning.labels)
        ]
        report: list[dict[str, str]] = []
        for image in unused:
            report += self.remove(image.id, [], force=True)
        self.events.log("image", "prune", "", {"reclaimed": str(sum(image.meaning.size for image in unused))})
        return {"ImagesDeleted": report or None, "SpaceReclaimed": sum(image.meaning.size for image in unused)}

    def summary(self, image: Image, *, containers: int = -1, shared_size: int = -1) -> dict[str, Any]:
        """Return an image in the format of an entry of `GET /images/json`.

        `containers` is the number of its containers, `shared_size` the size that it shares with other images; -1
        means not computed.
        """
        return {
            "Containers": containers,
            "Created": image.created_ns // NS_PER_S,
            "Id": image.id,
            "Labels": dict(image.meaning.labels) or None,
            "ParentId": "",
            "RepoDigests": list(image.digests),
            "RepoTags": list(image.tags),
            "SharedSize": shared_size,
            "Size": image.meaning.size,
        }

    def inspect(self, image: Image, *, engine_version: str, is_slim: bool) -> dict[str, Any]:
        """Return an image as `docker image inspect` prints it.

        `engine_version` is the value of the field DockerVersion; `is_slim` omits empty fields, as later releases do.
        """
        legacy: dict[str, Any] = {} if is_slim else {"Parent": ""}
        made_by: dict[str, Any] = {} if is_slim else {"DockerVersion": engine_version}
        return {
            "Id": image.id,
            "RepoTags": list(image.tags),
            "RepoDigests": list(image.digests),
            **legacy,
            "Comment": "",
            "Created": rfc3339(image.created_ns),
            **made_by,
            "Author": "",
            "Config": image.config(is_slim=is_slim),
            "Architecture": image.platform[1],
            **({"Variant": image.platform[2]} if image.platform[2] else {}),
            "Os": image.platform[0],
            "Size": image.meaning.size,
            "GraphDriver": {"Data": None, "Name": "overlay2"},
            "RootFS": {"Type": "layers", "Layers": [image.layer]},
            "Metadata": {"LastTagTime": rfc3339(image.created_ns)},
        }

    def history(self, image: Image) -> Objects:
        """Return the steps in which the image was built, in the format of `docker history`.

        Every image has one step.
        """
        return [
            {
                "Comment": "",
                "Created": image.created_ns // NS_PER_S,
                "CreatedBy": f"CMD {list(image.meaning.command)}".replace("'", '"'),
                "Id": image.id,
                "Size": image.meaning.size,
                "Tags": list(image.tags),
            }
        ]


def _matches_reference(image: Image, patterns: list[str]) -> bool:
    from fnmatch import fnmatchcase

    names = [name for tag in image.tags for name in (tag, tag.rpartition(":")[0])]
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _progress(reference: Reference, image: Image, *, is_new: bool) -> list[dict[str, Any]]:
    layer = image.layer[7:19]
    size = image.meaning.size // 2
    steps: list[dict[str, Any]] = [{"status": f"Pulling from {reference.remote_path}", "id": reference.tag}]
    if is_new:
        steps += [
            {"status": "Pulling fs layer", "progressDetail": {}, "id": layer},
            {"status": "Downloading", "progressDetail": {"current": size, "total": size}, "id": layer},
            {"status": "Download complete", "progressDetail": {}, "id": layer},
            {"status": "Extracting", "progressDetail": {"current": size, "total": size}, "id": layer},
            {"status": "Pull complete", "progressDetail": {}, "id": layer},
        ]
    digest = reference.digest or "sha256:" + hashlib.sha256(f"manifest {image.id}".encode()).hexdigest()
    verdict = "Downloaded newer image for" if is_new else "Image is up to date for"
    return [*steps, {"status": f"Digest: {digest}"}, {"status": f"Status: {verdict} {reference}"}]
