"""Creation of a container from a request body: validation, defaults, image configuration, links, mounts.

Source: moby `daemon/{create,create_unix,container,links}.go`, `daemon/server/router/container/container_routes.go`
(v26.1.5, v28.5.2, docker-v29.7.2).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import define

from cnmsim.engine.containers.container import Container, EndpointSettings, canonical_mac
from cnmsim.engine.containers.kernel_namespaces import resolve_joined
from cnmsim.engine.containers.log_start import complete_log_config
from cnmsim.engine.containers.resources import check_platform, derive_limits
from cnmsim.engine.containers.validate import (
    HOST_NETWORK_LINKS,
    check_config,
    check_host_config,
    check_mac_address,
    check_network_mode,
    is_interface_sysctl,
    parse_link,
)
from cnmsim.engine.context import EngineContext
from cnmsim.engine.images.images import Image
from cnmsim.engine.images.platform import HOST_PLATFORM, Platform
from cnmsim.engine.networks.attachment import Networking
from cnmsim.engine.volumes.mounting import mount_present, prepare
from cnmsim.engine.volumes.mounts import check_mount_options, check_mounts, mounts_of
from cnmsim.engine.wire.api_version import ApiVersion
from cnmsim.engine.wire.ports import normalised_ports
from cnmsim.engine.wire.schemas import read_container_create
from cnmsim.errors import EngineError, InvalidParameter, NotFound, SystemFault
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.namei import canonical
from cnmsim.libnetwork.endpointsettings import is_user_defined
from cnmsim.libnetwork.multierror import join_errors

_SYSCTLS_OPTION = "com.docker.network.endpoint.sysctls"
_SHM_SIZE = 64 << 20
_SHARED_HOST_CONFIGS = 64
_READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
_MAC_DEPRECATED = (
    "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead."
)


@define
class CreateRequest:
    """A container's name, and the decoded body of its create (see `schemas.read_container_create`)."""

    name: str
    config: dict[str, Any]
    host_config: dict[str, Any]
    endpoints: dict[str, EndpointSettings]


def create_container(
    context: EngineContext,
    networking: Networking,
    name: str,
    body: Mapping[str, Any],
    api: ApiVersion,
    platform: str = "",
) -> tuple[Container, list[str]]:
    """Create a container from the decoded body of `POST /containers/create`. Return it and a list of warnings.

    `platform` is the requested platform of the image, such as `linux/arm64`; "" accepts any. Raises an `EngineError`,
    with the daemon's text, if the body is invalid or the image is missing; nothing is created then.
    """
    profile = context.profile
    config, host_config, endpoints = read_container_create(profile, body)
    if config is None:
        raise InvalidParameter("config cannot be empty in order to create a container")
    if profile.ipam_config_is_typed:
        if "ExposedPorts" in config:
            config["ExposedPorts"] = normalised_ports(config["ExposedPorts"])
        host_config["PortBindings"] = normalised_ports(host_config["PortBindings"])
    if profile.create_fills_maps:
        host_config["PortBindings"] = host_config["PortBindings"] or {}
    check_network_mode(profile, config, host_config)
    check_platform(profile, host_config)
    _default_network(host_config, endpoints)
    if not api.at_least("1.44") and len(endpoints) > 1:
        raise InvalidParameter(f"Container cannot be created with multiple network endpoints: {', '.join(endpoints)}")
    requested_platform = Platform.parse(platform, profile.platform_patterns) if platform else None
    settings = _endpoint_settings(endpoints, is_typed=profile.ipam_config_is_typed)
    request = CreateRequest(name, config, host_config, settings)
    warnings = _adapt_to_api(context, request, api)
    host_config["RestartPolicy"]["Name"] = host_config["RestartPolicy"]["Name"] or "no"
    check_config(profile, config)
    warnings = check_host_config(profile, host_config) + warnings
    if not context.forwards_ipv4 and host_config["NetworkMode"] not in {"host", "none"}:
        warnings.insert(0, "IPv4 forwarding is disabled. Networking will not work.")
    check_mounts(context, host_config)
    if profile.image_mount_warning:
        kinds = [spec.get("Type") for spec in host_config.get("Mounts") or ()]
        warnings = [profile.image_mount_warning] * kinds.count("image") + warnings
    image = _image(context, config["Image"], requested_platform, warnings) if config["Image"] else None
    _check_endpoints(context, networking, settings)
    _fill_in_host_config(context, host_config)
    if host_config["NetworkMode"] == "bridge" and host_config["Links"] and profile.inspect_is_slim:
        warnings.append(
            "Links on the default bridge network are deprecated and will be removed in a future release. Use a"
            " custom network instead."
        )
    _merge_image(config, image or context.images.nothing())
    return _make(context, networking, request, image or context.images.nothing()), warnings


