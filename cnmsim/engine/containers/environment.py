"""The environment variables of a container's process.

Source: moby `daemon/container_operations.go` (setupLinkedContainers), `daemon/container/container.go`
(CreateDaemonEnvironment).
"""

from __future__ import annotations

from collections.abc import Sequence

from cnmsim.engine.containers.container import Container
from cnmsim.engine.containers.exec_user import home_of
from cnmsim.engine.containers.executables import in_directory
from cnmsim.engine.context import EngineContext
from cnmsim.engine.networks.legacy_links import link_environment
from cnmsim.kernel.credentials import Credentials

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def process_environment(
    context: EngineContext, container: Container, entries: Sequence[str], user: Credentials, *, has_terminal: bool
) -> dict[str, str]:
    """Return the environment of a process: the daemon's variables, those of legacy links, then `entries`.

    Later ones replace earlier ones. An entry is `NAME=value`, or `NAME` to unset a variable. HOME is by default the
    home directory of `user`; `has_terminal` adds TERM.
    """
    own = [_PATH, f"HOSTNAME={container.hostname}"]
    if has_terminal:
        own.append("TERM=xterm")
    environment: dict[str, str] = {}
    for entry in (*own, *link_environment(context, container), *entries):
        name, equals, value = entry.partition("=")
        if equals:
            environment[name] = value
        else:
            environment.pop(name, None)
    environment.setdefault("HOME", home_of(user, container.files))
    return in_directory(environment, container.config["WorkingDir"])
