"""The systemd service docker.service of a host. When it is restarted, the engine reads /etc/docker/daemon.json."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from attrs import fields_dict

from cnmsim.errors import InvalidParameter
from cnmsim.gojson.scanner import GoJsonError, whole_value
from cnmsim.lab.daemonjson import DAEMON_JSON, daemon_config
from cnmsim.libnetwork.config import DaemonConfig

if TYPE_CHECKING:
    from cnmsim.engine.engine import Engine

#: The options that a restart applies. The others need a new lab.
_APPLIED = ("debug", "log_level", "log_driver", "log_opts", "labels", "live_restore", "experimental")


def add_service(engine: Engine) -> None:
    """Add docker.service to the engine's host, so that `systemctl` can restart the engine."""
    from cnmsim.engine.daemon.restart import DockerService

    unit = DockerService(engine, partial(read_options, engine)).unit()
    engine.machine.units[unit.name] = unit


def read_options(engine: Engine) -> None:
    """Apply the options in the host's daemon.json, as far as they can change while a lab runs.

    A change of any other option only adds a line to the daemon's log. Raises `InvalidParameter` for a file with which
    dockerd would not start.
    """
    files = engine.machine.files
    from cnmsim.engine.daemon.service import check_log_options

    head = f"unable to configure the Docker daemon with file {DAEMON_JSON}: "
    try:
        content = files.read(DAEMON_JSON).strip() if files.exists(DAEMON_JSON) else b""
        options = whole_value(content) if content else {}
    except (GoJsonError, OSError) as error:
        raise InvalidParameter(f"{head}{error}") from None
    if not isinstance(options, dict):
        raise InvalidParameter(f"{head}the file is not a JSON object")
    config, present = daemon_config(options, engine.profile), engine.backend.context.config
    check_log_options(engine.profile, engine.machine, config)
    for name in fields_dict(DaemonConfig):
        if getattr(config, name) == getattr(present, name):
            continue
        if name in _APPLIED:
            setattr(present, name, getattr(config, name))
        else:
            engine.controller.log.write("warning", f"cnmsim: {name.replace('_', '-')} changes only with a new lab")
