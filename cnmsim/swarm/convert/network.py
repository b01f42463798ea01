"""Conversion of networks from and to the Engine API's JSON (moby `daemon/cluster/convert/network.go`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnmsim.gojson.fields import omit_empty, omit_nil, rfc3339, sorted_map
from cnmsim.swarm.convert.common import annotations_from_api, annotations_to_api, head_to_api
from cnmsim.swarm.convert.task_spec import driver_to_api
from cnmsim.swarm.objects.base import Driver
from cnmsim.swarm.objects.network import IpamConfig, IpamOptions, Network, NetworkSpec


def network_to_api(network: Network) -> dict[str, Any]:
    """Return a network in the form that is embedded in a task's `NetworksAttachments`."""
    spec = network.spec
    return {
        **head_to_api(network),
        "Spec": {
            **annotations_to_api(spec.annotations),
            **omit_nil("DriverConfiguration", spec.driver, driver_to_api),
            **omit_empty(
                ("IPv6Enabled", spec.ipv6_enabled),
                ("Internal", spec.internal),
                ("Attachable", spec.attachable),
                ("Ingress", network.is_ingress),
            ),
            **omit_nil("IPAMOptions", spec.ipam, _ipam_to_api),
            **omit_nil("ConfigFrom", {"Network": spec.config_from} if spec.config_from else None),
            "Scope": "swarm",
        },
        "DriverState": {} if network.driver_state is None else driver_to_api(network.driver_state),
        **omit_nil("IPAMOptions", network.ipam, _ipam_to_api),
    }


def _ipam_to_api(ipam: IpamOptions) -> dict[str, Any]:
    return {
        "Driver": {} if ipam.driver is None else driver_to_api(ipam.driver),
        **omit_empty(
            (
                "Configs",
                [
                    omit_empty(("Subnet", config.subnet), ("Range", config.range), ("Gateway", config.gateway))
                    for config in ipam.configs
                ],
            )
        ),
    }


def network_resource(network: Network, *, shows_enable_ipv4: bool = True) -> dict[str, Any]:
    """Return a network in the form of `network ls` and `network inspect`, without the fields that a node adds.

    `shows_enable_ipv4` is False for engine releases that do not print `EnableIPv4`.
    """
    spec, ipam = network.spec, network.ipam
    ipam_driver = ipam.driver if ipam is not None else None
    configs: list[dict[str, Any]] | None = None
    if ipam is not None:
        configs = [
            omit_empty(
                ("Subnet", config.subnet),
                ("IPRange", config.range),
                ("Gateway", config.gateway),
                ("AuxiliaryAddresses", sorted_map(config.reserved)),
            )
            for config in ipam.configs
        ]
    state = network.driver_state
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": rfc3339(network.meta.created_ns),
        "Scope": "swarm",
        "Driver": state.name if state is not None else "",
        **({"EnableIPv4": True} if shows_enable_ipv4 else {}),
        "EnableIPv6": spec.ipv6_enabled,
        "IPAM": {
            "Driver": ipam_driver.name if ipam_driver is not None else "",
            "Options": dict(ipam_driver.options) if ipam_driver is not None and ipam_driver.options else None,
            "Config": configs,
        },
        "Internal": spec.internal,
        "Attachable": spec.attachable,
        "Ingress": network.is_ingress,
        "ConfigFrom": {"Network": spec.config_from},
        "ConfigOnly": False,
        "Containers": None,
        "Options": dict(state.options) if state is not None and state.options is not None else None,
        "Labels": dict(spec.annotations.labels) or None,
    }


def network_spec_from_api(create: Mapping[str, Any]) -> NetworkSpec:
    """Convert the body of `POST /networks/create` for a swarm-scoped network."""
    ipam, config_from = create["IPAM"], create["ConfigFrom"]
    return NetworkSpec(
        annotations=annotations_from_api(create),
        driver=Driver(create["Driver"], create["Options"]),
        ipv6_enabled=bool(create["EnableIPv6"]),
        internal=create["Internal"],
        attachable=create["Attachable"],
        ingress=create["Ingress"],
        ipam=None if ipam is None else _ipam_from_api(ipam),
        config_from="" if config_from is None else config_from["Network"],
    )


def _ipam_from_api(ipam: Mapping[str, Any]) -> IpamOptions:
    return IpamOptions(
        Driver(ipam["Driver"] or "default", ipam["Options"]),
        tuple(IpamConfig(config["Subnet"], config["IPRange"], config["Gateway"]) for config in ipam["Config"]),
    )
