"""The request bodies that Compose sends to an engine for a project (docker/compose v2.26.1, `pkg/compose/create.go`).

They also contain later additions that concern networking: a network's gateway priority (2.33), IPv4 disabled (2.34)
and an interface's name (2.36).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from attrs import asdict

from cnmsim.digits import is_number
from cnmsim.lab.compose.model import ComposeProject, Network, NetworkUse, Service

VERSION = "2.26.1"
LABEL_PROJECT = "com.docker.compose.project"
LABEL_NETWORK = "com.docker.compose.network"
LABEL_SERVICE = "com.docker.compose.service"
LABEL_NUMBER = "com.docker.compose.container-number"
LABEL_HASH = "com.docker.compose.config-hash"
_LABEL_VERSION = "com.docker.compose.version"
_INTERFACE_NAME = "com.docker.network.endpoint.ifname"


def container_name(project: ComposeProject, service: Service, number: int) -> str:
    """Return the name of the container `number` (from 1) of a service, such as `shop-web-1`."""
    return service.container_name or f"{project.name}-{service.name}-{number}"


def image_name(project: ComposeProject, service: Service) -> str:
    """Return the name of a service's image: the one in the file or, if it names none, `PROJECT-SERVICE`."""
    return service.image or f"{project.name}-{service.name}"


def service_hash(service: Service) -> str:
    """Return a hash of a service's configuration without the number of replicas, to detect changed services."""
    fields = asdict(service)
    del fields["replicas"]
    return hashlib.sha256(repr(fields).encode()).hexdigest()


def network_body(project: ComposeProject, network: Network) -> dict[str, Any]:
    """Return the body of the request `POST /networks/create` for a network of a project."""
    body: dict[str, Any] = {
        "Name": network.name,
        "Driver": network.driver,
        "Options": dict(network.driver_opts),
        "Internal": network.is_internal,
        "Attachable": network.is_attachable,
        "Labels": {
            **network.labels,
            LABEL_NETWORK: network.key,
            LABEL_PROJECT: project.name,
            _LABEL_VERSION: VERSION,
        },
    }
    if network.enable_ipv4 is not None:
        body["EnableIPv4"] = network.enable_ipv4
    if network.enable_ipv6 is not None:
        body["EnableIPv6"] = network.enable_ipv6
    if network.ipam_driver or network.ipam_options or network.pools:
        body["IPAM"] = {
            "Driver": network.ipam_driver,
            "Options": dict(network.ipam_options),
            "Config": [
                {
                    "Subnet": pool.subnet,
                    "IPRange": pool.ip_range,
                    "Gateway": pool.gateway,
                    "AuxiliaryAddresses": dict(pool.aux_addresses),
                }
                for pool in network.pools
            ],
        }
    return body


def container_body(
    project: ComposeProject, service: Service, number: int, *, links: Sequence[str], network_mode: str
) -> dict[str, Any]:
    """Return the body of `POST /containers/create` for the container `number` (from 1) of a service.

    `links` are the service's links as `container:alias`. `network_mode` is the service's network mode with
    `service:NAME` replaced by `container:ID`. If it is "", the container joins the network of highest priority, or
    none if the service has no network.
    """
    uses = service.networks_by_priority()
    body: dict[str, Any] = {
        "Image": image_name(project, service),
        "Hostname": service.hostname,
        "Domainname": service.domainname,
        "AttachStdout": True,
        "AttachStderr": True,
        "Cmd": None if service.command is None else list(service.command),
        "Entrypoint": None if service.entrypoint is None else list(service.entrypoint),
        "Env": [key if value is None else f"{key}={value}" for key, value in service.environment.items()],
        "ExposedPorts": {port: {} for port in (*service.expose, *(item.key for item in service.ports))},
        "Labels": _labels(project, service, number),
        "HostConfig": {
            "NetworkMode": network_mode or (project.networks[uses[0].network].name if uses else "none"),
            "PortBindings": _bindings(service),
            "RestartPolicy": _restart_policy(service.restart),
            "Dns": list(service.dns),
            "DnsSearch": list(service.dns_search),
            "DnsOptions": list(service.dns_opt),
            "ExtraHosts": list(service.extra_hosts),
            "Links": list(links),
            "Sysctls": dict(service.sysctls),
        },
    }
    if service.healthcheck is not None:
        check = service.healthcheck
        body["Healthcheck"] = {
            "Test": list(check.test),
            "Interval": check.interval_ns,
            "Timeout": check.timeout_ns,
            "StartPeriod": check.start_period_ns,
            "StartInterval": check.start_interval_ns,
            "Retries": check.retries,
        }
    if not network_mode:
        body["NetworkingConfig"] = {"EndpointsConfig": _endpoints(project, service, number, links)}
    elif service.mac_address:
        body["MacAddress"] = service.mac_address
    return body


def _labels(project: ComposeProject, service: Service, number: int) -> dict[str, str]:
    depends_on = ",".join(
        f"{each.service}:{each.condition}:{str(each.restarts).lower()}" for each in service.depends_on
    )
    return {
        **service.labels,
        LABEL_HASH: service_hash(service),
        LABEL_NUMBER: str(number),
        "com.docker.compose.depends_on": depends_on,
        "com.docker.compose.oneoff": "False",
        LABEL_PROJECT: project.name,
        "com.docker.compose.project.config_files": project.path,
        LABEL_SERVICE: service.name,
        _LABEL_VERSION: VERSION,
    }


def _bindings(service: Service) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in service.ports:
        bindings.setdefault(port.key, []).append({"HostIp": port.host_ip, "HostPort": port.published})
    return bindings


def _restart_policy(text: str) -> dict[str, Any]:
    name, _, count = text.partition(":")
    return {"Name": name, "MaximumRetryCount": int(count) if is_number(count) else 0}


def _endpoints(
    project: ComposeProject, service: Service, number: int, links: Sequence[str]
) -> dict[str, dict[str, Any]]:
    uses = service.networks_by_priority()
    name = container_name(project, service, number)
    return {
        project.networks[use.network].name: _endpoint(service, use, name, links, is_primary=use is uses[0])
        for use in uses
    }


def _endpoint(
    service: Service, use: NetworkUse, container: str, links: Sequence[str], *, is_primary: bool
) -> dict[str, Any]:
    options = dict(use.driver_opts)
    if use.interface_name:
        options[_INTERFACE_NAME] = use.interface_name
    return {
        "Aliases": [container, service.name, *use.aliases],
        "Links": list(links),
        "MacAddress": use.mac_address or (service.mac_address if is_primary else ""),
        "DriverOpts": options or None,
        "GwPriority": use.gw_priority,
        "IPAMConfig": {
            "IPv4Address": use.ipv4_address,
            "IPv6Address": use.ipv6_address,
            "LinkLocalIPs": list(use.link_local_ips),
        },
    }
