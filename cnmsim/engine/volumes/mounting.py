"""Mount volumes, host paths and tmpfs into the files of a container.

Source: moby `daemon/volumes_unix.go` (`setupMounts`), `daemon/create_unix.go` (`populateVolumes`),
`volume/local/local_unix.go`, runc `libcontainer/rootfs_linux.go` (v26.1.5).
"""

from __future__ import annotations

import posixpath

from attrs import frozen

from cnmsim.digits import is_number
from cnmsim.engine.containers.container import Container, Mount
from cnmsim.engine.containers.runtime_errors import IN_INIT
from cnmsim.engine.context import EngineContext
from cnmsim.errors import EngineError, InvalidParameter, SystemFault
from cnmsim.gostrconv import quote
from cnmsim.kernel.errno_text import go_strerror
from cnmsim.kernel.files import FileSystem
from cnmsim.kernel.inode import Directory, copy_inode
from cnmsim.libnetwork.profile import Profile

_WRONG_KIND = (
    ": unknown: Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path "
    "exists and is the expected type"
)
_DISK = {"device": "/dev/vda1", "kind": "ext4", "options": "relatime"}
#: Options of tmpfs, as `MergeTmpfsOptions` of moby/sys `mount` accepts them; those in the second set have a value.
_FLAGS = frozenset({
    "async", "atime", "bind", "defaults", "dev", "diratime", "dirsync", "exec", "iversion", "lazytime", "loud",
    "mand", "noatime", "nodev", "nodiratime", "noexec", "noiversion", "nolazytime", "nomand", "norelatime",
    "nostrictatime", "nosuid", "private", "rbind", "relatime", "remount", "ro", "rprivate", "rshared", "rslave",
    "runbindable", "rw", "shared", "silent", "slave", "strictatime", "suid", "sync", "unbindable",
})  # fmt: skip
_WITH_VALUE = frozenset({"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"})
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_WORLD_WRITABLE = 0o1777


@frozen
class TmpfsOptions:
    """The mount options of a tmpfs: `limit` in bytes (0: unlimited), and mode and owner of its root directory.

    `text` are the options as /proc/mounts shows them.
    """

    limit: int
    mode: int
    uid: int
    gid: int
    is_read_only: bool
    text: str


