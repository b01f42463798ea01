"""The JSON Schema of a Compose file (compose-spec, 04-version-and-name to 09-secrets).

Keys that concern networking are described completely. Of all other keys only the names are checked, so that a
misspelt key is an error and a key without a meaning for networking is accepted.
"""

from __future__ import annotations

from cnmsim.lab.schema import Schema

_EXTENSIONS: dict[str, Schema] = {"^x-": {}}
_STRING: Schema = {"type": "string"}
_ANY: Schema = {}
_FLAG: Schema = {"type": ["boolean", "string"]}
_NUMBER: Schema = {"type": ["integer", "string"]}
_STRINGS: Schema = {"type": "array", "items": _STRING}
_STRING_OR_LIST: Schema = {"anyOf": [_STRING, _STRINGS]}
_SCALAR: Schema = {"type": ["string", "number", "boolean", "null"]}
_LIST_OR_MAP: Schema = {
    "anyOf": [
        {"type": "array", "items": {"type": ["string", "number"]}},
        {"type": "object", "additionalProperties": _SCALAR},
    ]
}
_OPTIONS: Schema = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
_COMMAND: Schema = {"anyOf": [{"type": "null"}, _STRING, {"type": "array", "items": {"type": ["string", "number"]}}]}


def _object(properties: dict[str, Schema], *, required: tuple[str, ...] = (), nullable: bool = False) -> Schema:
    return {
        "type": ["object", "null"] if nullable else "object",
        "properties": properties,
        "patternProperties": _EXTENSIONS,
        "additionalProperties": False,
        "required": list(required),
    }


def _named(schema: Schema) -> Schema:
    """Return the schema of a mapping from names, which the user chooses, to values that have the given schema."""
    return {
        "type": ["object", "null"],
        "propertyNames": {
            "pattern": "^[a-zA-Z0-9._-]+$",
            "description": "is no name: letters, digits, '.', '_' and '-' make one",
        },
        "additionalProperties": schema,
    }


_SERVICE_NETWORK = _object(
    {
        "aliases": _STRINGS,
        "driver_opts": _OPTIONS,
        "gw_priority": _NUMBER,
        "interface_name": _STRING,
        "ipv4_address": _STRING,
        "ipv6_address": _STRING,
        "link_local_ips": _STRINGS,
        "mac_address": _STRING,
        "priority": {"type": ["number", "string"]},
    },
    nullable=True,
)

_PORT = _object(
    {
        "app_protocol": _STRING,
        "host_ip": _STRING,
        "mode": _STRING,
        "name": _STRING,
        "protocol": _STRING,
        "published": _NUMBER,
        "target": _NUMBER,
    },
    required=("target",),
)

_DEPENDENCY = _object(
    {
        "condition": {"enum": ["service_started", "service_healthy", "service_completed_successfully"]},
        "required": _FLAG,
        "restart": _FLAG,
    },
    required=("condition",),
)

_NETWORKING: dict[str, Schema] = {
    "command": _COMMAND,
    "container_name": {
        "type": "string",
        "pattern": "^([a-zA-Z0-9][a-zA-Z0-9_.-]+)?$",
        "description": "is no container name",
    },
    "depends_on": {"anyOf": [_STRINGS, _named(_DEPENDENCY)]},
    "deploy": {
        "type": ["object", "null"],
        "properties": {
            "endpoint_mode": _STRING,
            "labels": _LIST_OR_MAP,
            "mode": _STRING,
            "placement": {"type": "object"},
            "replicas": _NUMBER,
            "resources": {"type": "object"},
            "restart_policy": {"type": "object"},
            "rollback_config": {"type": "object"},
            "update_config": {"type": "object"},
        },
        "patternProperties": _EXTENSIONS,
        "additionalProperties": False,
    },
    "dns": _STRING_OR_LIST,
    "dns_opt": _STRINGS,
    "dns_search": _STRING_OR_LIST,
    "domainname": _STRING,
    "entrypoint": _COMMAND,
    "env_file": {
        "anyOf": [
            _STRING,
            {
                "type": "array",
                "items": {
                    "anyOf": [
                        _STRING,
                        _object({"path": _STRING, "required": _FLAG, "format": _STRING}, required=("path",)),
                    ]
                },
            },
        ]
    },
    "environment": _LIST_OR_MAP,
    "expose": {"type": "array", "items": {"type": ["string", "number"]}},
    "extends": {"anyOf": [_STRING, _object({"service": _STRING, "file": _STRING}, required=("service",))]},
    "external_links": _STRINGS,
    "extra_hosts": {
        "anyOf": [
            _STRINGS,
            {"type": "object", "additionalProperties": {"anyOf": [_STRING, _STRINGS]}},
        ]
    },
    "healthcheck": _object(
        {
            "disable": _FLAG,
            "interval": _STRING,
            "retries": {"type": ["number", "string"]},
            "start_interval": _STRING,
            "start_period": _STRING,
            "test": {"anyOf": [_STRING, _STRINGS]},
            "timeout": _STRING,
        }
    ),
    "hostname": _STRING,
    "image": _STRING,
    "labels": _LIST_OR_MAP,
    "links": _STRINGS,
    "mac_address": _STRING,
    "network_mode": _STRING,
    "networks": {"anyOf": [_STRINGS, _named(_SERVICE_NETWORK)]},
    "ports": {"type": "array", "items": {"anyOf": [{"type": "integer"}, _STRING, _PORT]}},
    "profiles": _STRINGS,
    "restart": _STRING,
    "scale": _NUMBER,
    "sysctls": _LIST_OR_MAP,
}

