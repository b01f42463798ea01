"""The settings of bridges and bridge ports as `ip -d link` and `bridge` print them.

Spanning tree and multicast snooping are not modelled: their settings are Linux's defaults, and their timers are 0.
VLAN settings are left out, as on a kernel without CONFIG_BRIDGE_VLAN_FILTERING. Source: iproute2 6.15,
ip/iplink_bridge.c and iplink_bridge_slave.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.address import Mac
from cnmsim.kernel.clock import NS_PER_S

if TYPE_CHECKING:
    from cnmsim.kernel.bridge import Bridge, BridgePort
    from cnmsim.kernel.device import Device

_TIMERS = 100  # bridge attributes are in hundredths of a second
_PRIORITY = 0x8000
_KINDS_WITH_SPEED = ("veth", "nic")  # the kinds of devices that report a speed, which is 10 Gb/s
_MULTICAST = (
    "mcast_snooping 1 no_linklocal_learn 0 mcast_vlan_snooping 0 mst_enabled 0 mcast_router 1 mcast_query_use_ifaddr "
    "0 "
    "mcast_querier 0 mcast_hash_elasticity 16 mcast_hash_max 4096 mcast_last_member_count 2 "
    "mcast_startup_query_count 2 "
    "mcast_last_member_interval 100 mcast_membership_interval 26000 mcast_querier_interval 25500 "
    "mcast_query_interval 12500 "
    "mcast_query_response_interval 1000 mcast_startup_query_interval 3125 mcast_stats_enabled 0 mcast_igmp_version 2 "
    "mcast_mld_version 1"
)


def path_cost(device: Device) -> int:
    """Return a port's path cost (net/bridge/br_if.c, port_cost).

    It is 2 for a device that reports its speed (10 Gb/s) and 100 for one that does not. A stacked device has the cost
    of its lower device.
    """
    lower = getattr(device, "lower", None)
    return path_cost(lower) if lower is not None else 2 if device.kind in _KINDS_WITH_SPEED else 100


def bridge_text(bridge: Bridge) -> str:
    """Format the settings of a bridge for `ip -d link`."""
    identity = _identity(bridge.mac)
    learned = sum(not entry.is_permanent for entry in bridge.fdb.values())
    timers = "".join(f"{name}_timer    0.00 " for name in ("hello", "tcn", "topology_change"))
    until_collection = -bridge.clock.now_ns % bridge.ageing_ns / NS_PER_S
    return (
        "bridge forward_delay 1500 hello_time 200 max_age 2000 "
        f"ageing_time {bridge.ageing_ns * _TIMERS // NS_PER_S} stp_state 0 priority {_PRIORITY} vlan_filtering 0 "
        f"bridge_id {identity} designated_root {identity} root_port 0 root_path_cost 0 topology_change 0 "
        f"topology_change_detected 0 {timers}gc_timer {until_collection:>7.2f} fdb_n_learned {learned} "
        f"fdb_max_learned 0 "
        "group_fwd_mask 0 group_address 01:80:c2:00:00:00 "
        f"{_MULTICAST} nf_call_iptables 0 nf_call_ip6tables 0 nf_call_arptables 0 "
    )


def slave_text(device: Device) -> str:
    """Format the settings of a bridge port for `ip -d link`."""
    bridge = device.master
    assert bridge is not None
    port, identity = bridge.ports[device], _identity(bridge.mac)
    return (
        f"bridge_slave state {port_state(device)} priority 32 cost {path_cost(device)} {switches(port)}"
        f"port_id 0x{_PRIORITY + port.number:x} port_no 0x{port.number:x} designated_port {_PRIORITY + port.number} "
        f"designated_cost 0 designated_bridge {identity} designated_root {identity} hold_timer    0.00 "
        "message_age_timer    0.00 forward_delay_timer    0.00 topology_change_ack 0 config_pending 0 proxy_arp off "
        "proxy_arp_wifi off mcast_router 1 mcast_fast_leave off mcast_flood on bcast_flood on mcast_to_unicast off "
        "neigh_suppress off neigh_vlan_suppress off group_fwd_mask 0 group_fwd_mask_str 0x0 vlan_tunnel off isolated "
        "off "
        "locked off mab off "
    )


def port_state(device: Device) -> str:
    """Return a port's state: `forwarding` if it has carrier, else `disabled`. There is no spanning tree."""
    return "forwarding" if device.has_carrier else "disabled"


def switches(port: BridgePort) -> str:
    """Format a bridge port's first settings, from `hairpin` to `flood`, for `ip -d link` and `bridge -d link`."""
    return (
        f"hairpin {_on(port.hairpin)} guard off root_block off fastleave off "
        f"learning {_on(port.learning)} flood {_on(port.flood)} "
    )


def _on(is_on: bool) -> str:
    return "on" if is_on else "off"


def _identity(mac: Mac) -> str:
    """Format a bridge identifier such as `8000.2:42:ac:11:0:2`.

    It consists of the priority, and the MAC address without leading zeros.
    """
    return f"{_PRIORITY >> 4:x}0.{':'.join(f'{byte:x}' for byte in mac)}"