def parse_tmpfs(profile: Profile, text: str) -> TmpfsOptions:
    """Parse options such as `size=64m,mode=700,ro`; of the same option the last one counts.

    Raises `InvalidParameter` for the last unknown option. Source: moby/sys `mount/flags_unix.go` (MergeTmpfsOptions).
    """
    values: dict[str, str] = {}
    for word in reversed(text.split(",") if text else ()):
        name, is_pair, value = word.partition("=")
        if name not in (_WITH_VALUE if is_pair else _FLAGS):
            parts = [name, value] if is_pair else [name]
            listed = f"[{' '.join(map(quote, parts))}]" if profile.tmpfs_error_quotes_slice else quote(name)
            raise InvalidParameter(f"invalid tmpfs option {listed}")
        values.setdefault(name, value)
    size = values.get("size", "0").lower()
    number = size.rstrip("kmg")
    limit = int(number) * _UNITS[size[len(number) :]] if is_number(number) else 0
    limit = -(-limit // 4096) * 4096  # the kernel counts pages
    shown = ["nosuid", "nodev", "noexec", "relatime"]
    shown += [f"size={limit >> 10}k"] if limit else []
    shown += [f"{name}={values[name]}" for name in ("mode", "uid", "gid") if name in values]
    return TmpfsOptions(
        limit,
        int(values.get("mode", f"{_WORLD_WRITABLE:o}"), 8),
        int(values.get("uid", 0)),
        int(values.get("gid", 0)),
        "ro" in values,
        ",".join(shown),
    )


def prepare(context: EngineContext, container: Container) -> None:
    """Create a container's working directory and the mount points of its volumes.

    The files that the image has at a mount point are copied into the volume if it is empty. Raises an `EngineError`
    if the working directory cannot be created, or if a mount point is a file.
    """
    files = container.files
    working = container.config["WorkingDir"]
    if working:
        try:
            files.makedirs(working)
        except OSError:
            raise SystemFault(f"Cannot mkdir: {working} is not a directory") from None
    for mount in container.mounts:
        if mount.type == "volume":
            _populate(context, container, mount)


def _populate(context: EngineContext, container: Container, mount: Mount) -> None:
    files = container.files
    rootfs = f"/var/lib/docker/overlay2/{container.id}/merged{mount.destination}"
    if files.exists(mount.destination) and not files.is_dir(mount.destination):
        if mount.is_anonymous and container.config["Volumes"] and mount.destination in container.config["Volumes"]:
            raise SystemFault(f"cannot mount volume over existing file, file exists {rootfs}")
        if mount.copies:
            raise SystemFault(f"source {rootfs} is not directory")
        return
    if not mount.copies or mount.subpath or not files.is_dir(mount.destination):
        return
    source, target = files.inode(mount.destination), volume_root(context, mount)
    assert isinstance(source, Directory)
    if isinstance(target, Directory) and not target.names():
        copied = copy_inode(source)
        assert isinstance(copied, Directory)
        target.entries.update(copied.entries)
        target.mode, target.uid, target.gid = source.mode, source.uid, source.gid
        target.mtime_ns = source.mtime_ns


def volume_root(context: EngineContext, mount: Mount) -> Directory:
    """Return the directory of a volume's data. If the volume's options name a file system, mount it there first.

    Raises `SystemFault` for options that cannot be mounted.
    """
    host, volume = context.machine.files, context.volumes.get(mount.name)
    options = volume.options or {}
    at = volume.mountpoint
    if options and not any(each.path == at for each in host.mounts()):
        failed = (
            f"error while mounting volume '{at}': failed to mount local volume: mount {options.get('device')}:{at}"
        )
        device, kind, words = options.get("device", ""), options.get("type", ""), options.get("o", "").split(",")
        if kind == "tmpfs":
            tmpfs = parse_tmpfs(context.profile, options.get("o", ""))
            root = Directory(tmpfs.mode, tmpfs.uid, tmpfs.gid, host.now_ns)
            host.mount(at, root, device="tmpfs", kind="tmpfs", limit=tmpfs.limit, options="relatime")
        elif "bind" in words or "rbind" in words:
            try:
                host.bind_mount(at, host, device, is_read_only="ro" in words, **_DISK)
            except OSError as error:
                raise SystemFault(f"{failed}, flags: 0x1000: {go_strerror(error)}") from None
        else:
            raise SystemFault(
                f"{failed}, data: {options.get('o', '')}: file systems of type {kind} are not simulated"
            )
    inode = host.inode(at)
    assert isinstance(inode, Directory), "a volume is a directory"
    return inode


def mount_image(context: EngineContext, mount: Mount) -> None:
    """Mount an image's files on the host at `mount.source`, unless they are mounted there already.

    The host directory is then mounted into the container, like that of a bind mount. Raises `SystemFault` if the
    image was removed before its files were mounted.
    """
    host = context.machine.files
    if any(each.path == mount.source for each in host.mounts()):
        return
    image = context.images.find(mount.name)
    if image is None:
        raise SystemFault(f"layer not found for image {mount.name}")
    root = image.file_system(context.clock).root
    host.mount(mount.source, root, device="overlay", kind="overlay", options="relatime")


def unmount_images(context: EngineContext, container: Container) -> None:
    """Unmount the files of images that `mount_image` has mounted for a container, which is being removed."""
    host = context.machine.files
    mounted = {each.path for each in host.mounts()}
    for mount in container.mounts:
        if mount.type == "image" and mount.source in mounted:
            host.unmount(mount.source)


def mount_all(context: EngineContext, container: Container) -> None:
    """Mount all mounts of a container into its files, outer directories first.

    Raises an `EngineError` if a mount fails, for example because its source does not exist.
    """
    files = container.files
    files.is_read_only = False
    for path, text in (container.host_config.get("Tmpfs") or {}).items():
        _mount_tmpfs(files, posixpath.normpath(path), parse_tmpfs(context.profile, text))
    for mount in sorted(container.mounts, key=lambda each: each.destination):
        _mount(context, files, mount)
    files.is_read_only = bool(container.host_config["ReadonlyRootfs"])


def mount_present(context: EngineContext, container: Container) -> None:
    """Mount the volumes and existing host paths of a container that does not run, for `docker cp`."""
    for mount in sorted(container.mounts, key=lambda each: each.destination):
        if mount.type in {"volume", "image"} or (mount.type == "bind" and context.machine.files.exists(mount.source)):
            try:
                _mount(context, container.files, mount)
            except EngineError:
                continue  # the start reports it


def unmount_tmpfs(container: Container) -> None:
    """Discard the tmpfs mounts of a container that has stopped, with the files in them."""
    named = {mount.destination for mount in container.mounts if mount.type == "tmpfs"}
    named |= {posixpath.normpath(path) for path in container.host_config.get("Tmpfs") or {}}
    for path in sorted({mount.path for mount in container.files.mounts() if mount.path in named}):
        if any(mount.path == path for mount in container.files.mounts()):
            container.files.unmount(path)


def _mount_tmpfs(files: FileSystem, path: str, options: TmpfsOptions) -> None:
    root = Directory(options.mode, options.uid, options.gid, files.now_ns)
    try:
        files.mount(
            path, root, is_read_only=options.is_read_only, device="tmpfs", kind="tmpfs", options=options.text,
            limit=options.limit,
        )  # fmt: skip
    except OSError as error:
        raise _refused("tmpfs", path, f"mount tmpfs:{path} (via /proc/self/fd/6), flags: 0xe", error) from None


def _mount(context: EngineContext, files: FileSystem, mount: Mount) -> None:
    at = mount.destination
    if mount.type == "tmpfs":
        size = f"size={mount.limit}," if mount.limit else ""
        mode = f"mode={mount.permissions:o}," if mount.permissions else ""
        text = f"{size}{mode}{'rw' if mount.is_writable else 'ro'}"
        _mount_tmpfs(files, at, parse_tmpfs(context.profile, text))
        return
    host, source = context.machine.files, mount.source
    if mount.type in {"volume", "image"}:
        if mount.type == "volume":
            volume_root(context, mount)
        else:
            mount_image(context, mount)
        source = posixpath.join(source, mount.subpath) if mount.subpath else source
        if not host.exists(source):
            raise SystemFault(f"cannot access path {source}: lstat {source}: no such file or directory")
    elif not host.exists(source):
        if not mount.creates_source:
            raise InvalidParameter(f'invalid mount config for type "bind": bind source path does not exist: {source}')
        try:
            host.makedirs(source)
        except OSError as error:
            raise SystemFault(
                f"error while creating mount source path '{source}': mkdir {source}: {go_strerror(error)}"
            ) from None
    try:
        files.bind_mount(at, host, source, is_read_only=not mount.is_writable, **_DISK)
    except OSError as error:
        rootfs = "/var/lib/docker/overlay2/merged"
        step = (
            f"create mount destination for {at} mount: cannot mkdir in {rootfs}{at}"
            if host.is_dir(source)
            else f"mount {source}:{at} (via /proc/self/fd/6), flags: 0x5000"
        )
        raise _refused(source, at, step, error) from None


def _refused(source: str, at: str, step: str, error: OSError) -> SystemFault:
    cause = "not a directory" if isinstance(error, (IsADirectoryError, NotADirectoryError)) else go_strerror(error)
    return SystemFault(f'{IN_INIT}error mounting "{source}" to rootfs at "{at}": {step}: {cause}{_WRONG_KIND}')
