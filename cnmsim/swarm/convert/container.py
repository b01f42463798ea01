"""Conversion of container specs from and to the Engine API's JSON (moby `daemon/cluster/convert/container.go`)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from cnmsim.errors import InvalidParameter
from cnmsim.gojson.fields import omit_empty, omit_nil, sorted_map, string_tuple
from cnmsim.swarm.objects.service import ConfigReference, ContainerSpec, FileTarget, SecretReference

_MOUNT_TYPES = {"bind", "volume", "tmpfs", "npipe", "cluster"}
_PROPAGATIONS = {"rprivate", "private", "rshared", "shared", "rslave", "slave"}


def container_from_api(spec: Mapping[str, Any], pids_limit: int = 0) -> ContainerSpec:
    """Convert a JSON `TaskTemplate.ContainerSpec`.

    `pids_limit` is the limit of processes, which the JSON has elsewhere: in the task's resource limits. Raises
    `InvalidParameter`, with the daemon's text, for an invalid credential spec, mount or config.
    """
    dns = spec["DNSConfig"]
    return ContainerSpec(
        image=spec["Image"],
        labels=spec["Labels"],
        command=string_tuple(spec["Command"]),
        args=string_tuple(spec["Args"]),
        hostname=spec["Hostname"],
        env=string_tuple(spec["Env"]),
        dir=spec["Dir"],
        user=spec["User"],
        groups=string_tuple(spec["Groups"]),
        privileges=_privileges(spec["Privileges"]),
        init=spec["Init"],
        stop_signal=spec["StopSignal"],
        tty=spec["TTY"],
        open_stdin=spec["OpenStdin"],
        read_only=spec["ReadOnly"],
        mounts=tuple(_mount(mount) for mount in spec["Mounts"] or ()),
        stop_grace_period_ns=spec["StopGracePeriod"],
        healthcheck=spec["Healthcheck"],
        hosts=string_tuple(spec["Hosts"]),
        dns_config=None if dns is None else omit_empty(*((key, dns[key]) for key in _DNS_FIELDS)),
        secrets=tuple(_secret(reference) for reference in spec["Secrets"] or ()),
        configs=tuple(_config(reference) for reference in spec["Configs"] or ()),
        isolation=_isolation(spec["Isolation"]),
        sysctls=spec["Sysctls"],
        capability_add=string_tuple(spec["CapabilityAdd"]),
        capability_drop=string_tuple(spec["CapabilityDrop"]),
        ulimits=tuple(spec["Ulimits"] or ()),
        oom_score_adj=spec["OomScoreAdj"],
        pids_limit=pids_limit,
    )


_DNS_FIELDS = ("Nameservers", "Search", "Options")


def _isolation(name: str) -> str:
    lowered = name.lower()
    return lowered if lowered in {"hyperv", "process"} else "default"


def _privileges(privileges: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if privileges is None:
        return None
    credential, seccomp, apparmor = privileges["CredentialSpec"], privileges["Seccomp"], privileges["AppArmor"]
    return {
        "CredentialSpec": None if credential is None else _credential(credential),
        "SELinuxContext": privileges["SELinuxContext"],
        **omit_nil("Seccomp", seccomp, _seccomp),
        **omit_nil("AppArmor", None if apparmor is None else {"Mode": "default", **apparmor}),
        "NoNewPrivileges": privileges["NoNewPrivileges"],
    }


def _seccomp(seccomp: Mapping[str, Any]) -> dict[str, Any]:
    profile = seccomp.get("Profile")
    return {"Mode": seccomp.get("Mode", "default"), **({"Profile": b64encode(profile).decode()} if profile else {})}


def _credential(credential: Mapping[str, Any]) -> dict[str, str]:
    sources = [f'"{key.lower()}"' for key in ("Config", "File", "Registry") if credential[key]]
    if not sources:
        text = 'must either provide "file", "registry", or "config" for credential spec'
        raise InvalidParameter(f"invalid CredentialSpec: {text}")
    if len(sources) == 2:
        raise InvalidParameter(
            f"invalid CredentialSpec: cannot specify both {sources[0]} and {sources[1]} credential specs"
        )
    if len(sources) > 2:
        text = f"cannot specify both {', '.join(sources[:-1])}, and {sources[-1]} credential specs"
        raise InvalidParameter(f"invalid CredentialSpec: {text}")
    return {key: credential[key] for key in ("Config", "File", "Registry")}


def _mount(mount: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a JSON mount. Fields that SwarmKit does not store are left out.

    Raises `InvalidParameter` for an unknown type or propagation.
    """
    kind = mount.get("Type") or ""
    if kind and kind.lower() not in _MOUNT_TYPES:
        raise InvalidParameter(f'invalid MountType: "{kind}"')
    bind = mount.get("BindOptions")
    if bind is not None:
        propagation = bind.get("Propagation") or ""
        if propagation and propagation.lower() not in _PROPAGATIONS:
            raise InvalidParameter(f'invalid MountPropagation: "{propagation}"')
        is_kept = propagation or bind.get("NonRecursive")
        bind = (
            omit_empty(("Propagation", propagation.lower() or "rprivate"), ("NonRecursive", bind.get("NonRecursive")))
            if is_kept
            else None
        )
    return {
        **omit_empty(
            ("Type", kind.lower() or "bind"),
            ("Source", mount.get("Source")),
            ("Target", mount.get("Target")),
            ("ReadOnly", mount.get("ReadOnly")),
        ),
        **omit_nil("BindOptions", bind),
        **omit_nil("VolumeOptions", mount.get("VolumeOptions")),
        **omit_nil("TmpfsOptions", mount.get("TmpfsOptions")),
    }