def _image(context: EngineContext, name: str, platform: Platform | None, warnings: list[str]) -> Image:
    """Return the image called `name`. Raises `NotFound` if it is missing or not for the requested `platform`.

    If `platform` is `None` and the image is for another platform than the host's, add a warning to `warnings`.
    """
    image = context.images.get(name)
    actual = Platform(*image.platform)
    if platform is None:
        if not HOST_PLATFORM.runs(actual):
            warnings.append(
                f"The requested image's platform ({actual}) does not match the detected host platform "
                f"({HOST_PLATFORM}) and no specific platform was requested"
            )
    elif not platform.runs(actual):
        raise NotFound(context.profile.other_platform_text.format(name=name, actual=actual, requested=platform))
    return image


def _default_network(host_config: dict[str, Any], endpoints: dict[str, Any]) -> None:
    if host_config["NetworkMode"] in {"", "default"}:
        host_config["NetworkMode"] = "bridge"
        if "default" in endpoints:
            endpoints["bridge"] = endpoints.pop("default")


def _endpoint_settings(endpoints: dict[str, Any], *, is_typed: bool) -> dict[str, EndpointSettings]:
    faults = [
        f"invalid config for network {name}: EndpointsConfig is nil"
        for name, body in endpoints.items()
        if body is None
    ]
    if faults:
        raise InvalidParameter(join_errors(faults))
    return {name: EndpointSettings.from_body(body, is_typed=is_typed) for name, body in endpoints.items()}


# --- requests of older API versions


def _adapt_to_api(context: EngineContext, request: CreateRequest, api: ApiVersion) -> list[str]:
    check_mount_options(context.profile, request.host_config, api)
    warnings = _adapt_mac_address(context, request, api)
    if context.profile.has_endpoint_sysctls:
        warnings += _adapt_sysctls(request, api)
    if not api.at_least("1.48"):
        for settings in request.endpoints.values():
            settings.gw_priority = 0
    if context.profile.create_fills_maps:
        bindings = request.host_config["PortBindings"]
        empty = [port for port, port_bindings in bindings.items() if not port_bindings]
        for port in empty:
            bindings[port] = [{"HostIp": "", "HostPort": ""}]
        if empty and api.at_least("1.52"):
            warnings.append(
                f"Following container port(s) have an empty list of port-bindings: {', '.join(empty)}. Such bindings "
                "will be discarded in a future version."
            )
    links = request.host_config["Links"]
    if links and is_user_defined(request.host_config["NetworkMode"]):
        settings = _main_endpoint(request)
        settings.links = settings.links or list(links)
    return warnings


def _main_endpoint(request: CreateRequest) -> EndpointSettings:
    """Return the endpoint settings for the network that NetworkMode names; add empty ones if there are none."""
    return request.endpoints.setdefault(request.host_config["NetworkMode"], EndpointSettings())


def _adapt_mac_address(context: EngineContext, request: CreateRequest, api: ApiVersion) -> list[str]:
    mode = request.host_config["NetworkMode"]
    address = request.config.get("MacAddress", "")
    if address and context.profile.ipam_config_is_typed:
        address = request.config["MacAddress"] = canonical_mac(address)
    if context.profile.inspect_is_slim:
        request.config.pop("MacAddress", None)
    has_own_stack = mode == "bridge" or is_user_defined(mode)
    if not api.at_least("1.44"):
        for settings in request.endpoints.values():
            settings.wanted_mac = settings.mac_address = ""
        if not address:
            return []
        if not has_own_stack:
            raise InvalidParameter("conflicting options: mac-address and the network mode")
        main = _main_endpoint(request)
        main.wanted_mac = main.mac_address = address
        return []
    if not address:
        return []
    if api.at_least("1.52"):
        raise InvalidParameter(
            "container-wide MAC address no longer supported; use endpoint-specific MAC address instead"
        )
    if has_own_stack:
        main = _main_endpoint(request)
        if main.wanted_mac and main.wanted_mac != address:
            raise InvalidParameter(
                "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or"
                " be left empty"
            )
        main.wanted_mac = main.mac_address = address
    return [_MAC_DEPRECATED]


