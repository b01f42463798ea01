"""The behaviours in which engine releases differ, one attribute each.

An attribute is named after the behaviour that it turns on, so that `if profile.has_gateway_priority` is a readable
condition. Messages that changed are whole texts with `{}` fields. An attribute without `per_release` is the same in
all releases.
"""

from __future__ import annotations

from attrs import frozen

from cnmsim.libnetwork.profile.api import ApiProfile
from cnmsim.libnetwork.profile.directives import V26_DIRECTIVES, V28_DIRECTIVES, V29_DIRECTIVES
from cnmsim.libnetwork.profile.release import per_release


@frozen(kw_only=True)
class Profile(ApiProfile):
    """The behaviour of one engine release: an attribute for each difference between releases."""

    # ---- release
    version: str = per_release(v26="26.1.5", v28="28.5.2", v29="29.7.2")
    api_version: str = per_release(v26="1.45", v28="1.51", v29="1.55")
    min_api_version: str = per_release(v26="1.24", v29="1.40")
    #: An error for a request with an API version below 1.24 is plain text.
    old_versions_get_text: bool = per_release(v26=False, v28=True)
    git_commit: str = per_release(v26="411e817", v28="89c5e8f", v29="6a43e3d")
    go_version: str = per_release(v26="go1.21.13", v28="go1.25.3", v29="go1.26.5")
    build_time: str = per_release(
        v26="2024-07-23T19:11:39.000000000+00:00",
        v28="2025-11-05T14:43:25.000000000+00:00",
        v29="2026-08-12T16:02:11.000000000+00:00",
    )
    #: The error of a template that compares values of two types names the types (Go 1.25).
    template_comparisons_name_types: bool = per_release(v26=False, v28=True)

    # ---- networks and their IPAM
    #: Default subnets are used in turn (26.1); later releases use the lowest free subnet.
    pools_rotate: bool = per_release(v26=True, v28=False)
    #: IPv4 and IPv6 have address spaces of their own.
    address_spaces_by_family: bool = per_release(v26=False, v28=True)
    #: Default pools are sorted by base address, and overlapping entries are dropped; 26.1 keeps them as configured.
    pools_are_sorted: bool = per_release(v26=False, v28=True)
    #: A request for `0.0.0.0/N` or `::/N` is a request for any default subnet with the prefix length N.
    pool_size_hint: bool = per_release(v26=False, v29=True)
    #: An IPv6 pool is made from the engine's id if none is configured.
    has_ula_pool: bool = per_release(v26=False, v28=True)
    pools_exhausted_text: str = per_release(
        v26="could not find an available, non-overlapping IPv{family} address pool among the defaults"
        " to assign to the network",
        v28="all predefined address pools have been fully subnetted",
    )
    #: The HTTP status of the error for exhausted default pools is 404; in later releases it is 400.
    pools_exhausted_is_not_found: bool = per_release(v26=True, v28=False)
    pool_overlap_text: str = per_release(
        v26="Pool overlaps with other one on this address space",
        v28="invalid pool request: Pool overlaps with other one on this address space",
    )
    #: The error for a requested address of a full pool: 26.1 reports that the pool is full, later releases that the
    #: address is in use.
    full_pool_hides_requested: bool = per_release(v26=True, v28=False)
    #: The number of addresses of an IPv6 pool that can be allocated: 26.1 represents only the first 2**64 - 1.
    ipv6_bitmap_ordinals: int = per_release(v26=(1 << 64) - 1, v28=1 << 128)
    can_disable_ipv4: bool = per_release(v26=False, v28=True)
    #: Addresses, prefixes, ports and MAC addresses are typed in the API: malformed ones fail when a body is decoded.
    ipam_config_is_typed: bool = per_release(v26=False, v29=True)
    #: `network inspect` shows requested IPv6 subnets of a network without IPv6.
    echoes_unused_ipv6_config: bool = per_release(v26=True, v29=False)
    #: The driver options `com.docker.network.enable_ipv4` and `enable_ipv6` apply if the request sets no such field.
    validates_enable_driver_options: bool = per_release(v26=False, v28=True)
    #: An endpoint may request an address in a subnet that the user did not configure.
    static_ip_on_automatic_subnet: bool = per_release(v26=False, v29=True)
    #: Drivers may skip the gateway: ipvlan L3, internal macvlan and ipvlan, isolated bridges.
    drivers_skip_gateway: bool = per_release(v26=False, v28=True)
    #: If the engine cannot use a network plugin's response, it calls the plugin to undo the operation.
    plugin_answers_are_rolled_back: bool = per_release(v26=False, v28=True)
    #: After a join to which a network plugin responded with an error, the plugin is called to leave; if only the
    #: attachment failed, it is called twice.
    failed_join_is_left: bool = per_release(v26=False, v29=True)
    #: A network plugin is notified of IPv4 and IPv6 gateway endpoints separately, and on internal networks too.
    plugin_publishes_by_family: bool = per_release(v26=False, v29=True)
    #: A network plugin always gets the option that says whether another endpoint is the IPv6 gateway.
    plugin_always_gets_proxy_option: bool = per_release(v26=False, v28=True, v29=False)
    #: When a container starts, a plugin's endpoint information is requested twice, and the start fails without it.
    plugin_must_return_endpoint_info: bool = per_release(v26=True, v28=False)
    #: An IPAM plugin's address spaces are requested with every pool.
    remote_ipam_looks_up_spaces: bool = per_release(v26=False, v28=True)
    remote_pool_text: str = per_release(v26="invalid CIDR address: {pool}", v28="{fault}")
    #: macvlan and ipvlan networks have a gateway only if one is requested.
    macvlan_skips_gateway: bool = per_release(v26=False, v29=True)
    #: Several macvlan networks may be on one parent interface, unless one of them is in passthru mode.
    macvlan_shares_parent: bool = per_release(v26=False, v28=True)
    #: A container whose only networks are macvlan or ipvlan does not get docker_gwbridge.
    macvlan_disables_gateway_service: bool = per_release(v26=False, v29=True)
    #: `network inspect` shows the gateway of a configured subnet for which none was requested.
    inspect_shows_allocated_gateway: bool = per_release(v26=False, v29=True)
    #: `network inspect` shows the numbers of used and free addresses (API 1.52 and later).
    inspect_has_ipam_status: bool = per_release(v26=False, v29=True)
    #: `network inspect` prints EnableIPv4.
    inspect_shows_enable_ipv4: bool = per_release(v26=False, v28=True)
    #: `network inspect` shows an allocated IPv6 gateway with the prefix length.
    inspect_gateway6_has_length: bool = per_release(v26=True, v28=False)
    #: A starting daemon stores the allocated subnets and gateways as if the user had requested them.
    reload_overwrites_ipam_config: bool = per_release(v26=True, v29=False)
    refuses_multicast_subnet: bool = per_release(v26=False, v28=True)
    link_local_clash_text: str = per_release(
        v26="clash with the Link-Local prefix 'fe80::/64'",
        v28="'{subnet}' clashes with the Link-Local prefix 'fe80::/64'",
    )
    #: The options of the configuration network are read before the scope of the new network is checked.
    config_from_is_resolved_first: bool = per_release(v26=False, v28=True)
    config_from_options_text: str = per_release(
        v26="user specified configurations are not supported if the network depends on a configuration network",
        v29="user-specified configurations are not supported if the network depends on a configuration network",
    )
    blank_name_text: str = per_release(v26="invalid name: {name}", v28="invalid name: name is empty")
    blank_id_text: str = per_release(v26="invalid id: ", v28="invalid id: id is empty")
    active_endpoints_lists_endpoints: bool = per_release(v26=False, v28=True)

    # ---- endpoints, sandboxes and their order
    #: MAC addresses on bridge and macvlan are made from the IPv4 address (`02:42:...`).
    mac_from_ip: bool = per_release(v26=True, v28=False)
    #: A new interface announces its addresses (gratuitous ARP, unsolicited neighbour advertisements).
    announces_addresses: bool = per_release(v26=False, v28=True)
    #: The API version from which `network connect` honours a MAC address; "" where it never does.
    connect_mac_api_version: str = per_release(v26="", v29="1.54")
    #: A new interface never gets a number that was used before: after `eth2` was removed, `eth3` follows.
    interface_counter_grows: bool = per_release(v26=True, v28=False)
    #: When a container starts, interfaces are attached in gateway order (26.1), not in order of joining.
    start_plugs_in_gateway_order: bool = per_release(v26=True, v28=False)
    #: If a join fails after the interface was moved into the container, the interface stays there, and so does the
    #: line in /etc/hosts.
    failed_join_keeps_interface: bool = per_release(v26=True, v29=False)
    #: While a sandbox is deleted, its ports are still moved to the next gateway endpoint when an endpoint leaves.
    deleted_sandbox_moves_ports: bool = per_release(v26=True, v29=False)
    has_endpoint_ifname: bool = per_release(v26=False, v28=True)
    has_endpoint_sysctls: bool = per_release(v26=False, v28=True)
    has_gateway_priority: bool = per_release(v26=False, v28=True)
    #: To find the gateway, 26.1 scores an IPv4 gateway 1 and an IPv6 gateway 2; later releases count the families
    #: with a default route.
    gateway_score_by_family: bool = per_release(v26=False, v28=True)
    #: How gateway endpoints are chosen. "single": one endpoint for both families; "dual-stack-first": one that has
    #: both, else one per family; "per-family".
    gateway_choice: str = per_release(v26="single", v28="dual-stack-first", v29="per-family")
    #: A default route that a driver adds to a sandbox is installed even if another endpoint is the gateway.
    static_default_routes: bool = per_release(v26=True, v28=False)
    #: The error for a default route that the kernel refuses, with `{family}` ("" or "IPv6 "), `{address}` (of the
    #: gateway, in parentheses, "" for IPv4) and `{error}`.
    gateway_error_text: str = per_release(
        v26="failed to set {family}gateway while updating gateway: {error}",
        v28="updating gateway endpoint: failed to set {family}gateway: {error}",
        v29="updating gateway endpoint: failed to set {family}gateway{address}: {error}",
    )
    #: When a container starts, its endpoints are created before the task, when the namespace does not exist.
    allocates_before_task: bool = per_release(v26=True, v28=False)
    start_error_prefix: str = per_release(v26="", v28="failed to set up container networking: ")
    #: For the filter `dangling`, a network with endpoints counts as used.
    dangling_filter_sees_containers: bool = per_release(v26=False, v29=True)
    #: The number of events that a disconnect of a stopped, and of a running container causes.
    stopped_disconnect_events: int = per_release(v26=1, v28=0)
    running_disconnect_events: int = per_release(v26=2, v28=1)
    #: After a failed `network connect` the network stays in the container's configuration.
    failed_connect_keeps_settings: bool = per_release(v26=True, v29=False)
    #: An IPv6 gateway counts only if the endpoint has an IPv6 address.
    ipv6_gateway_needs_address: bool = per_release(v26=False, v28=True)
    #: An IPv6 address that an endpoint's sysctls have removed is released in IPAM.
    sysctl_disabled_ipv6_is_released: bool = per_release(v26=False, v29=True)
    #: A container with only an IPv6 gateway does not get docker_gwbridge.
    gwbridge_accepts_ipv6_gateway: bool = per_release(v26=False, v28=True)
    #: On the default bridge, an IPv6 address is made from the MAC address if the prefix has at most 80 bits.
    default_bridge_ipv6_from_mac: bool = per_release(v26=True, v28=False)
    default_bridge_ipv6_needs_subnet: bool = per_release(v26=True, v28=False)
    has_bip6: bool = per_release(v26=False, v28=True)

    # ---- texts of the daemon
    host_connect_text: str = per_release(
        v26="container cannot be disconnected from host network or connected to host network",
        v28="cannot connect container to host network - container must be created in host network mode",
    )
    host_disconnect_text: str = per_release(
        v26="container cannot be disconnected from host network or connected to host network",
        v28="cannot disconnect container from host network - container was created in host network mode",
    )
    static_ip_on_predefined_text: str = per_release(
        v26="user specified IP address is supported on user defined networks only",
        v29="user-specified IP address is supported on user-defined networks only",
    )
    alias_on_predefined_text: str = per_release(
        v26="network-scoped alias is supported only for containers in user defined networks",
        v29="network-scoped aliases are only supported for user-defined networks",
    )
    static_ip_on_automatic_text: str = per_release(
        v26="user specified IP address is supported only when connecting to networks with user configured subnets",
        v29="",
    )
    static_ip_outside_text: str = per_release(
        v26="no configured subnet or ip-range contain the IP address {ip}",
        v29="no configured subnet contains IP address {ip}",
    )
    join_own_namespace_text: str = per_release(v26="cannot join own network", v28="cannot join own network namespace")
    #: The error for `--network container:` with a stopped container, with `{ref}`, `{name}` and `{state}`.
    join_stopped_namespace_text: str = per_release(
        v26="cannot join network of a non running container: {ref}",
        v28="cannot join network namespace of a non running container: container {name} is {state}",
    )
    missing_namespace_target_prefix: str = per_release(v26="", v28="joining network namespace of container: ")

    # ---- links, hosts file, resolver
    #: A `--link` sets environment variables such as `DB_PORT` in the container.
    legacy_link_env: bool = per_release(v26=True, v29=False)
    #: When an endpoint leaves, lines of /etc/hosts are removed by name; in later releases, by address.
    hosts_cleanup_by_name: bool = per_release(v26=True, v28=False)
    #: /etc/hosts contains `fe00::0` and `ff00::0`; in later releases `fe00::` and `ff00::`.
    hosts_zero_suffix: bool = per_release(v26=True, v28=False)
    #: `host-gateway` stands for the IPv4 and the IPv6 gateway of the default bridge, not for the first only.
    host_gateway_both_families: bool = per_release(v26=False, v28=True)
    #: When an endpoint's DNS records are added: at its creation ("create") or once its interface is in the sandbox
    #: ("join").
    dns_records_at: str = per_release(v26="create", v29="join")
    #: A query for a known name that has no address of the queried family gets an empty answer instead of being
    #: forwarded.
    known_name_answers_empty: bool = per_release(v26=False, v28=True)
    #: The host's nameservers are queried from the host's namespace, whatever their address.
    host_servers_from_host: bool = per_release(v26=False, v28=True)
    #: Google's servers are used when the embedded resolver has no upstream.
    resolver_uses_google: bool = per_release(v26=True, v28=False)
    #: The comment in resolv.conf for the case that there is no upstream server; "" for none.
    no_servers_comment: str = per_release(v26="# Used default nameservers.", v28="# NO EXTERNAL NAMESERVERS DEFINED")
    #: In resolv.conf, an indented `#` or `;` begins a comment, too.
    resolv_conf_indented_comments: bool = per_release(v26=True, v29=False)
    #: The error of leaving if docker_gwbridge could not be attached again.
    lost_gateway_text: str = per_release(v26="{error}", v29="failed to set default gateway: {error}")
    #: Interval in seconds at which files of deleted namespaces are removed; 0 for at once.
    namespace_sweep_s: float = per_release(v26=60.0, v28=0.0)

    # ---- the daemon
    #: The options of `daemon.json`.
    daemon_directives: frozenset[str] = per_release(v26=V26_DIRECTIVES, v28=V28_DIRECTIVES, v29=V29_DIRECTIVES)

    # ---- bridge driver and firewall
    default_ip6tables: bool = per_release(v26=False, v28=True)
    ip6tables_needs_experimental: bool = per_release(v26=True, v28=False)
    has_ip_forward_no_drop: bool = per_release(v26=False, v28=True)
    has_bridge_accept_fwmark: bool = per_release(v26=False, v29=True)
    has_firewall_backend: bool = per_release(v26=False, v29=True)
    #: `docker info` names the firewall backend; from 29.5 on also whether there is a userland proxy.
    info_names_firewall: bool = per_release(v26=False, v28=True)
    firewall_info_has_proxy: bool = per_release(v26=False, v29=True)
    #: A task whose image can neither be pulled nor found fails with the error of the pull, not that of the create.
    task_reports_pull_error: bool = per_release(v26=False, v29=True)
    #: `service inspect` repeats the task template's networks in the service's own spec.
    service_prints_old_networks: bool = per_release(v26=True, v29=False)
    #: The newest stack file version that this release's docker command supports.
    stack_file_version: str = per_release(v26="3.12", v28="3.13")
    #: When a published SCTP port gets a CHECKSUM rule: "always", "env" (on request, not simulated) or "never".
    sctp_checksum: str = per_release(v26="always", v28="env", v29="never")
    has_forward_chain: bool = per_release(v26=False, v28=True)
    #: The chains DOCKER-ISOLATION-STAGE-1 and -2 isolate networks; later, raw rules and the final drops in DOCKER do.
    has_isolation_chains: bool = per_release(v26=True, v29=False)
    has_internal_chain: bool = per_release(v26=False, v29=True)
    #: DOCKER-USER ends in a rule with the target RETURN.
    docker_user_has_return: bool = per_release(v26=True, v28=False)
    #: The jump to DOCKER-USER moves to the top of FORWARD whenever a network is created.
    docker_user_is_retopped: bool = per_release(v26=True, v28=False)
    #: The ACCEPT rule of a published port is appended to DOCKER; in later releases, inserted at the top.
    port_rules_are_appended: bool = per_release(v26=True, v28=False)
    #: A RETURN rule exempts packets from a network's own bridge from DNAT.
    nat_returns_from_bridge: bool = per_release(v26=True, v29=False)
    has_raw_rules: bool = per_release(v26=False, v28=True)
    has_gateway_modes: bool = per_release(v26=False, v28=True)
    #: The policy of FORWARD in ip6tables is DROP even if IPv6 forwarding was enabled before.
    ipv6_policy_always_drop: bool = per_release(v26=True, v28=False)
    dnat6_excludes_link_local: bool = per_release(v26=False, v28=True)
    bridge_has_fe80_1: bool = per_release(v26=True, v28=False)
    #: The bridge's IPv6 addresses are assigned without duplicate address detection (`nodad`).
    bridge_addresses_skip_dad: bool = per_release(v26=False, v28=True)
    bridge_mac_prefix_0242: bool = per_release(v26=True, v28=False)
    veth_is_made_in_namespace: bool = per_release(v26=False, v28=True)
    #: The jumps to DOCKER in the table nat are created at the daemon's start, not with the first network.
    nat_jumps_at_start: bool = per_release(v26=False, v28=True)
    #: Without userland proxy, bridged frames pass iptables (`bridge-nf-call-iptables`).
    br_netfilter_without_proxy: bool = per_release(v26=False, v28=True)
    #: The module br_netfilter is loaded when the daemon starts. By its default, bridged frames are filtered.
    br_netfilter_at_start: bool = per_release(v26=True, v28=False)

    # ---- port mappings
    #: Each address text has a port table of its own: `0.0.0.0:80` and `127.0.0.1:80` can both be allocated.
    ports_per_address_text: bool = per_release(v26=True, v28=False)
    #: The bindings of a port on several host addresses get the same host port.
    ports_are_grouped: bool = per_release(v26=False, v28=True)
    #: If a port of a requested range cannot be bound, the next one is tried.
    range_is_retried: bool = per_release(v26=False, v28=True)
    skips_reserved_ports: bool = per_release(v26=False, v29=True)
    #: In gateway mode `routed`, ports are opened on endpoints that are not the gateway, too.
    routed_ports_on_other_endpoints: bool = per_release(v26=False, v29=True)
    #: `inspect` shows the exposed ports of a container that has only internal networks.
    internal_ports_in_inspect: bool = per_release(v26=False, v29=True)
    #: The error for a host port that cannot be bound, with `{proto}`, `{address}` (host:port), `{mapping}` (the whole
    #: binding) and `{error}`.
    port_bind_text: str = per_release(
        v26="listen {network} {address}: bind: {error}",
        v28="failed to bind host port for {mapping}: {error}",
        v29="failed to bind host port {address}/{proto}: {error}",
    )
    port_duplicate_text: str = per_release(
        v26="Bind for {address} failed: port is already allocated",
        v28="failed to listen on TCP socket: address already in use",
        v29="failed to bind host port {address}/{proto}: address already in use",
    )
    #: The daemon binds the host port and passes the socket to docker-proxy (`-use-listen-fd`).
    proxy_gets_listener: bool = per_release(v26=False, v28=True)
    #: The host's UDP socket of a published port has SO_REUSEADDR.
    udp_reuses_address: bool = per_release(v26=False, v28=True, v29=False)
    #: An endpoint that is no longer the gateway has its tracked connections flushed (RevokeExternalConnectivity).
    unpublishing_flushes_conntrack: bool = per_release(v26=True, v29=False)
    #: Publishing a UDP port deletes tracked connections to the container's port on the binding's host address (on any
    #: if it has none); in earlier releases, those to the host's port on any address.
    conntrack_flush_by_container_port: bool = per_release(v26=False, v29=True)

    # ---- swarm
    ingress_jump_chain: str = per_release(v26="FORWARD", v28="DOCKER-FORWARD")
    #: A rule of the routing mesh is not installed again if it exists.
    ingress_rule_if_absent: bool = per_release(v26=False, v29=True)
    #: A virtual address that the load-balancer sandbox already has is no error.
    tolerates_stale_vip: bool = per_release(v26=False, v29=True)
    #: An alias of a service resolves to the virtual address as long as one task has the alias.
    alias_vip_reference_counted: bool = per_release(v26=False, v29=True)
    #: Drivers and service discovery get an entry's old and new value when it changes; in earlier releases, they get a
    #: deletion.
    table_updates_are_replaced: bool = per_release(v26=False, v29=True)
    #: The overlay driver identifies peers by address alone; in earlier releases, by address and MAC address.
    overlay_peers_by_address: bool = per_release(v26=False, v29=True)
    #: NetworkDB: the deletion of an unknown entry is remembered even if it arrives by gossip.
    networkdb_keeps_unknown_deletions: bool = per_release(v26=False, v29=True)
    #: NetworkDB: the entries of a node that left a network are kept as tombstones for half an hour.
    networkdb_keeps_tombstones_of_leavers: bool = per_release(v26=True, v29=False)
    #: NetworkDB: entries of other nodes are relayed only in space left after the node's own.
    networkdb_relays_last: bool = per_release(v26=False, v29=True)
    #: NetworkDB: a bulk sync is acknowledged by any later bulk sync of that node, by Lamport time, rather than by the
    #: response to it.
    networkdb_acknowledges_by_time: bool = per_release(v26=False, v29=True)
    #: SwarmKit's constraint enforcer also checks completed tasks.
    enforcer_counts_completed_tasks: bool = per_release(v26=True, v29=False)
    swarm_ipv4_is_required: bool = per_release(v26=False, v28=True)
