"""The container of a task: its create body, and the service records of its endpoints.

Source: moby `daemon/cluster/executor/container/container.go` (docker-v29.7.2).
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from cnmsim.engine.cluster.managed_networks import is_predefined
from cnmsim.errors import SystemFault
from cnmsim.kernel.address import parse_ip
from cnmsim.libnetwork.options import PortConfig, ServiceBinding
from cnmsim.swarm.objects import ContainerSpec, NetworkAttachment, PublishMode, Task

_LABEL = "com.docker.swarm"


def create_body(task: Task, spec: ContainerSpec) -> dict[str, Any]:
    """Return the body of `POST /containers/create` for a task.

    `spec` is its container spec with expanded templates.
    """
    return {
        **_config(task, spec),
        "HostConfig": _host_config(task, spec),
        "NetworkingConfig": {
            "EndpointsConfig": {
                attachment.network.name: endpoint_settings(attachment) for attachment in task.networks
            }
        },
    }


def _config(task: Task, spec: ContainerSpec) -> dict[str, Any]:
    generic = [f"DOCKER_RESOURCE_{kind.upper()}={value}" for kind, value in task.assigned_generic_resources]
    config: dict[str, Any] = {
        "Labels": _labels(task, spec),
        "Tty": spec.tty,
        "OpenStdin": spec.open_stdin,
        "User": spec.user,
        "Env": [*spec.env, *generic],
        "Hostname": spec.hostname,
        "WorkingDir": spec.dir,
        "Image": image_name(spec.image),
        "ExposedPorts": {f"{port.target_port}/{port.protocol}": {} for port in _host_ports(task)},
    }
    if spec.stop_signal:
        config["StopSignal"] = spec.stop_signal
    if spec.healthcheck:
        config["Healthcheck"] = dict(spec.healthcheck)
    if spec.command:
        config["Entrypoint"] = list(spec.command)
        config["Cmd"] = list(spec.args) or None
    elif spec.args:
        config["Cmd"] = list(spec.args)
    return config


def check_mounts(spec: ContainerSpec) -> None:
    """Validate the mounts of a task (moby `executor/container/validate.go`).

    Raises `SystemFault` for a source or target that the mount's type does not permit, such as a relative target.
    """
    for mount in spec.mounts:
        kind, source, target = mount.get("Type"), mount.get("Source") or "", mount.get("Target") or ""
        if not target.startswith("/") and kind != "npipe":
            raise SystemFault(f"invalid mount target, must be an absolute path: {target}")
        if kind == "bind" and not source.startswith("/"):
            raise SystemFault(f"invalid bind mount source, must be an absolute path: {source}")
        if kind == "volume" and source.startswith("/"):
            raise SystemFault(f"invalid volume mount source, must not be an absolute path: {source}")
        if kind == "tmpfs" and source:
            raise SystemFault("invalid tmpfs source, source must be empty")
        if kind == "npipe" and not source:
            raise SystemFault("invalid npipe source, source must not be empty")


def image_name(image: str) -> str:
    """Return the short form of an image's name, with the tag `latest` if it has neither tag nor digest.

    For example, `docker.io/library/nginx` becomes `nginx:latest`.
    """
    familiar = image.removeprefix("docker.io/").removeprefix("library/")
    last = familiar.rpartition("/")[2]
    return familiar if ":" in last or "@" in last or not familiar else f"{familiar}:latest"


def _labels(task: Task, spec: ContainerSpec) -> dict[str, str]:
    system = {
        "task": "",
        "task.id": task.id,
        "task.name": task.name,
        "node.id": task.node_id,
        "service.id": task.service_id,
        "service.name": task.service_annotations.name,
    }
    own = {f"{_LABEL}.{key}": value for key, value in system.items()}
    return {**(spec.labels or {}), **task.annotations.labels, **own}


def _host_ports(task: Task) -> list[Any]:
    ports = task.endpoint.ports if task.endpoint is not None else ()
    return [port for port in ports if port.publish_mode is PublishMode.HOST]


def _host_config(task: Task, spec: ContainerSpec) -> dict[str, Any]:
    bindings = {
        f"{port.target_port}/{port.protocol}": [
            {"HostIp": "", "HostPort": str(port.published_port) if port.published_port else ""}
        ]
        for port in _host_ports(task)
    }
    hosts = [entry.split() for entry in spec.hosts]
    dns = spec.dns_config or {}
    host_config: dict[str, Any] = {
        "PortBindings": bindings,
        "Mounts": [dict(mount) for mount in spec.mounts],
        "ReadonlyRootfs": spec.read_only,
        "CapAdd": list(spec.capability_add) or None,
        "CapDrop": list(spec.capability_drop) or None,
        "GroupAdd": list(spec.groups) or None,
        "ExtraHosts": [f"{words[1]}:{words[0]}" for words in hosts if len(words) > 1] or None,
        "Dns": list(dns.get("Nameservers") or ()),
        "DnsSearch": list(dns.get("Search") or ()),
        "DnsOptions": list(dns.get("Options") or ()),
        "NetworkMode": "default",
    }
    if spec.sysctls:
        host_config["Sysctls"] = dict(spec.sysctls)
    if spec.init is not None:
        host_config["Init"] = spec.init
    if spec.pids_limit > 0:
        host_config["PidsLimit"] = spec.pids_limit
    if task.networks and is_predefined(task.networks[0].network):
        host_config["NetworkMode"] = task.networks[0].network.name
    if task.log_driver is not None:
        host_config["LogConfig"] = {"Type": task.log_driver.name, "Config": dict(task.log_driver.options or {})}
    host_config["Isolation"] = spec.isolation.lower()
    host_config["Ulimits"] = [dict(ulimit) for ulimit in spec.ulimits]
    host_config["SecurityOpt"] = _security_options(spec.privileges or {}) or None
    if spec.oom_score_adj:
        host_config["OomScoreAdj"] = spec.oom_score_adj
    return {**host_config, **_limits(task)}


def _limits(task: Task) -> dict[str, Any]:
    resources = task.spec.resources
    if resources is None or resources.limits is None:
        return {}
    memory, swap = resources.limits.memory_bytes, resources.swap_bytes
    limits: dict[str, Any] = {"Memory": memory, "NanoCpus": resources.limits.nano_cpus}
    if memory and swap is not None and swap >= -1:
        limits["MemorySwap"] = -1 if swap == -1 else memory + swap
    if resources.memory_swappiness is not None:
        limits["MemorySwappiness"] = resources.memory_swappiness
    return limits


def _security_options(privileges: Mapping[str, Any]) -> list[str]:
    """Convert a service's privileges to options of `docker run --security-opt` (moby `applyPrivileges`)."""
    credentials = privileges.get("CredentialSpec") or {}
    options = [
        f"credentialspec={kind.lower()}://{credentials[kind]}"
        for kind in ("File", "Registry", "Config")
        if credentials.get(kind)
    ]
    selinux = privileges.get("SELinuxContext") or {}
    if selinux.get("Disable"):
        options.append("label=disable")
    options += [
        f"label={kind.lower()}:{selinux[kind]}" for kind in ("User", "Role", "Level", "Type") if selinux.get(kind)
    ]
    seccomp = privileges.get("Seccomp") or {}
    if seccomp.get("Mode") == "unconfined":
        options.append("seccomp=unconfined")
    elif seccomp.get("Mode") == "custom":
        options.append(f"seccomp={b64decode(seccomp.get('Profile') or '').decode(errors='replace')}")
    if (privileges.get("AppArmor") or {}).get("Mode") == "disabled":
        options.append("apparmor=unconfined")
    if privileges.get("NoNewPrivileges"):
        options.append("no-new-privileges=true")
    return options