def _adapt_sysctls(request: CreateRequest, api: ApiVersion) -> list[str]:
    """Move sysctls of the interface eth0 from the HostConfig to the endpoint of the network mode. Return warnings.

    Only clients before API 1.48 may set such sysctls in the HostConfig. Raises `SystemFault` for later ones, and for
    another interface than eth0.
    """
    mode, sysctls = request.host_config["NetworkMode"], request.host_config.get("Sysctls") or {}
    if mode in {"host", "none"} or mode.startswith("container:"):
        return []
    moved: dict[str, str] = {}
    for name, value in sysctls.items():
        if not is_interface_sysctl(name):
            continue
        if api.at_least("1.48"):
            raise SystemFault(
                f'interface specific sysctl setting "{name}" must be supplied using driver option'
                f" '{_SYSCTLS_OPTION}'"
            )
        scope, family, kind, interface, rest = name.split(".", 4)
        if interface != "eth0":
            raise SystemFault(
                f"unable to determine network endpoint for sysctl {name}, use driver option '{_SYSCTLS_OPTION}'"
                " to set per-interface sysctls"
            )
        moved[name] = f"{scope}.{family}.{kind}.IFNAME.{rest}={value}"
    if not moved:
        return []
    settings = _main_endpoint(request)
    option = ",".join(moved.values())
    present = (settings.driver_opts or {}).get(_SYSCTLS_OPTION)
    combined = f"{option},{present}" if present else option
    settings.driver_opts = {**(settings.driver_opts or {}), _SYSCTLS_OPTION: combined}
    for name in moved:
        del sysctls[name]
    return [f'Migrated sysctl "{",".join(moved)}" to DriverOpts{{"{_SYSCTLS_OPTION}":"{option}"}}.']


# --- validation and defaults


def _check_endpoints(context: EngineContext, networking: Networking, endpoints: dict[str, EndpointSettings]) -> None:
    faults: list[str] = []
    for name, settings in sorted(endpoints.items()):
        check_mac_address(settings.wanted_mac, prefix=f"invalid config for network {name}: ")
        try:
            network = context.controller.find_network(name)
        except EngineError:
            network = None  # a network that does not exist is reported at the start
        try:
            networking.validate(network, name, settings)
        except InvalidParameter as error:
            faults.append(f"invalid config for network {name}: {error.message}")
    if faults:
        raise InvalidParameter(join_errors(faults))


def _fill_in_host_config(context: EngineContext, host_config: dict[str, Any]) -> None:
    complete_log_config(context, host_config["LogConfig"])
    host_config["CgroupnsMode"] = host_config["CgroupnsMode"] or "private"
    host_config["IpcMode"] = host_config["IpcMode"] or "private"
    host_config["ShmSize"] = host_config["ShmSize"] or _SHM_SIZE
    if "Runtime" not in host_config:
        _insert_after(host_config, "Sysctls" if "Sysctls" in host_config else "ShmSize", "Runtime", "runc")
    if not host_config["Privileged"]:
        if host_config["MaskedPaths"] is None:
            host_config["MaskedPaths"] = list(context.profile.masked_paths)
        if host_config["ReadonlyPaths"] is None:
            host_config["ReadonlyPaths"] = list(_READONLY_PATHS)
    derive_limits(host_config)
    resolve_joined(context, host_config)
    mode = host_config["NetworkMode"]
    if mode.startswith("container:"):
        target = context.containers.find(mode.removeprefix("container:"))
        if target is not None:
            host_config["NetworkMode"] = f"container:{target.id}"


def _insert_after(mapping: dict[str, Any], key: str, new_key: str, value: Any) -> None:
    items = list(mapping.items())
    mapping.clear()
    for name, content in items:
        mapping[name] = content
        if name == key:
            mapping[new_key] = value


