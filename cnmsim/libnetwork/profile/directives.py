"""The options that each release's `dockerd` accepts in `daemon.json`: its flags, and the plural names of lists.

A flag that may be repeated is a list in the file, with a name of its own: `dns-opt` and `dns-opts`. The daemon
accepts both names and reads only the list. Source: moby `cmd/dockerd/{config,config_unix,options}.go`,
`daemon/command/` in 29, `daemon/config/config.go` (findConfigurationConflicts, skipValidateOptions).
"""

from __future__ import annotations

V26_DIRECTIVES = frozenset(
    """
    add-runtime allow-nondistributable-artifacts api-cors-header authorization-plugin authorization-plugins bip
    bridge builder cdi-spec-dir cdi-spec-dirs cgroup-parent config-file containerd containerd-namespace
    containerd-plugins-namespace cpu-rt-period cpu-rt-runtime cri-containerd data-root debug default-address-pool
    default-address-pools default-cgroupns-mode default-gateway default-gateway-v6 default-ipc-mode
    default-network-opt default-network-opts default-runtime default-shm-size default-ulimit default-ulimits
    deprecated-key-path dns dns-opt dns-opts dns-search exec-opt exec-opts exec-root experimental features
    fixed-cidr fixed-cidr-v6 group help host host-gateway-ip hosts http-proxy https-proxy icc init init-path
    insecure-registries insecure-registry ip ip-forward ip-masq ip6tables iptables ipv6 label labels live-restore
    log-driver log-format log-level log-opt log-opts max-concurrent-downloads max-concurrent-uploads
    max-download-attempts metrics-addr mtu network-control-plane-mtu network-diagnostic-port no-new-privileges
    no-proxy node-generic-resource node-generic-resources pidfile raw-logs registry-mirror registry-mirrors restart
    rootless runtimes seccomp-profile selinux-enabled shutdown-timeout storage-driver storage-opt storage-opts
    swarm-default-advertise-addr tls tlscacert tlscert tlskey tlsverify userland-proxy userland-proxy-path
    userns-remap validate version
    """.split()  # noqa: SIM905 - ninety words, to be read
)
V28_DIRECTIVES = V26_DIRECTIVES | {
    "allow-direct-routing",
    "bip6",
    "feature",
    "host-gateway-ips",
    "ip-forward-no-drop",
}
V29_DIRECTIVES = (V28_DIRECTIVES - {"api-cors-header"}) | {
    "bridge-accept-fwmark", "default-stop-timeout", "firewall-backend", "min-api-version", "nri-opts",
}  # fmt: skip
#: The options whose value is a mapping. Any other mapping in the file only groups options; its name does not matter
#: (flatOptions).
MAPPINGS = frozenset({
    "cluster-store-opts", "default-network-opts", "log-opts", "runtimes", "default-ulimits", "features", "builder",
    "nri-opts",
})  # fmt: skip
