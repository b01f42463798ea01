"""The messages that dockerd writes to the journal at its start, and the check of its logging options.

Source: moby `cmd/dockerd/daemon.go`, `daemon/daemon.go`, and the log of 26.1.5.
"""

from __future__ import annotations

from cnmsim.engine.context import EngineContext
from cnmsim.engine.logdrivers.options import check_log_config
from cnmsim.errors import InvalidParameter
from cnmsim.kernel.machine import Machine
from cnmsim.libnetwork.config import DaemonConfig
from cnmsim.libnetwork.profile import Profile


def log_start(context: EngineContext) -> None:
    """Write the first messages of a starting dockerd to the host's journal."""
    log = context.controller.log
    log.write("info", "Starting up")
    log.write("info", "[graphdriver] trying configured driver: overlay2")
    log.write("info", "Loading containers: start.")


def log_started(context: EngineContext) -> None:
    """Write the messages of a dockerd that is ready to the host's journal."""
    log, profile = context.controller.log, context.profile
    log.write("info", "Loading containers: done.")
    log.write(
        "info",
        "Docker daemon",
        **{
            "commit": profile.git_commit,
            "containerd-snapshotter": "false",
            "storage-driver": "overlay2",
            "version": profile.version,
        },
    )
    log.write("info", "Daemon has completed initialization")
    log.write("info", "API listen on /run/docker.sock")


def check_log_options(profile: Profile, machine: Machine, config: DaemonConfig) -> None:
    """Check the options of the default logging driver in the daemon's configuration.

    Raises `InvalidParameter` for an option that the driver does not permit. Its text is that of dockerd.
    """
    if not config.log_opts:
        return
    try:
        check_log_config(profile, config.log_driver, config.log_opts, machine.files.exists)
    except InvalidParameter as error:
        raise InvalidParameter(f"failed to start daemon: failed to set log opts: {error.message}") from None
