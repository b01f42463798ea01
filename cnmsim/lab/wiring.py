"""VLAN options as the user of a lab gives them: the subnets of a switch by VLAN, and the VLANs of a cable's ports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cnmsim.kernel.address import Prefix
from cnmsim.underlay import PortVlans
from cnmsim.underlay.vlans import DEFAULT_VLAN

#: The options of a cable that concern VLANs.
VLAN_OPTIONS = ("access", "native", "trunk")


def subnet_vlans(vlans: Mapping[int, str | Iterable[str]]) -> dict[Prefix, int]:
    """Return the VLAN of each subnet. `vlans` maps VLANs to subnets: `{100: "10.0.0.0/24", 200: ["192.168.3.0/24"]}`.

    Raises `ValueError` for an invalid VLAN or subnet, or a subnet in two VLANs.
    """
    by_prefix: dict[Prefix, int] = {}
    for vlan, subnets in vlans.items():
        PortVlans.access(vlan)
        for text in [subnets] if isinstance(subnets, str) else subnets:
            prefix = Prefix.parse(text, strict=False)
            if by_prefix.setdefault(prefix, vlan) != vlan:
                raise ValueError(f"{prefix} is in VLAN {by_prefix[prefix]} and VLAN {vlan}")
    return by_prefix


def take_port_vlans(options: dict[str, Any]) -> PortVlans | None:
    """Remove the VLAN options from a cable's options and return them as an object; `None` if there are none.

    `access` is the VLAN of an access port. `trunk` is a list of the tagged VLANs of a trunk, or `"all"`; `native` is
    the trunk's untagged VLAN (default 1), or `None` for none. Raises `ValueError` for invalid or contradictory
    options.
    """
    vlan_options = {name: options.pop(name) for name in VLAN_OPTIONS if name in options}
    if not vlan_options:
        return None
    if "access" in vlan_options:
        if len(vlan_options) > 1:
            raise ValueError("a port is either access or trunk")
        return PortVlans.access(vlan_options["access"])
    if "trunk" not in vlan_options:
        raise ValueError("native is the untagged VLAN of a trunk: say which VLANs the trunk carries")
    trunk = vlan_options["trunk"]
    if isinstance(trunk, str) and trunk != "all":
        raise ValueError(f'a trunk carries a list of VLANs, or "all": {trunk!r}')
    return PortVlans.trunk(None if trunk == "all" else trunk, vlan_options.get("native", DEFAULT_VLAN))