def _file(target: Mapping[str, Any] | None) -> FileTarget | None:
    if target is None:
        return None
    return FileTarget(target["Name"], target["UID"], target["GID"], target["Mode"])


def _secret(reference: Mapping[str, Any]) -> SecretReference:
    return SecretReference(reference["SecretID"], reference["SecretName"], _file(reference["File"]))


def _config(reference: Mapping[str, Any]) -> ConfigReference:
    file, runtime = reference["File"], reference["Runtime"]
    if file is None and runtime is None:
        raise InvalidParameter("invalid Config: either File or Runtime should be set")
    if file is not None and runtime is not None:
        raise InvalidParameter("invalid Config: cannot specify both File and Runtime")
    return ConfigReference(reference["ConfigID"], reference["ConfigName"], _file(file), runtime is not None)


def container_to_api(spec: ContainerSpec) -> dict[str, Any]:
    """Return a container spec as JSON `TaskTemplate.ContainerSpec`."""
    return {
        **omit_empty(
            ("Image", spec.image),
            ("Labels", sorted_map(spec.labels)),
            ("Command", list(spec.command)),
            ("Args", list(spec.args)),
            ("Hostname", spec.hostname),
            ("Env", list(spec.env)),
            ("Dir", spec.dir),
            ("User", spec.user),
            ("Groups", list(spec.groups)),
        ),
        **omit_nil("Privileges", spec.privileges),
        **omit_nil("Init", spec.init),
        **omit_empty(
            ("StopSignal", spec.stop_signal),
            ("TTY", spec.tty),
            ("OpenStdin", spec.open_stdin),
            ("ReadOnly", spec.read_only),
            ("Mounts", list(spec.mounts)),
        ),
        **omit_nil("StopGracePeriod", spec.stop_grace_period_ns),
        **omit_nil("Healthcheck", spec.healthcheck),
        **omit_empty(("Hosts", list(spec.hosts))),
        **omit_nil("DNSConfig", spec.dns_config),
        **omit_empty(
            ("Secrets", [_secret_to_api(reference) for reference in spec.secrets if reference.file is not None]),
            ("Configs", [_config_to_api(config) for config in spec.configs]),
            ("Isolation", spec.isolation or "default"),
            ("Sysctls", sorted_map(spec.sysctls)),
            ("CapabilityAdd", list(spec.capability_add)),
            ("CapabilityDrop", list(spec.capability_drop)),
            ("Ulimits", list(spec.ulimits)),
            ("OomScoreAdj", spec.oom_score_adj),
        ),
    }


def _file_to_api(file: FileTarget) -> dict[str, Any]:
    return {"Name": file.name, "UID": file.uid, "GID": file.gid, "Mode": file.mode}


def _secret_to_api(reference: SecretReference) -> dict[str, Any]:
    assert reference.file is not None
    return {
        "File": _file_to_api(reference.file),
        "SecretID": reference.secret_id,
        "SecretName": reference.secret_name,
    }


def _config_to_api(reference: ConfigReference) -> dict[str, Any]:
    target = {"Runtime": {}} if reference.file is None else {"File": _file_to_api(reference.file)}
    return {**target, "ConfigID": reference.config_id, "ConfigName": reference.config_name}
