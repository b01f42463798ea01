"""The secrets and configs of a task as files of its container, written at the start.

Source: moby `daemon/container_operations_unix.go` (setupSecretDir), swarmkit `template/getter.go`, `agent/secrets`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import frozen

from cnmsim.errors import SystemFault
from cnmsim.gostrconv import NumError, atoi
from cnmsim.kernel.files import File, FileSystem
from cnmsim.libnetwork.profile import Profile
from cnmsim.swarm.agent.exec import Dependencies
from cnmsim.swarm.objects import Config, ContainerSpec, FileTarget, Secret, Task
from cnmsim.swarm.template import expand_payload

_SECRETS = "/run/secrets"
_PERMISSIONS = 0o777


@frozen
class _Grant:
    """A reference of a task's spec to a secret or config that is written as a file in the directory `folder`.

    `kind` is `secret` or `config`.
    """

    kind: str
    folder: str
    id: str
    file: FileTarget


def write_files(files: FileSystem, spec: ContainerSpec, task: Task, given: Dependencies, profile: Profile) -> None:
    """Write a task's secrets and configs to the container's files. Those that are templates are expanded first.

    `given` are the objects that the node received. Raises `SystemFault` for a missing object, a template that cannot
    be expanded, or a file owner that is not a number.
    """
    grants = list(_grants(spec))
    secrets = _by_target(grants, "secret", given.secrets)
    configs = _by_target(grants, "config", given.configs)
    for grant in grants:
        source = (given.secrets if grant.kind == "secret" else given.configs).get(grant.id)
        try:
            if source is None:
                raise SystemFault(f"{grant.kind} {grant.id} not found")
            data = _expanded(grant, source, task, secrets, configs, profile)
        except SystemFault as error:
            raise SystemFault(f"unable to get {grant.kind} from {grant.kind} store: {error.message}") from None
        uid, gid = (_number(text) for text in (grant.file.uid, grant.file.gid))
        name = grant.file.name
        path = name if name.startswith("/") else f"{grant.folder}/{name}"
        file = File(data, grant.file.mode & _PERMISSIONS, uid, gid, files.now_ns)
        files.mount(path, file, is_read_only=True, kind="tmpfs", device="tmpfs")


def _grants(spec: ContainerSpec) -> Iterator[_Grant]:
    for secret in spec.secrets:
        if secret.file is not None:
            yield _Grant("secret", _SECRETS, secret.secret_id, secret.file)
    for config in spec.configs:
        if config.file is not None:
            yield _Grant("config", "", config.config_id, config.file)


def _by_target(grants: list[_Grant], kind: str, given: Mapping[str, Secret | Config]) -> dict[str, bytes]:
    """Return the content of the task's secrets, or of its configs, by the name of the file that receives it.

    `kind` is "secret" or "config". Templates refer to the objects by the names of these files. Objects that are not
    in `given` are left out.
    """
    return {
        grant.file.name: given[grant.id].spec.data for grant in grants if grant.kind == kind and grant.id in given
    }


def _expanded(
    grant: _Grant,
    source: Secret | Config,
    task: Task,
    secrets: Mapping[str, bytes],
    configs: Mapping[str, bytes],
    profile: Profile,
) -> bytes:
    try:
        return expand_payload(source.spec.data, source.spec.templating, task, None, secrets, configs, profile)
    except SystemFault as error:
        raise SystemFault(f"failed to expand templated {grant.kind} {grant.id}: {error.message}") from None


def _number(text: str) -> int:
    try:
        return atoi(text)
    except NumError as error:
        raise SystemFault(str(error)) from None
