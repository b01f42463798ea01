"""VLAN options as a lab's user writes them: subnets of a switch by VLAN, and the VLANs of a cable's ports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cnmsim.kernel.address import Prefix
from cnmsim.underlay import PortVlans
from cnmsim.underlay.vlans import DEFAULT_VLAN

#: The options of a cable that concern VLANs.
VLAN_OPTIONS = ("access", "native", "trunk")


def subnet_vlans(vlans: Mapping[int, str | Iterable[str]]) -> dict[Prefix, int]:
    """Parse `{100: "10.0.0.0/24", 200: ["192.168.3.0/24"]}` into VLANs by subnet. Raises `ValueError`."""
    found: dict[Prefix, int] = {}
    for vlan, subnets in vlans.items():
        PortVlans.access(vlan)
        for text in [subnets] if isinstance(subnets, str) else subnets:
            prefix = Prefix.parse(text, strict=False)
            if found.setdefault(prefix, vlan) != vlan:
                raise ValueError(f"{prefix} is in VLAN {found[prefix]} and VLAN {vlan}")
    return found


def take_port_vlans(options: dict[str, Any]) -> PortVlans | None:
    """Remove the VLAN options from a cable's options and return them; `None` if there are none. Raises `ValueError`.

    `access` is the VLAN of an access port; `trunk` the tagged VLANs of a trunk, `"all"` for all, and `native` its
    untagged VLAN, by default 1, `None` for none.
    """
    given = {name: options.pop(name) for name in VLAN_OPTIONS if name in options}
    if not given:
        return None
    if "access" in given:
        if len(given) > 1:
            raise ValueError("a port is either access or trunk")
        return PortVlans.access(given["access"])
    if "trunk" not in given:
        raise ValueError("native is the untagged VLAN of a trunk: say which VLANs the trunk carries")
    trunk = given["trunk"]
    if isinstance(trunk, str) and trunk != "all":
        raise ValueError(f'a trunk carries a list of VLANs, or "all": {trunk!r}')
    return PortVlans.trunk(None if trunk == "all" else trunk, given.get("native", DEFAULT_VLAN))
