"""Legacy links (`--link` on the default bridge): names in /etc/hosts, and in older releases environment variables.

Source: moby `daemon/{links,container_operations_unix}.go`, `daemon/links/links.go` (v26.1.5, v28.5.2,
docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cnmsim.engine.containers.container import Container, EndpointSettings
from cnmsim.engine.containers.store import ContainerStore
from cnmsim.engine.context import EngineContext
from cnmsim.engine.wire.ports import exposed_port, requested_ports
from cnmsim.errors import SystemFault
from cnmsim.kernel.address import parse_ip
from cnmsim.libnetwork.options import LegacyLink, TransportPort
from cnmsim.libnetwork.profile import Profile
from cnmsim.libnetwork.sandbox import Sandbox

DEFAULT_NETWORK = "bridge"
SandboxOf = Callable[[Container], Sandbox | None]


def check_links(store: ContainerStore, container: Container) -> None:
    """Check that all containers to which `container` has legacy links run and are on the default bridge.

    Raises `SystemFault` if one does not. A container that is not on the default bridge itself passes.
    """
    if DEFAULT_NETWORK not in container.networks:
        return
    for alias, child in store.children(container).items():
        if not child.is_running:
            raise SystemFault(f"Cannot link to a non running container: /{child.name} AS /{container.name}/{alias}")
        if DEFAULT_NETWORK not in child.networks:
            raise SystemFault(f"container {child.id} not attached to default bridge network")


def hosts_entries(store: ContainerStore, container: Container, *, checks_networks: bool) -> list[tuple[str, str]]:
    """Return the lines of /etc/hosts, as (names, address), for the containers to which `container` has legacy links.

    A linked container that is not on the default bridge is left out; with `checks_networks`, `SystemFault` is raised
    instead.
    """
    entries: list[tuple[str, str]] = []
    if DEFAULT_NETWORK not in container.networks:
        return entries
    for alias, child in store.children(container).items():
        settings = child.networks.get(DEFAULT_NETWORK)
        if settings is None and checks_networks:
            raise SystemFault(f"Cannot link to /{child.name}, as it does not belong to the default network")
        if settings is None:
            continue
        names = f"{alias} {child.hostname}" + (f" {child.name}" if alias != child.name else "")
        entries += [(names, address) for address in (settings.ip_address, settings.global_ipv6_address) if address]
    return entries


def sandbox_links(profile: Profile, store: ContainerStore, container: Container) -> list[LegacyLink]:
    """Return the address and ports of each container that `container` links to, for the rules of its sandbox."""
    links = []
    for child in store.children(container).values():
        settings = child.networks.get(DEFAULT_NETWORK)
        if settings is not None and settings.ip_address:
            exposed, _ = requested_ports(profile, child.host_config, child.config.get("ExposedPorts") or {})
            links.append(LegacyLink(parse_ip(settings.ip_address), tuple(exposed)))
    return links


def link_environment(context: EngineContext, container: Container) -> list[str]:
    """Return the environment variables for a container's links; an empty list in releases that set none."""
    if not context.profile.legacy_link_env or DEFAULT_NETWORK not in container.networks:
        return []
    env: list[str] = []
    for alias, child in context.containers.children(container).items():
        settings = child.networks.get(DEFAULT_NETWORK)
        if settings is None:
            continue
        exposed = [exposed_port(key) for key in sorted(child.config.get("ExposedPorts") or {})]
        env += _link_variables(alias, container.name, settings.ip_address, exposed, child.config["Env"] or ())
    return env


def update_parents(
    store: ContainerStore, child: Container, settings: EndpointSettings, sandbox_of: SandboxOf
) -> None:
    """Add the addresses of `child` to /etc/hosts of each running container that links to it.

    `settings` has these addresses; `sandbox_of` returns the sandbox of a container.
    """
    for alias, parent in store.parents(child):
        sandbox = sandbox_of(parent) if parent.is_running else None
        if sandbox is None:
            continue
        for address in (settings.ip_address, settings.global_ipv6_address):
            if address:
                sandbox.dns.update_hosts_entry(alias, address)


def _link_variables(
    alias: str, parent: str, address: str, exposed: list[TransportPort], child_env: Iterable[str]
) -> list[str]:
    prefix = alias.replace("-", "_").upper()
    env = []
    for number, port in enumerate(sorted(exposed, key=lambda one: (one.port, one.protocol != "tcp"))):
        url = f"{port.protocol}://{address}:{port.port}"
        if number == 0:
            env.append(f"{prefix}_PORT={url}")
        name = f"{prefix}_PORT_{port.port}_{port.protocol.upper()}"
        env += [
            f"{name}={url}",
            f"{name}_ADDR={address}",
            f"{name}_PORT={port.port}",
            f"{name}_PROTO={port.protocol}",
        ]
    env.append(f"{prefix}_NAME=/{parent}/{alias}")
    hidden = {"HOME", "PATH"}
    env += [f"{prefix}_ENV_{entry}" for entry in child_env if entry.partition("=")[0] not in hidden and "=" in entry]
    return env
