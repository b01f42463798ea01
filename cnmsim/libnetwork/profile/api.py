"""The behaviours of the API and of containers in which engine releases differ: the first part of `Profile`."""

from __future__ import annotations

from attrs import frozen

from cnmsim.libnetwork.profile.release import per_release


@frozen(kw_only=True)
class BodyStructs:
    """The names of the Go structs into which the daemon decodes request bodies, as its error messages print them."""

    container_create: str = "container.CreateRequest"
    network_create: str = "network.CreateRequest"
    #: The embedded struct that has all fields except the name; "" if there is none.
    network_create_embeds: str = ""
    network_connect: str = "network.ConnectRequest"
    network_disconnect: str = "network.DisconnectRequest"
    exec_create: str = "container.ExecCreateRequest"
    exec_start: str = "container.ExecStartRequest"
    volume_create: str = "volume.CreateOptions"


@frozen(kw_only=True)
class ApiProfile:
    """What the API of one release accepts and returns, and how its containers are created and started."""

    #: The structs that request bodies are decoded into.
    body_structs: BodyStructs = per_release(  # noqa: RUF009 - a field, not a shared value
        v26=BodyStructs(
            container_create="runconfig.ContainerConfigWrapper",
            network_create="types.NetworkCreateRequest",
            network_create_embeds="NetworkCreate",
            network_connect="types.NetworkConnect",
            network_disconnect="types.NetworkDisconnect",
            exec_create="types.ExecConfig",
            exec_start="types.ExecStartCheck",
        ),
        v28=BodyStructs(
            network_create_embeds="CreateOptions",
            network_connect="network.ConnectOptions",
            network_disconnect="network.DisconnectOptions",
            exec_create="container.ExecOptions",
            exec_start="container.ExecStartOptions",
        ),
        v29=BodyStructs(
            network_connect="networkbackend.ConnectRequest",
            network_disconnect="networkbackend.DisconnectRequest",
            volume_create="volume.CreateRequest",
        ),
    )
    #: An absent `PortBindings` becomes `{}` instead of `null`, and an empty list of bindings one ephemeral binding.
    create_fills_maps: bool = per_release(v26=False, v29=True)
    #: The cause in the error for a container create without a body.
    empty_create_text: str = per_release(v26="got EOF while reading request body", v29="EOF")
    #: The error of a failed removal names the container as the request does; in earlier releases, `/` and its name.
    remove_error_has_term: bool = per_release(v26=False, v28=True)
    #: `network inspect` of a config-only network shows its subnets.
    config_only_shows_ipam: bool = per_release(v26=True, v29=False)
    #: `ps` lists ports that are published without a host port (gateway mode `routed`).
    ps_shows_unbound_ports: bool = per_release(v26=True, v29=False)
    #: Images can be mounted (`type=image`); `image_mount_warning` is the warning of a create with such a mount.
    has_image_mounts: bool = per_release(v26=False, v28=True)
    image_mount_warning: str = per_release(v26="", v28="Image mount is an experimental feature", v29="")
    #: The error for an image of another platform, with `{name}`, `{actual}` and `{requested}`.
    other_platform_text: str = per_release(
        v26=(
            "image with reference {name} was found but does not match the specified platform: wanted {requested}, "
            "actual: {actual}"
        ),
        v28=(
            "image with reference {name} was found but its platform ({actual}) does not match the specified platform "
            "({requested})"
        ),
    )
    #: The regular expressions for the operating system and the other parts of a platform, which errors quote.
    platform_patterns: tuple[str, str] = per_release(
        v26=(r"^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.-]*)\))?$", r"^[A-Za-z0-9_-]+$"),
        v28=(r"^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.-]*)\))?$", r"^[A-Za-z0-9_.-]+$"),
        v29=(
            r"^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)((?:\+[A-Za-z0-9_.%-]+)*)\))?$",
            r"^[A-Za-z0-9_.-]+$",
        ),
    )
    #: Only exposed ports are published; bindings of others have no effect.
    publishes_exposed_only: bool = per_release(v26=True, v29=False)
    unknown_protocol_text: str = per_release(v26="invalid transport protocol: {protocol}", v28="unknown protocol")
    #: A service's SwapBytes and MemorySwappiness have an effect.
    services_limit_swap: bool = per_release(v26=False, v29=True)
    #: An exposed port with an empty list of bindings, or null, is bound to an ephemeral host port.
    binds_empty_lists: bool = per_release(v26=False, v28=True)
    #: Fields that older API versions had (top-level addresses, `Bridge`, `OnBuild`, `from` of events) are gone,
    #: except for clients that request API 1.51 or older.
    inspect_is_slim: bool = per_release(v26=False, v29=True)
    #: The fields of an entry of `NetworkSettings.Networks`, in this order.
    endpoint_fields: tuple[str, ...] = per_release(
        v26=(
            "IPAMConfig", "Links", "Aliases", "MacAddress", "NetworkID", "EndpointID", "Gateway",
            "IPAddress", "IPPrefixLen", "IPv6Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen",
            "DriverOpts", "DNSNames",
        ),
        v28=(
            "IPAMConfig", "Links", "Aliases", "MacAddress", "DriverOpts", "GwPriority", "NetworkID",
            "EndpointID", "Gateway", "IPAddress", "IPPrefixLen", "IPv6Gateway", "GlobalIPv6Address",
            "GlobalIPv6PrefixLen", "DNSNames",
        ),
        v29=(
            "IPAMConfig", "Links", "Aliases", "DriverOpts", "GwPriority", "NetworkID", "EndpointID",
            "Gateway", "IPAddress", "MacAddress", "IPPrefixLen", "IPv6Gateway", "GlobalIPv6Address",
            "GlobalIPv6PrefixLen", "DNSNames",
        ),
    )  # fmt: skip
    #: `network ls` and `network inspect` share one struct, in which Containers come before Options and Labels.
    network_containers_first: bool = per_release(v26=True, v29=False)
    #: The VIP that `network inspect --verbose` shows of a service without one.
    absent_vip_text: str = per_release(v26="<nil>", v29="")
    #: When a container starts, the combination of its networks is validated, as by `network connect`. Tasks can have
    #: invalid ones.
    start_checks_networks: bool = per_release(v26=False, v28=True)
    #: A manager's `network ls` finds the cluster's networks only by full name and by id prefix.
    swarmkit_filters_networks: bool = per_release(v26=True, v29=False)
    #: The error for an invalid `limit` of `ps`, or `t` of a stop, has the status 400; in earlier releases, 500.
    checks_numbers: bool = per_release(v26=False, v29=True)
    #: The name of a host may have at most 64 bytes.
    checks_hostname: bool = per_release(v26=False, v29=True)
    health_filter_text: str = per_release(
        v26="unrecognized filter value for health: {value}",
        v28="invalid filter 'health={value}': invalid value for health ({value}): must be one of none, starting,"
        " healthy, unhealthy",
    )
    #: The error for a port of the filters `publish` and `expose`, with `{value}` quoted in Go's syntax.
    port_filter_text: str = per_release(
        v26='strconv.ParseUint: parsing "{value}": invalid syntax', v29="invalid start port '{value}': invalid syntax"
    )
    #: The error for a missing parameter.
    missing_parameter_text: str = per_release(
        v26="bad parameter: {name}cannot be empty", v29="bad parameter: {name} cannot be empty"
    )
    no_log_stream_text: str = per_release(
        v26="Bad parameters: you must choose at least one stream",
        v29="must specify at least one of 'stdout' or 'stderr'",
    )
    #: The errors for a time that is neither a time nor a duration, and for the Unix time `since` of logs and events.
    invalid_until_text: str = per_release(
        v26='failed to parse value as time or duration: "{value}"',
        v29='failed to parse value as time or duration: invalid seconds "{value}": invalid syntax',
    )
    invalid_unix_time_text: str = per_release(
        v26='strconv.ParseInt: parsing "{value}": invalid syntax',
        v29='invalid timestamp "{value}": invalid seconds "{value}": invalid syntax',
    )
    #: The prefixes of `invalid_unix_time_text` in logs and in events, with `{key}`; with a prefix, the status is 400.
    log_time_prefix: str = per_release(v26="", v29='invalid value for "{key}": ')
    event_time_prefix: str = per_release(v26="", v29="invalid value for '{key}': ")
    #: The prefix of errors for the body of `POST /auth`; with a prefix, their status is 400.
    login_body_prefix: str = per_release(v26="", v29="invalid X-Registry-Auth header: ")
    #: The errors for the size of a terminal, with `{side}` and `{value}`.
    invalid_size_text: str = per_release(
        v26='strconv.Atoi: parsing "{value}": invalid syntax', v28='invalid resize {side} "{value}": invalid syntax'
    )
    #: The error for `ps --filter status=` with an invalid state lists the valid ones.
    status_filter_lists_states: bool = per_release(v26=False, v28=True)
    #: A stopped container's inspect still contains its last sandbox id.
    stopped_keeps_sandbox_id: bool = per_release(v26=True, v28=False)
    container_mode_format_text: str = per_release(
        v26="Invalid network mode: invalid container format container:<name|id>",
        v28="invalid network mode: invalid container format container:<name|id>",
    )
    #: The texts before and after the cause of a failed start. They come from the runc (1.3 since 28.5) and the
    #: containerd (2.x since 29) in the release's packages.
    runtime_error_detail: str = per_release(v26="", v28="error during container init: ")
    runtime_error_suffix: str = per_release(v26=": unknown", v29="")
    #: A create body's isolation, QoS limits, real-time scheduling and CPU shares are validated when the body is
    #: decoded. In 26.1 an error there is a fault of the engine (500), and CPU shares fail only at the start.
    decode_errors_are_invalid: bool = per_release(v26=False, v28=True)
    checks_cpu_shares: bool = per_release(v26=False, v28=True)
    isolation_text: str = per_release(
        v26="Invalid isolation: {quoted} - linux only supports 'default'",
        v28="invalid isolation ({value}): linux only supports 'default'",
    )
    #: The error for a QoS limit of a create body; `{what}` is `bandwidth` or `IOPs`.
    qos_text: str = per_release(
        v26="Invalid QoS settings: linux does not support configuration of maximum {what}",
        v28="invalid option: QoS maximum {what} configuration is not supported on linux",
    )
    realtime_text: str = per_release(
        v26="Your kernel does not support CPU real-time scheduler",
        v28="kernel does not support CPU real-time scheduler",
    )
    cpu_range_text: str = per_release(
        v26="Range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available",
        v28="range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available",
    )
    #: The error for an option of a tmpfs quotes a Go slice of the option's name and value.
    tmpfs_error_quotes_slice: bool = per_release(v26=False, v28=True, v29=False)
    #: An anonymous volume can be mounted read-only.
    mounts_anonymous_read_only: bool = per_release(v26=False, v29=True)
    #: The options of a mount that its type does not permit are refused before its target is checked.
    exclusive_mount_options_first: bool = per_release(v26=False, v29=True)
    #: The error for a name of `--group-add` without an entry in /etc/group.
    unknown_group_text: str = per_release(
        v26="Unable to find group {name}: no matching entries in group file",
        v29="unable to find group {name}: no matching entries in group file",
    )
    #: The logging driver `local` stores labels, variables and a tag with each message.
    local_log_has_attributes: bool = per_release(v26=False, v29=True)
    local_log_files_text: str = per_release(
        v26="max file count cannot be less than 0", v29="max-file must not be negative"
    )
    local_log_compress_text: str = per_release(
        v26="error reading compress log option", v29="invalid boolean value for compress"
    )
    #: Archives are unpacked with Go's os.Root: errors have a file's path relative to the directory of the archive.
    unpacks_in_root: bool = per_release(v26=False, v29=True)
    google_error_prefix: str = per_release(v26="google: ", v29="credentials: ")
    #: The user of an exec is looked up when the exec is created, not only when it is started.
    exec_user_is_checked_at_create: bool = per_release(v26=False, v28=True)
    #: The exit status of an exec of a missing command.
    exec_not_found_status: int = per_release(v26=126, v28=127)
    masked_paths: tuple[str, ...] = per_release(
        v26=(
            "/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
            "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
            "/sys/devices/virtual/powercap",
        ),
        v28=(
            "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys",
            "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
            "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
        ),
        v29=(
            "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
            "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
            "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
        ),
    )  # fmt: skip
