"""The sysctls of IPVS below net.ipv4.vs, present in a namespace once IPVS is in use (ip_vs_ctl.c)."""

from __future__ import annotations

PREFIX = "net.ipv4.vs."

#: Names and defaults of Linux 6.12.
DEFAULTS: dict[str, str] = {
    f"{PREFIX}{name}": value
    for name, value in {
        "am_droprate": "10", "amemthresh": "1024", "backup_only": "0", "cache_bypass": "0", "conn_reuse_mode": "1",
        "conntrack": "0", "drop_entry": "0", "drop_packet": "0", "est_cpulist": "0", "est_nice": "0",
        "expire_nodest_conn": "0", "expire_quiescent_template": "0", "ignore_tunneled": "0", "nat_icmp_send": "0",
        "pmtu_disc": "1", "run_estimation": "1", "schedule_icmp": "0", "secure_tcp": "0", "sloppy_sctp": "0",
        "sloppy_tcp": "0", "snat_reroute": "1", "sync_persist_mode": "0", "sync_ports": "1", "sync_qlen_max": "4096",
        "sync_refresh_period": "0", "sync_retries": "0", "sync_sock_size": "0", "sync_threshold": "3\t50",
        "sync_version": "1",
    }.items()
}  # fmt: skip