def _merge_image(config: dict[str, Any], image: Image) -> None:
    """Complete a container's `config` in place with the image's command, environment, labels and so on.

    Raises `InvalidParameter` if neither the container nor the image has a command.
    """
    of_image = image.config(is_slim=False)
    if config["Entrypoint"] is None:
        if not config["Cmd"]:
            config["Cmd"] = of_image["Cmd"]
        config["Entrypoint"] = of_image["Entrypoint"]
    elif config["Entrypoint"] in ([""], []):
        config["Entrypoint"] = None
    if not (config["Entrypoint"] or config["Cmd"]):
        raise InvalidParameter("no command specified")
    own = {entry.partition("=")[0] for entry in config["Env"] or ()}
    inherited = [entry for entry in of_image["Env"] or () if entry.partition("=")[0] not in own]
    config["Env"] = [*(config["Env"] or ()), *inherited] or None
    exposed = {**of_image.get("ExposedPorts", {}), **(config.get("ExposedPorts") or {})}
    if exposed:
        config.pop("ExposedPorts", None)
        _insert_after(config, "AttachStderr", "ExposedPorts", dict(sorted(exposed.items())))
    config["Labels"] = dict(sorted({**(of_image["Labels"] or {}), **(config["Labels"] or {})}.items()))
    config["User"] = config["User"] or of_image["User"]
    working = config["WorkingDir"] or of_image["WorkingDir"]
    config["WorkingDir"] = canonical(working) if working else ""
    volumes = {**(of_image["Volumes"] or {}), **(config["Volumes"] or {})}
    config["Volumes"] = volumes or None
    if of_image.get("StopSignal") and not config.get("StopSignal"):
        config["StopSignal"] = of_image["StopSignal"]


# --- creation


def _make(context: EngineContext, networking: Networking, request: CreateRequest, image: Image) -> Container:
    config, host_config = request.config, request.host_config
    identity = context.containers.new_id()
    name = context.containers.free_name(request.name, identity)
    if not config["Hostname"]:
        config["Hostname"] = context.machine.name if host_config["NetworkMode"] == "host" else identity[:12]
    container = Container(
        id=identity,
        name=name,
        created_ns=context.clock.unix_ns,
        image=image,
        config=config,
        host_config=_shared_host_config(context.clock, host_config),
        clock=context.clock,
        files=image.file_system(context.clock),
    )
    container.links = _legacy_links(context, host_config)
    networking.set_networks(container, request.endpoints)
    volumes_before = {volume.name for volume in context.volumes.list()}
    try:
        container.mounts = mounts_of(context, identity, config, host_config)
        prepare(context, container)
    except EngineError:
        for volume in context.volumes.list():
            if volume.name not in volumes_before:
                context.volumes.remove(volume.name)
        raise
    for mount in container.mounts:
        if mount.type == "volume":
            context.volumes.get(mount.name).users.add(container.id)
    mount_present(context, container)
    context.containers.add(container)
    context.log_container(container, "create")
    return container


def _network_owner(context: EngineContext, container: Container) -> Container:
    """Follow network modes `container:ID` to the container that has a network namespace of its own, and return it.

    Return `container` itself if it has its own. Raises `InvalidParameter` for a missing container or a cycle.
    """
    seen = {container.id}
    while joined := container.joined_container:
        owner = context.containers.find(joined)
        if owner is None or owner.id in seen:
            raise InvalidParameter(f"could not get container for {joined}: No such container: {joined}")
        seen.add(owner.id)
        container = owner
    return container


def _legacy_links(context: EngineContext, host_config: dict[str, Any]) -> dict[str, str]:
    links: dict[str, str] = {}
    if is_user_defined(host_config["NetworkMode"]):
        return links
    for text in host_config["Links"] or ():
        try:
            name, alias = parse_link(text)
        except ValueError as error:
            raise SystemFault(str(error)) from None
        try:
            child = context.containers.get(name)
        except NotFound as error:
            raise InvalidParameter(f"could not get container for {name}: {error.message}") from None
        child = _network_owner(context, child)
        if child.is_host_network:
            raise InvalidParameter(HOST_NETWORK_LINKS)
        links[alias] = child.id
    return links


def _shared_host_config(clock: Clock, host_config: dict[str, Any]) -> dict[str, Any]:
    """Return the equal configuration of an earlier container of the lab, or `host_config` itself if there is none.

    This saves memory: the tasks of a service have equal host configurations on all nodes of a lab. `clock` identifies
    the lab. Do not modify the result: to change a container's configuration, assign a new one.
    """
    known: dict[str, dict[str, Any]] = clock.registry.setdefault("host configurations", {})
    text = json.dumps(host_config)
    shared = known.pop(text, host_config)
    known[text] = shared  # most recently used last
    if len(known) > _SHARED_HOST_CONFIGS:
        del known[next(iter(known))]
    return shared