def endpoint_settings(attachment: NetworkAttachment) -> dict[str, Any]:
    """Return the EndpointSettings, in the API's format, for one of the networks that a task is attached to."""
    settings: dict[str, Any] = {"DriverOpts": None, "IPAMConfig": {}}
    if not is_predefined(attachment.network):
        settings["NetworkID"] = attachment.network.id
    for address in attachment.addresses:
        plain = address.partition("/")[0]
        settings["IPAMConfig"]["IPv6Address" if ":" in plain else "IPv4Address"] = plain
    if attachment.driver_attachment_opts:
        settings["DriverOpts"] = dict(attachment.driver_attachment_opts)
    return settings


def service_bindings(task: Task) -> dict[str, ServiceBinding]:
    """Return the service discovery data of each endpoint of a task: VIP, aliases and ports, by network id."""
    endpoint = task.endpoint
    virtual_ips = (
        {virtual_ip.network_id: virtual_ip.addr for virtual_ip in endpoint.virtual_ips}
        if endpoint is not None
        else {}
    )
    ports = tuple(
        PortConfig(port.name, port.protocol, port.target_port, port.published_port)
        for port in (endpoint.ports if endpoint is not None else ())
        if port.publish_mode is PublishMode.INGRESS
    )
    bindings: dict[str, ServiceBinding] = {}
    for attachment in task.networks:
        address = virtual_ips.get(attachment.network.id, "").partition("/")[0]
        bindings[attachment.network.id] = ServiceBinding(
            task.service_id,
            task.service_annotations.name,
            tuple(attachment.aliases),
            parse_ip(address) if address else None,
            ports if attachment.network.is_ingress else (),
        )
    return bindings
