"""The secrets and configs of a task as files of its container, made when that starts.

Source: moby `daemon/container_operations_unix.go` (setupSecretDir), swarmkit `template/getter.go`, `agent/secrets`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import frozen

from cnmsim.errors import SystemFault
from cnmsim.gostrconv import NumError, atoi
from cnmsim.kernel.files import File, FileSystem
from cnmsim.swarm.agent.exec import Dependencies
from cnmsim.swarm.objects import Config, ContainerSpec, FileTarget, Secret, Task
from cnmsim.swarm.template import expand_payload

_SECRETS = "/run/secrets"
_PERMISSIONS = 0o777


@frozen
class _Wanted:
    """A file that the spec asks for; `kind` is `secret` or `config`."""

    kind: str
    folder: str
    id: str
    file: FileTarget


def write_files(files: FileSystem, spec: ContainerSpec, task: Task, given: Dependencies) -> None:
    """Write what a task was granted, with the templates filled in.

    Raises `SystemFault` for what the node was not given, what cannot be filled in, and owners that are no numbers.
    """
    wanted = list(_wanted(spec))
    secrets = _by_target(wanted, "secret", given.secrets)
    configs = _by_target(wanted, "config", given.configs)
    for each in wanted:
        found = (given.secrets if each.kind == "secret" else given.configs).get(each.id)
        try:
            if found is None:
                raise SystemFault(f"{each.kind} {each.id} not found")
            data = _expanded(each, found, task, secrets, configs)
        except SystemFault as error:
            raise SystemFault(f"unable to get {each.kind} from {each.kind} store: {error.message}") from None
        uid, gid = (_number(text) for text in (each.file.uid, each.file.gid))
        name = each.file.name
        path = name if name.startswith("/") else f"{each.folder}/{name}"
        files.bind(path, File(data, each.file.mode & _PERMISSIONS, uid, gid))


def _wanted(spec: ContainerSpec) -> Iterator[_Wanted]:
    for secret in spec.secrets:
        if secret.file is not None:
            yield _Wanted("secret", _SECRETS, secret.secret_id, secret.file)
    for config in spec.configs:
        if config.file is not None:
            yield _Wanted("config", "", config.config_id, config.file)


def _by_target(wanted: list[_Wanted], kind: str, given: Mapping[str, Secret | Config]) -> dict[str, bytes]:
    """Give what templates may ask for, by the names of the files."""
    return {each.file.name: given[each.id].spec.data for each in wanted if each.kind == kind and each.id in given}


def _expanded(
    wanted: _Wanted, found: Secret | Config, task: Task, secrets: Mapping[str, bytes], configs: Mapping[str, bytes]
) -> bytes:
    try:
        return expand_payload(found.spec.data, found.spec.templating, task, None, secrets, configs)
    except SystemFault as error:
        raise SystemFault(f"failed to expand templated {wanted.kind} {wanted.id}: {error.message}") from None


def _number(text: str) -> int:
    try:
        return atoi(text)
    except NumError as error:
        raise SystemFault(str(error)) from None
