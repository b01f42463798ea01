"""The Compose file format 3 as a JSON Schema, and the version in which each key was introduced.

Source: docker/cli `cli/compose/schema/data/config_schema_v3.*.json` (v29.7.2).
"""

from __future__ import annotations

from cnmsim.lab.schema import Schema

#: All versions of the format. A file without a version, or with just `3`, has the newest version that the docker
#: command supports.
VERSIONS = tuple(f"3.{minor}" for minor in range(14))

_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_WHOLE: Schema = {"type": "integer"}
_NUMBER: Schema = {"type": "number"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_SET: Schema = {**_TEXTS, "uniqueItems": True}
_TEXT_OR_SET: Schema = {"anyOf": [_TEXT, _SET]}
_TEXT_OR_LIST: Schema = {"anyOf": [_TEXT, _TEXTS]}
_PAIRS: Schema = {
    "anyOf": [{"type": "object", "additionalProperties": {"type": ["string", "number", "null"]}}, _SET],
}
_OPTIONS: Schema = {"type": "object", "additionalProperties": {"type": ["string", "number"]}}


def _object(properties: dict[str, Schema], *, nullable: bool = False, extensible: bool = False) -> Schema:
    schema: Schema = {
        "type": ["object", "null"] if nullable else "object",
        "properties": properties,
        "additionalProperties": False,
    }
    return {**schema, "patternProperties": {"^x-": {}}} if extensible else schema


def _named(schema: Schema) -> Schema:
    return {
        "type": "object",
        "propertyNames": {
            "pattern": "^[a-zA-Z0-9._-]+$",
            "description": "is no name: letters, digits, '.', '_' and '-' make one",
        },
        "additionalProperties": schema,
    }


_UPDATE = _object(
    {
        "delay": _TEXT,
        "failure_action": _TEXT,
        "max_failure_ratio": _NUMBER,
        "monitor": _TEXT,
        "order": {"enum": ["start-first", "stop-first"]},
        "parallelism": _WHOLE,
    }
)
_GENERIC: Schema = {
    "type": "array",
    "items": _object({"discrete_resource_spec": _object({"kind": _TEXT, "value": _NUMBER})}),
}
_DEPLOY = _object(
    {
        "endpoint_mode": _TEXT,
        "labels": _PAIRS,
        "mode": _TEXT,
        "placement": _object(
            {
                "constraints": _TEXTS,
                "max_replicas_per_node": _WHOLE,
                "preferences": {"type": "array", "items": _object({"spread": _TEXT})},
            }
        ),
        "replicas": _WHOLE,
        "resources": _object(
            {
                "limits": _object({"cpus": _TEXT, "memory": _TEXT, "pids": _WHOLE}),
                "reservations": _object({"cpus": _TEXT, "generic_resources": _GENERIC, "memory": _TEXT}),
            }
        ),
        "restart_policy": _object({"condition": _TEXT, "delay": _TEXT, "max_attempts": _WHOLE, "window": _TEXT}),
        "rollback_config": _UPDATE,
        "update_config": _UPDATE,
    },
    nullable=True,
)
_HEALTH = _object(
    {
        "disable": _FLAG,
        "interval": _TEXT,
        "retries": _NUMBER,
        "start_interval": _TEXT,
        "start_period": _TEXT,
        "test": _TEXT_OR_LIST,
        "timeout": _TEXT,
    }
)
_GRANT: Schema = {
    "type": "array",
    "items": {
        "anyOf": [
            _TEXT,
            {
                "type": "object",
                "properties": {"source": _TEXT, "target": _TEXT, "uid": _TEXT, "gid": _TEXT, "mode": _NUMBER},
            },
        ]
    },
}
_MOUNT: Schema = {
    **_object(
        {
            "bind": {"type": "object", "properties": {"propagation": _TEXT}},
            "consistency": _TEXT,
            "read_only": _FLAG,
            "source": _TEXT,
            "target": _TEXT,
            "tmpfs": {"type": "object", "properties": {"size": {"type": "integer", "minimum": 0}}},
            "type": _TEXT,
            "volume": {"type": "object", "properties": {"nocopy": _FLAG}},
        }
    ),
    "required": ["type"],
}
_PORT = _object({"mode": _TEXT, "protocol": _TEXT, "published": _WHOLE, "target": _WHOLE})
_NETWORK_USE = _object(
    {"aliases": _SET, "driver_opts": _OPTIONS, "ipv4_address": _TEXT, "ipv6_address": _TEXT}, nullable=True
)
_ULIMITS: Schema = {
    "type": "object",
    "additionalProperties": {
        "anyOf": [_WHOLE, {**_object({"hard": _WHOLE, "soft": _WHOLE}), "required": ["hard", "soft"]}]
    },
}

SERVICE = _object(
    {
        "build": {"anyOf": [_TEXT, {"type": "object"}]},
        "cap_add": _SET,
        "cap_drop": _SET,
        "cgroup_parent": _TEXT,
        "cgroupns_mode": _TEXT,
        "command": _TEXT_OR_LIST,
        "configs": _GRANT,
        "container_name": _TEXT,
        "credential_spec": _object({"config": _TEXT, "file": _TEXT, "registry": _TEXT}),
        "depends_on": _SET,
        "deploy": _DEPLOY,
        "devices": _SET,
        "dns": _TEXT_OR_SET,
        "dns_search": _TEXT_OR_SET,
        "domainname": _TEXT,
        "entrypoint": _TEXT_OR_LIST,
        "env_file": _TEXT_OR_SET,
        "environment": _PAIRS,
        "expose": {"type": "array", "items": {"type": ["string", "number"]}, "uniqueItems": True},
        "external_links": _SET,
        "extra_hosts": _PAIRS,
        "healthcheck": _HEALTH,
        "hostname": _TEXT,
        "image": _TEXT,
        "init": _FLAG,
        "ipc": _TEXT,
        "isolation": _TEXT,
        "labels": _PAIRS,
        "links": _SET,
        "logging": _object(
            {
                "driver": _TEXT,
                "options": {"type": "object", "additionalProperties": {"type": ["string", "number", "null"]}},
            }
        ),
        "mac_address": _TEXT,
        "network_mode": _TEXT,
        "networks": {"anyOf": [_SET, _named(_NETWORK_USE)]},
        "oom_score_adj": _WHOLE,
        "pid": {"type": ["string", "null"]},
        "ports": {"type": "array", "items": {"anyOf": [_NUMBER, _TEXT, _PORT]}, "uniqueItems": True},
        "privileged": _FLAG,
        "read_only": _FLAG,
        "restart": _TEXT,
        "secrets": _GRANT,
        "security_opt": _SET,
        "shm_size": {"type": ["number", "string"]},
        "stdin_open": _FLAG,
        "stop_grace_period": _TEXT,
        "stop_signal": _TEXT,
        "sysctls": _PAIRS,
        "tmpfs": _TEXT_OR_SET,
        "tty": _FLAG,
        "ulimits": _ULIMITS,
        "user": _TEXT,
        "userns_mode": _TEXT,
        "volumes": {"type": "array", "items": {"anyOf": [_TEXT, _MOUNT]}, "uniqueItems": True},
        "working_dir": _TEXT,
    },
    extensible=True,
)

_EXTERNAL: Schema = {"anyOf": [_FLAG, _object({"name": _TEXT})]}
NETWORK = _object(
    {
        "attachable": _FLAG,
        "driver": _TEXT,
        "driver_opts": _OPTIONS,
        "external": _EXTERNAL,
        "internal": _FLAG,
        "ipam": _object(
            {"config": {"type": "array", "items": _object({"subnet": _TEXT})}, "driver": _TEXT}
        ),
        "labels": _PAIRS,
        "name": _TEXT,
    },
    nullable=True,
    extensible=True,
)  # fmt: skip
_VOLUME = _object(
    {"driver": _TEXT, "driver_opts": _OPTIONS, "external": _EXTERNAL, "labels": _PAIRS, "name": _TEXT},
    nullable=True,
    extensible=True,
)
CONFIG = _object(
    {"external": _EXTERNAL, "file": _TEXT, "labels": _PAIRS, "name": _TEXT, "template_driver": _TEXT},
    extensible=True,
)
SECRET = _object(
    {**CONFIG["properties"], "driver": _TEXT, "driver_opts": _OPTIONS},
    extensible=True,
)

STACK_SCHEMA: Schema = _object(
    {
        "configs": _named(CONFIG),
        "networks": _named(NETWORK),
        "secrets": _named(SECRET),
        "services": _named(SERVICE),
        "version": _TEXT,
        "volumes": _named(_VOLUME),
    },
    extensible=True,
)

#: Keys introduced after version 3.0; `*` stands for any key or list item.
SINCE: dict[str, str] = {
    "secrets": "3.1",
    "services.*.secrets": "3.1",
    "networks.*.attachable": "3.2",
    "services.*.deploy.endpoint_mode": "3.2",
    "services.*.ports.*.mode": "3.2",
    "services.*.ports.*.protocol": "3.2",
    "services.*.ports.*.published": "3.2",
    "services.*.ports.*.target": "3.2",
    "services.*.volumes.*.type": "3.2",
    "configs": "3.3",
    "services.*.configs": "3.3",
    "services.*.credential_spec": "3.3",
    "services.*.deploy.placement.preferences": "3.3",
    "services.*.deploy.update_config.order": "3.4",
    "services.*.healthcheck.start_period": "3.4",
    "volumes.*.name": "3.4",
    "configs.*.name": "3.5",
    "networks.*.name": "3.5",
    "secrets.*.name": "3.5",
    "services.*.deploy.resources.reservations.generic_resources": "3.5",
    "services.*.isolation": "3.5",
    "services.*.volumes.*.tmpfs": "3.6",
    "services.*.deploy.rollback_config": "3.7",
    "services.*.init": "3.7",
    "configs.*.template_driver": "3.8",
    "secrets.*.driver": "3.8",
    "secrets.*.driver_opts": "3.8",
    "secrets.*.template_driver": "3.8",
    "services.*.credential_spec.config": "3.8",
    "services.*.deploy.placement.max_replicas_per_node": "3.8",
    "services.*.cgroupns_mode": "3.9",
    "services.*.deploy.resources.limits.pids": "3.9",
    "services.*.healthcheck.start_interval": "3.12",
    "services.*.networks.*.driver_opts": "3.13",
    "services.*.oom_score_adj": "3.13",
}
