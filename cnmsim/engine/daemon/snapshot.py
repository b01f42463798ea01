"""Save and restore the state that a daemon keeps on disk: networks, volumes, images and containers, as plain data.

As with dockerd, processes do not survive, and containers with `--rm` are gone. Unlike with dockerd, every container
of the user that ran is started again, whatever its restart policy: the simulator ended, not the container. Containers
of tasks are restored as exited, and the orchestrator replaces them. Addresses and ephemeral ports are allocated anew,
in the order of the earlier starts.

Source: moby `daemon/daemon.go` (`restore`), `daemon/container/container.go`, `daemon/libnetwork/{network,store}.go`.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from attrs import asdict, evolve

from cnmsim.engine.containers.container import Container
from cnmsim.engine.containers.log_start import open_log
from cnmsim.engine.containers.state import ContainerState
from cnmsim.engine.daemon.crash import EXIT_CODE
from cnmsim.engine.daemon.saved_files import restore_tree, save_changes, save_tree
from cnmsim.engine.daemon.saved_types import (
    SavedContainer,
    SavedImage,
    SavedNetwork,
    SavedVolume,
    read_saved,
    restoring,
)
from cnmsim.engine.images.images import Image
from cnmsim.engine.logdrivers.message import LogLine
from cnmsim.engine.networks.networks import PREDEFINED, created_ns
from cnmsim.engine.volumes.mounting import mount_present
from cnmsim.engine.volumes.volumes import Volume
from cnmsim.engine.wire.schemas import ENDPOINT_SETTINGS, HOST_CONFIG, container_config, read
from cnmsim.gojson.unmarshal import Struct
from cnmsim.kernel.address import Prefix, format_ip
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.files import FileSystem
from cnmsim.kernel.inode import LayeredDirectory
from cnmsim.libnetwork.ipam.remote import RemoteIpam
from cnmsim.libnetwork.network import Network
from cnmsim.libnetwork.options import IpamConfig

if TYPE_CHECKING:
    from cnmsim.engine.engine import Engine

Data = dict[str, Any]
#: Fields of a container that are plain data.
_FIELDS = (
    "id", "name", "created_ns", "config", "host_config", "exit_code", "error", "started_ns", "finished_ns",
    "restart_count", "was_stopped", "ports", "sandbox_id", "sandbox_key", "has_been_started", "links",
)  # fmt: skip

# --- saving


def is_saved_container(container: Container) -> bool:
    """Return True unless the container vanishes when the daemon ends: a running container with `--rm`."""
    return not (container.host_config["AutoRemove"] and container.is_running)


def is_saved_network(network: Network) -> bool:
    """Return True for a network that the daemon stores on disk: neither a predefined one nor one of a swarm."""
    return network.name not in PREDEFINED and not network.is_dynamic


def is_saved_volume(engine: Engine, volume: Volume) -> bool:
    """Return False for an anonymous volume all of whose containers vanish when the daemon ends, else True."""
    if not volume.is_anonymous or not volume.users:
        return True
    users = [engine.store.by_id(identity) for identity in volume.users]
    return any(user is not None and is_saved_container(user) for user in users)


def volume_data(engine: Engine, volume: Volume) -> Data:
    """Return a volume and its files as JSON types."""
    directory = engine.volume_store.make_directory(volume)
    # What the options of a volume mount is not the volume's own: a tmpfs does not survive, a host path is the host's.
    files = {} if volume.options else save_tree(directory)
    owner = [directory.mode, directory.uid, directory.gid, directory.mtime_ns]
    return {
        "name": volume.name, "created_ns": volume.created_ns, "labels": volume.labels, "options": volume.options,
        "files": files, "owner": owner,
    }  # fmt: skip


def images_data(engine: Engine) -> dict[str, Data]:
    """Return the engine's images as JSON types, by id.

    Removed images are included if containers were created from them.
    """
    images = {image.id: {**asdict(image), "present": True} for image in engine.image_store.list()}
    for container in engine.store:
        if container.image.id not in images:
            images[container.image.id] = {**asdict(container.image), "present": False}
    return images


def network_data(engine: Engine, network: Network) -> Data:
    """Return a network as JSON types."""
    options = asdict(network.options)
    return {
        "id": network.id,
        "name": network.name,
        "driver": network.driver_name,
        "created_ns": created_ns(network, engine.clock),
        "options": options,
        "has_ipam_options": network.id in engine.network_store._with_ipam_options,
        "pools": [
            {
                "subnet": str(info.pool),
                "ip_range": str(info.ip_range) if info.ip_range else "",
                "gateway": format_ip(info.gateway) if info.gateway else "",
                "aux_addresses": {key: format_ip(address) for key, address in info.aux_addresses.items()},
                "pool_id": info.pool_id,
            }
            for info in network.ipam_info
        ],
    }


def container_data(container: Container, *, ran: bool) -> Data:
    """Return a container as JSON types, without its log.

    `ran` is True if the container is to be started when the state is restored.
    """
    root = container.files.root
    assert isinstance(root, LayeredDirectory), "a container's files are a layer over those of its image"
    files, removed = save_changes(root)
    return {
        **{name: getattr(container, name) for name in _FIELDS},
        "image": container.image.id,
        "state": container.state.value,
        "ran": ran,
        "is_managed": container.is_managed,
        "networks": {name: asdict(settings) for name, settings in container.networks.items()},
        "mounts": [asdict(mount) for mount in container.mounts],
        "layer": files,
        "removed": removed,
    }


# --- restoring


def restore_engine(engine: Engine, data: Data, seed: str) -> list[Container]:
    """Restore an engine from saved state. Return the containers to start, in order.

    The engine's present objects are dropped, except predefined networks. `seed` is a new seed for its random numbers,
    so that ids of the previous run are not generated again. Raises an `EngineError` if a network or volume can no
    longer be created on the host.
    """
    _clear(engine)
    engine.backend.context.random.seed(f"{seed}/{engine.machine.name}/engine")
    engine.machine.random.seed(f"{seed}/{engine.machine.name}")
    images = {}
    for item in data["images"]:
        with restoring("image", item):
            saved = SavedImage.read(item)
            images[saved.image.id] = saved.image
            if saved.present:
                engine.image_store._images[saved.image.id] = saved.image
    for item in data["volumes"]:
        with restoring("volume", item):
            _restore_volume(engine, read_saved(SavedVolume, item))
    for item in data["networks"]:
        with restoring("network", item):
            _restore_network(engine, read_saved(SavedNetwork, item))
    ran = set()
    for item in data["containers"]:
        with restoring("container", item):
            container = read_saved(SavedContainer, item)
            if container.image not in images:
                raise ValueError(f"image: there is no image {container.image}")
            _restore_container(engine, container, images[container.image])
            if container.ran:
                ran.add(container.id)
    engine.event_log.past.clear()
    return _in_order([container for container in engine.store if container.id in ran and not container.is_managed])


def _clear(engine: Engine) -> None:
    for container in engine.store:
        engine.lifecycle.remove(container, force=True, volumes=True)
    for volume in engine.volume_store.list():
        engine.volume_store.remove(volume.name)
    engine.image_store._images.clear()
    for network in tuple(engine.controller.networks):
        if network.name not in PREDEFINED:
            network.delete()


def _restore_volume(engine: Engine, saved: SavedVolume) -> None:
    volume = engine.volume_store.create(saved.name, labels=saved.labels, options=saved.options)
    volume.created_ns = saved.created_ns
    directory = engine.volume_store.make_directory(volume)
    restore_tree(FileSystem(directory), saved.files)
    if saved.owner is not None:
        directory.mode, directory.uid, directory.gid, directory.mtime_ns = saved.owner


def _restore_network(engine: Engine, saved: SavedNetwork) -> None:
    options = saved.options
    # The saved pools are used, not newly chosen ones. They already include the configuration of a `config_from`
    # network.
    pool_ids = {pool.pool_id: Prefix.parse(pool.subnet) for pool in saved.pools if pool.pool_id}
    kept = [IpamConfig(pool.subnet, pool.ip_range, pool.gateway, pool.aux_addresses) for pool in saved.pools]
    pools = options.ipam_config if options.ipam_driver == "null" else kept
    ipam = engine.controller.ipam_driver(options.ipam_driver)
    with ipam.restoring(pool_ids) if isinstance(ipam, RemoteIpam) else nullcontext():
        network = engine.controller.new_network(
            saved.name,
            saved.driver,
            id=saved.id,
            options=evolve(options, ipam_config=pools or options.ipam_config, config_from=""),
        )
    network.options = options
    network.created_ns = saved.created_ns - engine.clock.epoch_s * NS_PER_S
    if saved.has_ipam_options:
        engine.network_store._with_ipam_options.add(network.id)


def _restore_container(engine: Engine, saved: SavedContainer, image: Image) -> None:
    is_slim = engine.profile.inspect_is_slim
    fields = {name: getattr(saved, name) for name in (*_FIELDS, "is_managed")}
    fields["config"] = read(Struct("config", container_config(is_slim=is_slim)), saved.config)
    fields["host_config"] = read(HOST_CONFIG, saved.host_config)
    container = Container(**fields, image=image, clock=engine.clock, files=image.file_system(engine.clock))
    restore_tree(container.files, saved.layer, saved.removed)
    for path, (text, mode) in saved.files.items():
        container.files.put(path, text.encode("latin-1"), mode)
    if container.has_been_started:
        open_log(engine.backend.context, container)
    container.log.restore([LogLine(time_ns, stream, text.encode("latin-1")) for time_ns, stream, text in saved.log])
    container.networks = saved.networks
    for name, settings in container.networks.items():
        if settings.ipam_config is not None:
            settings.ipam_config = read(ENDPOINT_SETTINGS, {"IPAMConfig": settings.ipam_config})["IPAMConfig"]
        if name in PREDEFINED and settings.network_id:
            settings.network_id = engine.controller.find_network(name).id
    container.mounts = saved.mounts
    for mount in container.mounts:
        if mount.type == "volume":
            engine.volume_store.get(mount.name).users.add(container.id)
    mount_present(engine.backend.context, container)
    container.state = saved.state
    if saved.ran:
        container.state = ContainerState.EXITED
        container.finished_ns = engine.clock.unix_ns
        for settings in container.networks.values():
            settings.clean()
        if container.is_managed:
            container.exit_code, container.ports = EXIT_CODE, {}
    elif container.state is ContainerState.REMOVING:
        container.state = ContainerState.DEAD
    engine.store.add(container)


def _in_order(containers: list[Container]) -> list[Container]:
    waiting = sorted(containers, key=lambda container: (bool(container.joined_container), container.started_ns or 0))
    ordered = []
    while waiting:
        names = {container.id for container in waiting}
        # A container that shares another's network starts after it. In a cycle one is started first, and fails.
        first = next((container for container in waiting if container.joined_container not in names), waiting[0])
        waiting.remove(first)
        ordered.append(first)
    return ordered