#: Keys of a service that have no meaning for networking.
_ACCEPTED = [
    "annotations",
    "attach",
    "blkio_config",
    "build",
    "cap_add",
    "cap_drop",
    "cgroup",
    "cgroup_parent",
    "configs",
    "cpu_count",
    "cpu_percent",
    "cpu_period",
    "cpu_quota",
    "cpu_rt_period",
    "cpu_rt_runtime",
    "cpu_shares",
    "cpus",
    "cpuset",
    "credential_spec",
    "develop",
    "device_cgroup_rules",
    "devices",
    "gpus",
    "group_add",
    "init",
    "ipc",
    "isolation",
    "label_file",
    "logging",
    "mem_limit",
    "mem_reservation",
    "mem_swappiness",
    "memswap_limit",
    "models",
    "oom_kill_disable",
    "oom_score_adj",
    "pid",
    "pids_limit",
    "platform",
    "post_start",
    "pre_start",
    "pre_stop",
    "privileged",
    "provider",
    "pull_policy",
    "pull_refresh_after",
    "read_only",
    "runtime",
    "secrets",
    "security_opt",
    "shm_size",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "storage_opt",
    "tmpfs",
    "tty",
    "ulimits",
    "use_api_socket",
    "user",
    "userns_mode",
    "uts",
    "volumes",
    "volumes_from",
    "working_dir",
]

_POOL = _object(
    {
        "aux_addresses": {"type": "object", "additionalProperties": _STRING},
        "gateway": _STRING,
        "ip_range": _STRING,
        "subnet": _STRING,
    }
)

_NETWORK = _object(
    {
        "attachable": _FLAG,
        "driver": _STRING,
        "driver_opts": _OPTIONS,
        "enable_ipv4": _FLAG,
        "enable_ipv6": _FLAG,
        "external": {"anyOf": [_FLAG, _object({"name": _STRING})]},
        "internal": _FLAG,
        "ipam": _object(
            {
                "config": {"type": "array", "items": _POOL},
                "driver": _STRING,
                "options": {"type": "object", "additionalProperties": _STRING},
            }
        ),
        "labels": _LIST_OR_MAP,
        "name": _STRING,
    },
    nullable=True,
)

_INCLUDE: Schema = {
    "type": "array",
    "items": {
        "anyOf": [
            _STRING,
            _object(
                {"path": _STRING_OR_LIST, "env_file": _STRING_OR_LIST, "project_directory": _STRING},
                required=("path",),
            ),
        ]
    },
}

COMPOSE_SCHEMA: Schema = _object(
    {
        "configs": _named(_ANY),
        "include": _INCLUDE,
        "models": _named(_ANY),
        "name": _STRING,
        "networks": _named(_NETWORK),
        "secrets": _named(_ANY),
        "services": _named(_object({**dict.fromkeys(_ACCEPTED, _ANY), **_NETWORKING})),
        "version": {"type": ["string", "number"]},
        "volumes": _named(_ANY),
    }
)
