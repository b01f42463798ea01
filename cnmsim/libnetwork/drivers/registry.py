"""The registry of network drivers: built-in drivers, drivers of installed packages, and plugins.

A package provides a driver by an entry point in the group `cnmsim.drivers`. The entry point has the driver's name and
is called with a `DriverHost`. It is looked up when a network first uses that name, before plugins are. To add a
built-in driver, add it to `BUILT_IN`. Source: moby `daemon/libnetwork/drivers_linux.go` (docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from attrs import define, field, frozen

from cnmsim.errors import EngineError, SystemFault
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.process import Process
from cnmsim.libnetwork.config import DaemonConfig
from cnmsim.libnetwork.driver import Driver
from cnmsim.libnetwork.drivers.bridge.driver import BridgeDriver
from cnmsim.libnetwork.drivers.host import HostDriver
from cnmsim.libnetwork.drivers.null import NullDriver
from cnmsim.libnetwork.drivers.remote import RemoteDriver
from cnmsim.libnetwork.plugins.client import PluginClient
from cnmsim.libnetwork.plugins.store import NETWORK_DRIVER, PluginStore
from cnmsim.libnetwork.portallocator import PortAllocator
from cnmsim.libnetwork.profile import Profile

ENTRY_POINT_GROUP = "cnmsim.drivers"


@frozen
class DriverHost:
    """The argument with which a driver is created: the machine, and the settings of the daemon.

    `daemon` returns the daemon's process, which may own sockets; `log` is called with each log line of the daemon.
    """

    machine: Machine
    profile: Profile
    config: DaemonConfig
    allocator: PortAllocator
    daemon: Callable[[], Process]
    log: Callable[[str], None]


DriverFactory = Callable[[DriverHost], Driver]


def _bridge(host: DriverHost) -> Driver:
    return BridgeDriver(host.machine, host.profile, host.config, host.allocator, host.daemon)


def _ipvlan(host: DriverHost) -> Driver:
    from cnmsim.libnetwork.drivers.ipvlan import IpvlanDriver

    return IpvlanDriver(host.machine, host.profile, host.log)


def _macvlan(host: DriverHost) -> Driver:
    from cnmsim.libnetwork.drivers.macvlan import MacvlanDriver

    return MacvlanDriver(host.machine, host.profile, host.log)


def _overlay(host: DriverHost) -> Driver:
    from cnmsim.libnetwork.drivers.overlay.driver import OverlayDriver

    uses_nftables = host.config.uses_nftables(host.profile.has_firewall_backend)
    return OverlayDriver(host.machine, host.profile, host.log, uses_nftables)


#: The built-in drivers. The modules of ipvlan, macvlan and overlay, which most labs do not use, are imported on first
#: use.
BUILT_IN: Mapping[str, DriverFactory] = {
    "bridge": _bridge,
    "host": lambda _: HostDriver(),
    "ipvlan": _ipvlan,
    "macvlan": _macvlan,
    "null": lambda _: NullDriver(),
    "overlay": _overlay,
}


@define
class DriverRegistry:
    """The drivers of one daemon, by name. `plugins` contains the plugins, which provide further drivers."""

    host: DriverHost
    plugins: PluginStore = field(factory=PluginStore, repr=False)
    _drivers: dict[str, Driver] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.plugins.handle(NETWORK_DRIVER, self._register_remote)

    def _register_remote(self, name: str, client: PluginClient) -> None:
        if name in self.names():
            return
        try:
            self.register(name, RemoteDriver.connect(name, client, self.host.profile))
        except EngineError as error:
            self.host.log(f"error getting capability for {name} due to {error.message}")

    def register(self, name: str, driver: Driver) -> None:
        """Register a driver under a name, replacing any driver that has this name."""
        self._drivers[name] = driver

    def names(self) -> list[str]:
        """Return the names of the built-in drivers, and the others in order of registration."""
        return list(dict.fromkeys((*BUILT_IN, *self._drivers)))

    def __iter__(self) -> Iterator[Driver]:
        return iter([self.get(name) for name in self.names()])

    def get(self, name: str) -> Driver:
        """Return the driver of this name, loading it on first use.

        Raises `NotFound` for an unknown name, or `SystemFault` for a plugin that cannot be activated.
        """
        known = self._drivers.get(name)
        if known is None:
            known = self._drivers[name] = self._load(name)
        return known

    def _load(self, name: str) -> Driver:
        if name in BUILT_IN:
            return BUILT_IN[name](self.host)
        from importlib.metadata import entry_points

        for entry_point in entry_points(group=ENTRY_POINT_GROUP, name=name):
            factory: DriverFactory = entry_point.load()
            return factory(self.host)
        self.plugins.require(name, NETWORK_DRIVER)
        driver = self._drivers.get(name)
        if driver is None:
            raise SystemFault(f"could not resolve driver {name} in registry")
        return driver
