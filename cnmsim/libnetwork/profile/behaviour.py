"""The behaviours in which engine releases differ, one attribute each.

An attribute is named by the behaviour that it switches, so that `if profile.has_gateway_priority` reads as a claim.
Messages that changed are whole texts with `{}` fields. An attribute with a default has that value in all releases but
those that set it.
"""

from __future__ import annotations

from attrs import field, frozen


@frozen(kw_only=True)
class BodyStructs:
    """The names of the Go structs that request bodies are decoded into, which error messages contain."""

    container_create: str = "container.CreateRequest"
    network_create: str = "network.CreateRequest"
    #: The embedded struct with all fields but the name; "" for none.
    network_create_embeds: str = ""
    network_connect: str = "network.ConnectRequest"
    network_disconnect: str = "network.DisconnectRequest"
    exec_create: str = "container.ExecCreateRequest"
    exec_start: str = "container.ExecStartRequest"


@frozen(kw_only=True)
class Profile:
    """The behaviour of one engine release."""

    # ---- release
    version: str
    api_version: str
    min_api_version: str
    git_commit: str
    go_version: str
    build_time: str
    kernel_version: str = "6.12.48+deb13-amd64"

    # ---- networks and their IPAM
    #: 26.1 walks its list of pools with a cursor; later releases use the lowest free gap.
    pools_rotate: bool
    #: Default pools are sorted by base address and overlapping entries dropped; 26.1 keeps them as configured.
    pools_are_sorted: bool
    #: `0.0.0.0/N` and `::/N` request any default subnet of the size N.
    pool_size_hint: bool
    #: An IPv6 pool is made from the engine's id if none is configured.
    has_ula_pool: bool
    pools_exhausted_text: str
    #: 404 in 26.1, 400 later.
    pools_exhausted_is_not_found: bool
    pool_overlap_text: str
    #: A particular address of a full pool: 26.1 reports that the pool is full, later releases that the address is in
    #: use.
    full_pool_hides_requested: bool
    #: 26.1 represents only the first 2**64 - 1 addresses of an IPv6 pool. Later releases represent all, but allocate
    #: from the first 2**63.
    ipv6_bitmap_ordinals: int
    ipv6_automatic_ordinals: int
    can_disable_ipv4: bool
    #: IPAM entries are typed in the API: malformed ones fail when the body is decoded.
    ipam_config_is_typed: bool
    echoes_unused_ipv6_config: bool
    validates_enable_driver_options: bool
    static_ip_on_automatic_subnet: bool
    #: Drivers may skip the gateway: ipvlan L3, internal macvlan and ipvlan, isolated bridges.
    drivers_skip_gateway: bool
    #: If the engine cannot use a network plugin's response, it calls the plugin to undo the operation.
    plugin_answers_are_rolled_back: bool = True
    #: After a join that a network plugin refused it is called to leave; if only the attachment failed, twice.
    failed_join_is_left: bool = False
    #: A network plugin is notified of a gateway endpoint per family, and on internal networks too.
    plugin_publishes_by_family: bool = False
    #: A network plugin always gets the option that says whether another endpoint is the IPv6 gateway.
    plugin_always_gets_proxy_option: bool = False
    #: A container's start requests a plugin's endpoint information twice, and fails without it.
    plugin_must_return_endpoint_info: bool = False
    #: An IPAM plugin's address spaces are requested with every pool.
    remote_ipam_looks_up_spaces: bool = True
    remote_pool_text: str = "{fault}"
    #: macvlan and ipvlan networks have a gateway only if one is requested.
    macvlan_skips_gateway: bool
    #: Several macvlan networks may be on one parent interface, unless one of them is in passthru mode.
    macvlan_shares_parent: bool
    #: A container on a macvlan or ipvlan network does not get docker_gwbridge because of it.
    macvlan_disables_gateway_service: bool
    inspect_shows_allocated_gateway: bool
    inspect_has_ipam_status: bool
    #: `network inspect` prints EnableIPv4.
    inspect_shows_enable_ipv4: bool
    inspect_gateway6_has_length: bool
    reload_overwrites_ipam_config: bool
    refuses_multicast_subnet: bool
    link_local_clash_text: str
    config_from_is_resolved_first: bool
    config_from_options_text: str
    blank_name_text: str
    blank_id_text: str
    active_endpoints_lists_endpoints: bool

    # ---- endpoints, sandboxes and their order
    #: MAC addresses on bridge and macvlan are made from the IPv4 address (`02:42:...`).
    mac_from_ip: bool
    #: A new interface announces its addresses (gratuitous ARP, unsolicited neighbour advertisements).
    announces_addresses: bool
    #: The API version from which `network connect` honours a MAC address; "" where it never does.
    connect_mac_api_version: str
    #: `eth3` follows a removed `eth2`: the counter only grows.
    interface_counter_grows: bool
    #: At a start, interfaces are attached in gateway order (26.1), not in order of joining.
    start_plugs_in_gateway_order: bool
    #: A join that fails once the interface is in the container leaves it there, with the line in /etc/hosts.
    failed_join_keeps_interface: bool = False
    #: While a sandbox is deleted, ports still move to the next gateway endpoint when one leaves.
    deleted_sandbox_moves_ports: bool
    has_endpoint_ifname: bool
    has_endpoint_sysctls: bool
    has_gateway_priority: bool
    #: 26.1 scores an IPv4 gateway 1 and an IPv6 gateway 2; later releases count the families with a default route.
    gateway_score_by_family: bool
    #: "single": one endpoint for both families; "dual-stack-first"; or "per-family".
    gateway_choice: str
    #: A driver's default route is installed like its other routes, whichever endpoint is the gateway.
    static_default_routes: bool
    #: With `{family}` ("" or "IPv6 ") and `{error}`.
    gateway_error_text: str
    allocates_before_task: bool
    start_error_prefix: str
    dangling_filter_sees_containers: bool
    stopped_disconnect_events: int
    running_disconnect_events: int
    failed_connect_keeps_settings: bool
    ipv6_gateway_needs_address: bool
    sysctl_disabled_ipv6_is_released: bool
    gwbridge_accepts_ipv6_gateway: bool
    default_bridge_ipv6_from_mac: bool
    default_bridge_ipv6_needs_subnet: bool
    has_bip6: bool

    # ---- texts of the daemon
    host_connect_text: str
    host_disconnect_text: str
    static_ip_on_predefined_text: str
    alias_on_predefined_text: str
    static_ip_on_automatic_text: str
    static_ip_outside_text: str
    join_own_namespace_text: str
    #: With `{ref}`, `{name}` and `{state}`.
    join_stopped_namespace_text: str
    missing_namespace_target_prefix: str

    # ---- links, hosts file, resolver
    legacy_link_env: bool
    hosts_cleanup_by_name: bool
    hosts_zero_suffix: bool
    host_gateway_both_families: bool
    #: "create": names exist from the endpoint's creation; "join": once the sandbox has the interface.
    dns_records_at: str
    #: A query for a known name without an address of that family is answered empty instead of forwarded.
    known_name_answers_empty: bool
    #: The host's nameservers are queried from the host's namespace, whatever their address.
    host_servers_from_host: bool
    #: Google's servers are used when the embedded resolver has no upstream.
    resolver_uses_google: bool
    #: The trailer line for that case; "" for none.
    no_servers_comment: str
    resolv_conf_indented_comments: bool
    #: The error of leaving if docker_gwbridge could not be attached again.
    lost_gateway_text: str = "{error}"
    #: Interval in seconds at which files of deleted namespaces are removed; 0 for at once.
    namespace_sweep_s: float = 0.0

    # ---- the daemon
    #: The options of `daemon.json`.
    daemon_directives: frozenset[str]

    # ---- bridge driver and firewall
    default_ip6tables: bool
    ip6tables_needs_experimental: bool
    has_ip_forward_no_drop: bool
    has_bridge_accept_fwmark: bool
    has_firewall_backend: bool
    #: `docker info` names the firewall backend; from 29.5 on also whether there is a userland proxy.
    info_names_firewall: bool = False
    firewall_info_has_proxy: bool = False
    #: A task whose image can neither be pulled nor found fails with the pull's error, not with the create's.
    task_reports_pull_error: bool
    #: `service inspect` repeats the task template's networks in the service's own spec.
    service_prints_old_networks: bool
    #: The newest stack file version that this release's docker command supports.
    stack_file_version: str
    sctp_checksum: str
    has_forward_chain: bool
    #: DOCKER-ISOLATION-STAGE-1 and -2 isolate networks; without, raw rules and DOCKER's final drops do.
    has_isolation_chains: bool
    has_internal_chain: bool
    docker_user_has_return: bool
    docker_user_is_retopped: bool
    port_rules_are_appended: bool
    nat_returns_from_bridge: bool
    has_raw_rules: bool
    has_gateway_modes: bool
    ipv6_policy_always_drop: bool
    dnat6_excludes_link_local: bool
    bridge_has_fe80_1: bool
    #: The bridge's IPv6 addresses are assigned without duplicate address detection (`nodad`).
    bridge_addresses_skip_dad: bool
    bridge_mac_prefix_0242: bool
    veth_is_made_in_namespace: bool
    nat_jumps_at_start: bool
    br_netfilter_without_proxy: bool
    #: The module br_netfilter is loaded when the daemon starts. By its default, bridged frames are filtered.
    br_netfilter_at_start: bool

    # ---- port mappings
    #: Each address text has a port table of its own: `0.0.0.0:80` and `127.0.0.1:80` can both be allocated.
    ports_per_address_text: bool
    ports_are_grouped: bool
    range_is_retried: bool
    skips_reserved_ports: bool
    routed_ports_on_other_endpoints: bool
    internal_ports_in_inspect: bool
    #: With `{proto}`, `{address}` (host:port), `{mapping}` (the whole binding) and `{error}`.
    port_bind_text: str
    port_duplicate_text: str
    proxy_gets_listener: bool
    udp_reuses_address: bool
    conntrack_flush_by_container_port: bool

    # ---- swarm
    ingress_jump_chain: str
    ingress_rule_if_absent: bool
    tolerates_stale_vip: bool
    alias_vip_reference_counted: bool
    #: Drivers and service discovery get a changed entry as old and new value; before, as a deletion.
    table_updates_are_replaced: bool
    #: The overlay driver identifies peers by address alone; before, by address and MAC.
    overlay_peers_by_address: bool = False
    #: NetworkDB: the deletion of an unknown entry is remembered even if it arrives by gossip.
    networkdb_keeps_unknown_deletions: bool = False
    #: NetworkDB: the entries of a node that left a network are kept as tombstones for half an hour.
    networkdb_keeps_tombstones_of_leavers: bool = True
    #: NetworkDB: entries of other nodes are relayed only in space left after the node's own.
    networkdb_relays_last: bool = False
    #: NetworkDB: a bulk sync is acknowledged by any later one of that node, by Lamport time, rather than by its
    #: response.
    networkdb_acknowledges_by_time: bool = False
    enforcer_counts_completed_tasks: bool
    swarm_ipv4_is_required: bool

    # ---- shapes of the API
    #: The structs that request bodies are decoded into.
    body_structs: BodyStructs = field(factory=BodyStructs)
    #: An absent `PortBindings` becomes `{}` instead of `null`, and an empty list of bindings one ephemeral binding.
    create_fills_maps: bool = False
    #: Fields that older API versions had (top-level addresses, `Bridge`, `OnBuild`, `from` of events) are gone,
    #: except for clients that request API 1.51 or older.
    inspect_is_slim: bool = False
    #: The fields of an entry of `NetworkSettings.Networks`, in this order.
    endpoint_fields: tuple[str, ...] = (
        "IPAMConfig", "Links", "Aliases", "MacAddress", "DriverOpts", "GwPriority", "NetworkID", "EndpointID",
        "Gateway", "IPAddress", "IPPrefixLen", "IPv6Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen", "DNSNames",
    )  # fmt: skip
    #: `network ls` and `network inspect` share one struct, in which Containers come before Options and Labels.
    network_containers_first: bool = True
    #: A start validates the combination of networks, as `network connect` does: tasks can have invalid ones.
    start_checks_networks: bool = False
    #: A manager's `network ls` finds the cluster's networks only by full name and by id prefix.
    swarmkit_filters_networks: bool = True
    #: An invalid `limit` of `ps`, or `t` of a stop, is a fault of the request (400); before, of the engine (500).
    checks_numbers: bool = False
    #: The name of a host may have at most 64 bytes.
    checks_hostname: bool = False
    health_filter_text: str
    #: The error for a port of the filters `publish` and `expose`, with `{value}` quoted in Go's syntax.
    port_filter_text: str = 'strconv.ParseUint: parsing "{value}": invalid syntax'
    #: The error for a missing parameter.
    missing_parameter_text: str = "bad parameter: {name}cannot be empty"
    no_log_stream_text: str = "Bad parameters: you must choose at least one stream"
    #: The errors for a time that is neither a time nor a duration, and for the Unix time `since` of logs and events.
    invalid_until_text: str = 'failed to parse value as time or duration: "{value}"'
    invalid_unix_time_text: str = 'strconv.ParseInt: parsing "{value}": invalid syntax'
    #: The prefixes of the latter in logs and in events, with `{key}`; such errors are then 400.
    log_time_prefix: str = ""
    event_time_prefix: str = ""
    #: The errors for the size of a terminal, with `{side}` and `{value}`.
    invalid_size_text: str = 'strconv.Atoi: parsing "{value}": invalid syntax'
    #: The error for a container port, with `{key}`, `{number}` and `{cause}`.
    invalid_port_text: str = 'invalid port specification: "{number}"'
    #: The error for `ps --filter status=` with an invalid state lists the valid ones.
    status_filter_lists_states: bool = True
    #: A stopped container's inspect still contains its last sandbox id.
    stopped_keeps_sandbox_id: bool = False
    container_mode_format_text: str = "invalid network mode: invalid container format container:<name|id>"
    #: The texts of runc before, and of containerd after, the cause of a failed start.
    runtime_error_detail: str = "error during container init: "
    runtime_error_suffix: str = ": unknown"
    #: The exit status of an exec of a missing command.
    exec_not_found_status: int = 127
    masked_paths: tuple[str, ...] = (
        "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
        "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
        "/sys/devices/virtual/powercap",
    )  # fmt: skip
