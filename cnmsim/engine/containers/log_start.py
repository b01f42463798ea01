"""Logging of a container from its creation to its start: defaults of the daemon, the driver, and its files.

Source: moby `daemon/logs.go` (`mergeAndVerifyLogConfig`), `container/container.go` (`startLogging`).
"""

from __future__ import annotations

import posixpath
from typing import Any

from cnmsim.engine.containers.container import Container
from cnmsim.engine.context import EngineContext
from cnmsim.engine.logdrivers.drivers import create_driver, directory_of
from cnmsim.engine.logdrivers.options import CACHE_OPTIONS, check_log_config
from cnmsim.errors import EngineError, SystemFault
from cnmsim.kernel.inode import Directory

_PREFIX = "failed to create task for container: failed to initialize logging driver: "
_DEFAULT_DRIVER = "json-file"


def complete_log_config(context: EngineContext, log_config: dict[str, Any]) -> None:
    """Fill in the daemon's default logging driver and options, in place, and validate the result.

    Raises `InvalidParameter` for an unknown driver, or an option that the driver does not permit.
    """
    config = context.config
    log_config["Type"] = log_config["Type"] or config.log_driver or _DEFAULT_DRIVER
    options = log_config["Config"] = dict(log_config["Config"] or {})
    for key, value in config.log_opts.items():
        # Of another driver's options only those of the local cache are defaults.
        if log_config["Type"] == config.log_driver or key in CACHE_OPTIONS:
            options.setdefault(key, value)
    check_log_config(context.profile, log_config["Type"], log_config["Config"], context.machine.files.exists)


def start_logging(context: EngineContext, container: Container) -> None:
    """Open a container's log when the container starts.

    Raises an `EngineError`, with the daemon's text, if that fails.
    """
    try:
        open_log(context, container)
    except SystemFault as error:
        raise SystemFault(_PREFIX + error.message) from None
    except EngineError as error:
        raise type(error)(_PREFIX + error.message) from None


async def connect_log(context: EngineContext, container: Container) -> None:
    """Connect a container's logging driver to its server before the start, if the driver uses TCP.

    Raises `SystemFault` with the daemon's text if the connection fails.
    """
    try:
        sender = create_driver(context, container).sender
        if sender is not None:
            from cnmsim.engine.logdrivers.tcp import TcpSender

            if isinstance(sender, TcpSender):
                await sender.open()
                container.log.connected = sender
    except ConnectionError as error:
        raise SystemFault(_PREFIX + str(error)) from None
    except EngineError:
        return  # the start raises it


def open_log(context: EngineContext, container: Container) -> None:
    """Connect a container's log to a new logging driver.

    The driver's files appear in the container's directory on the host.
    """
    driver = create_driver(context, container)
    container.log.open(driver)
    folder = directory_of(context, container)
    storage = container.log.storage
    if not driver.file:
        return
    subfolder, name = posixpath.split(driver.file)
    if subfolder:
        inner = folder.get(subfolder)
        if not isinstance(inner, Directory):
            inner = Directory(0o700)
            folder.set(subfolder, inner)
        folder = inner
    storage.store_in(folder, name)
