"""Building of a lab's hosts: addresses, cables, routes, and on a Docker host its engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from cnmsim.errors import Conflict, InvalidParameter
from cnmsim.kernel.command import ExecResult
from cnmsim.kernel.inode import SocketFile
from cnmsim.lab.daemonfile import add_service
from cnmsim.lab.daemonjson import DAEMON_JSON, daemon_config, daemon_json
from cnmsim.lab.host import Host
from cnmsim.lab.naming import require_host_name
from cnmsim.lab.releases import require_release
from cnmsim.lab.serving import connect_to_engine
from cnmsim.libnetwork.config import DaemonConfig
from cnmsim.libnetwork.plugins.store import PluginStore
from cnmsim.libnetwork.profile import PROFILES
from cnmsim.underlay import HostSpec, PlainHost

if TYPE_CHECKING:
    from cnmsim.engine.client.stacks import StackDescription, StackFiles
    from cnmsim.engine.engine import Engine
    from cnmsim.lab.lab import Lab
    from cnmsim.underlay.interface import InterfaceSpec

_ENGINE_SOCKET = "/run/docker.sock"


@frozen
class HostOptions:
    """The options of `Lab.add_host`; see there."""

    gateway: str | list[str] | tuple[str, ...] | None = None
    docker: bool | Mapping[str, Any] = False
    engine: str | None = None
    nameserver: str | None = None
    names: Mapping[str, Any] | None = None
    web: bool = False
    router: bool = False
    routes: Iterable[str] = ()
    mtu: int = 1500
    dhcp: str | None = None
    plugin_dirs: Iterable[str | Path] | None = None


def build_host(
    lab: Lab, name: str, interfaces: Sequence[str | InterfaceSpec], options: HostOptions, *, is_plugged: bool = True
) -> Host:
    """Add a host to a lab, with these interfaces and options; see `Lab.add_host`.

    If `is_plugged` is False, the interfaces get no cables yet. Raises `InvalidParameter` for invalid values and
    `Conflict` for a name or address in use; the lab is then unchanged.
    """
    require_host_name(name)
    if name in lab.hosts or name in lab.segments:
        raise Conflict(f"the name {name} is taken")
    release = require_release(options.engine or lab.engine)
    config = daemon_config(options.docker, PROFILES[release]) if options.docker is not False else None
    try:
        spec = HostSpec(
            name, interfaces, options.gateway, options.nameserver or lab.nameserver, options.names, options.web,
            options.router, options.mtu, options.dhcp,
        )  # fmt: skip
    except (ValueError, TypeError) as wrong:
        raise InvalidParameter(f"host {name}: {wrong}") from None
    _refuse_taken_addresses(lab, spec)
    host = Host(PlainHost(spec, lab.clock, lab._host_programs["httpd"], lab._host_programs), lab._host_programs)
    plugs = [
        (interface, described, lab._cabling.segment_for(described, options.mtu))
        for interface, described in (zip(host.interfaces, spec.interfaces, strict=True) if is_plugged else ())
    ]
    with lab._cabling.plugged(plugs):
        host.plain.bring_up()
        _add_routes(host, options.routes)
        if config is not None:
            folders = options.plugin_dirs
            paths = lab.plugin_dirs if folders is None else [Path(folder) for folder in folders]
            host.install_engine(_engine(lab, host, release, config, paths))
            host.machine.files.put(DAEMON_JSON, daemon_json(options.docker))
            add_service(host.docker)
            host.machine.files.add(_ENGINE_SOCKET, SocketFile(partial(connect_to_engine, lab, name)))
    host.built_with = {"docker": options.docker, "names": options.names}
    lab.hosts[name] = host
    return host


def _engine(lab: Lab, host: Host, release: str, config: DaemonConfig, plugin_dirs: list[Path]) -> Engine:
    from cnmsim.engine.engine import Engine

    engine = Engine(
        host.machine,
        version=release,
        config=config,
        programs=lab.container_programs,
        images=lab.images,
        plugins=PluginStore(tuple(plugin_dirs), lab.plugin_policy, lab.executor),
    )
    engine.stack_reader = partial(_read_stack, lab, engine.profile.stack_file_version)
    return engine


def _read_stack(
    lab: Lab, latest: str, name: str, files: StackFiles, env: Mapping[str, str], folder: Path | None
) -> StackDescription:
    from cnmsim.lab.stack import read_stack

    return read_stack(name, files, env, latest=latest, folder=folder, hints=lab.images.hints, stacks=lab.stacks)


def _add_routes(host: Host, routes: Iterable[str]) -> None:
    for words in routes:
        done: ExecResult = host.exec(["ip", "route", "add", *words.split()])
        if not done.succeeded:
            raise InvalidParameter(f"host {host.name}: ip route add {words}: {done.output.strip()}")


def _refuse_taken_addresses(lab: Lab, spec: HostSpec) -> None:
    requested = {address.address: address for interface in spec.interfaces for address in interface.addresses}
    for host in lab.hosts.values():
        for interface in host.plain.spec.interfaces:
            for address in interface.addresses:
                if address.address in requested:
                    raise Conflict(f"host {spec.name}: {requested[address.address]} is the address of {host.name}")
