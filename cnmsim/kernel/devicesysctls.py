"""The per-device sysctls, with the defaults of Linux 6.12.

Source: Linux `net/ipv4/devinet.c`, `net/ipv6/addrconf.c`, `net/core/neighbour.c`. Not modelled:
`net.ipv6.conf.*.mtu`.
"""

from __future__ import annotations

from functools import lru_cache

_NEIGHBOURS = {
    "anycast_delay": "100", "app_solicit": "0", "base_reachable_time_ms": "30000",
    "delay_first_probe_time": "5", "gc_stale_time": "60", "interval_probe_time_ms": "5000",
    "mcast_resolicit": "0", "mcast_solicit": "3", "proxy_delay": "80", "proxy_qlen": "64",
    "retrans_time_ms": "1000", "ucast_solicit": "3", "unres_qlen": "101", "unres_qlen_bytes": "212992",
}  # fmt: skip

#: Names and default values by key prefix (the part before the device's name). They apply to devices and to `default`.
PER_DEVICE: dict[str, dict[str, str]] = {
    "net.ipv4.conf.": {
        "accept_local": "0", "accept_redirects": "1", "accept_source_route": "1", "arp_accept": "0",
        "arp_announce": "0", "arp_evict_nocarrier": "1", "arp_filter": "0", "arp_ignore": "0",
        "arp_notify": "0", "bc_forwarding": "0", "bootp_relay": "0", "disable_policy": "0",
        "disable_xfrm": "0", "drop_gratuitous_arp": "0", "drop_unicast_in_l2_multicast": "0",
        "force_igmp_version": "0", "forwarding": "0", "igmpv2_unsolicited_report_interval": "10000",
        "igmpv3_unsolicited_report_interval": "1000", "ignore_routes_with_linkdown": "0", "log_martians": "0",
        "mc_forwarding": "0", "medium_id": "0", "promote_secondaries": "0", "proxy_arp": "0",
        "proxy_arp_pvlan": "0", "route_localnet": "0", "rp_filter": "0", "secure_redirects": "1",
        "send_redirects": "1", "shared_media": "1", "src_valid_mark": "0", "tag": "0",
    },
    "net.ipv6.conf.": {
        "accept_dad": "1", "accept_ra": "1", "accept_ra_defrtr": "1", "accept_ra_from_local": "0",
        "accept_ra_min_hop_limit": "1", "accept_ra_min_lft": "0", "accept_ra_mtu": "1",
        "accept_ra_pinfo": "1", "accept_ra_rt_info_max_plen": "0", "accept_ra_rt_info_min_plen": "0",
        "accept_ra_rtr_pref": "1", "accept_redirects": "1", "accept_source_route": "0",
        "accept_untracked_na": "0", "addr_gen_mode": "0", "autoconf": "1", "dad_transmits": "1",
        "disable_ipv6": "0", "disable_policy": "0", "drop_unicast_in_l2_multicast": "0",
        "drop_unsolicited_na": "0", "enhanced_dad": "1", "force_mld_version": "0", "force_tllao": "0",
        "forwarding": "0", "hop_limit": "64", "ignore_routes_with_linkdown": "0", "ioam6_enabled": "0",
        "ioam6_id": "65535", "ioam6_id_wide": "4294967295", "keep_addr_on_down": "0", "max_addresses": "16",
        "max_desync_factor": "600", "mc_forwarding": "0", "mldv1_unsolicited_report_interval": "10000",
        "mldv2_unsolicited_report_interval": "1000", "ndisc_evict_nocarrier": "1", "ndisc_notify": "0",
        "ndisc_tclass": "0", "optimistic_dad": "0", "proxy_ndp": "0", "ra_defrtr_metric": "1024",
        "ra_honor_pio_pflag": "0", "regen_max_retry": "3", "regen_min_advance": "2",
        "router_probe_interval": "60", "router_solicitation_delay": "1", "router_solicitation_interval": "4",
        "router_solicitation_max_interval": "3600", "router_solicitations": "-1", "rpl_seg_enabled": "0",
        "seg6_enabled": "0", "seg6_require_hmac": "0", "suppress_frag_ndisc": "1",
        "temp_prefered_lft": "86400", "temp_valid_lft": "604800", "use_oif_addrs_only": "0",
        "use_optimistic": "0", "use_tempaddr": "0",
    },
    "net.ipv4.neigh.": {**_NEIGHBOURS, "locktime": "100"},
    "net.ipv6.neigh.": {**_NEIGHBOURS, "locktime": "0"},
}  # fmt: skip

#: Defaults that differ for `all` and for the loopback device.
EXCEPTIONS: dict[str, str] = {
    "net.ipv4.conf.all.accept_source_route": "0",
    "net.ipv4.conf.lo.disable_policy": "1",
    "net.ipv4.conf.lo.disable_xfrm": "1",
    "net.ipv6.conf.all.accept_dad": "0",
    "net.ipv6.conf.lo.accept_dad": "-1",
    "net.ipv6.conf.lo.use_tempaddr": "-1",
}


@lru_cache(maxsize=4096)
def split_device_key(key: str) -> tuple[str, str, str]:
    """Split a key such as `net.ipv4.conf.eth0.rp_filter` into `net.ipv4.conf.`, `eth0` and `rp_filter`.

    Return three empty strings for a key that is not per device.
    """
    for start in PER_DEVICE:
        if key.startswith(start):
            device, _, name = key[len(start) :].rpartition(".")
            return start, device, name
    return "", "", ""
