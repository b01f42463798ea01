"""The plugin store: finds plugins by name, activates each once, and passes it to the registered handlers.

Source: moby `pkg/plugins/plugins.go`, `daemon/pkg/plugin/store.go` (docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import define, field

from cnmsim.errors import EngineError, NotFound, SystemFault
from cnmsim.gojson.unmarshal import Nullable, Struct
from cnmsim.libnetwork.plugins.client import PluginClient
from cnmsim.libnetwork.plugins.discovery import find_plugin, scan_plugins
from cnmsim.libnetwork.plugins.main_thread_executor import MainThreadExecutor
from cnmsim.libnetwork.plugins.policy import PluginPolicy

NETWORK_DRIVER = "NetworkDriver"
IPAM_DRIVER = "IpamDriver"

Handler = Callable[[str, PluginClient], None]


@define
class PluginStore:
    """The plugins in `folders`. Each plugin is found and activated on first use.

    While a plugin is called, `executor` runs the calls that other threads submit. The engine's log lines are appended
    to `log`.
    """

    folders: Sequence[Path] = ()
    policy: PluginPolicy = field(factory=PluginPolicy)
    executor: MainThreadExecutor = field(factory=MainThreadExecutor, repr=False)
    log: list[str] = field(factory=list, repr=False)
    _handlers: dict[str, list[Handler]] = field(factory=dict, init=False, repr=False)
    #: The kinds of driver that each activated plugin implements.
    _implements: dict[str, list[str]] = field(factory=dict, init=False)

    def handle(self, kind: str, handler: Handler) -> None:
        """Register a function to be called with the name and client of each activated plugin of one kind.

        `kind` is the interface that the plugin implements, e.g. "NetworkDriver".
        """
        self._handlers.setdefault(kind, []).append(handler)

    def names(self) -> list[str]:
        """Return the names of the plugins in the folders, activated or not."""
        return scan_plugins(self.folders)

    def require(self, name: str, kind: str) -> None:
        """Activate the plugin `name`, unless it is active, and check that it implements `kind`, e.g. "NetworkDriver".

        Raises `NotFound` if there is no such plugin, `SystemFault` if it cannot be activated or does not implement
        `kind`.
        """
        try:
            implements = self._implements.get(name)
            if implements is None:
                implements = self._load(name)
            if kind not in implements:
                raise SystemFault(
                    "Plugin does not implement the requested driver: "
                    f'plugin="{name}", requested implementation="{kind}"'
                )
        except NotFound:
            raise
        except EngineError as error:
            raise SystemFault(f"legacy plugin: {error.message}") from None

    def _load(self, name: str) -> list[str]:
        if not self.folders:
            raise NotFound(f'plugin "{name}" not found').about(name)
        pauses = self.policy.pauses()
        while True:
            # After an invalid file the search is repeated too: the file may be incomplete.
            try:
                address = find_plugin(name, self.folders)
                fault: EngineError = NotFound(f'plugin "{name}" not found').about(name)
            except SystemFault as error:
                address, fault = None, error
            if address is not None:
                break
            pause = next(pauses, None)
            if pause is None:
                raise fault
            self.log.append(f"Unable to locate plugin: {name}, retrying in {pause:g}s")
            self.policy.pause(pause, self.executor.run_until_done)
        return self._activate(name, PluginClient(address, self.policy, self.executor, self.log))

    def _activate(self, name: str, client: PluginClient) -> list[str]:
        manifest = client.call("Plugin.Activate", None, _MANIFEST)
        implements = [str(kind) for kind in manifest["Implements"] or ()]
        self._implements[name] = implements
        for kind in implements:
            for handler in self._handlers.get(kind, ()):
                handler(name, client)
        return implements


_MANIFEST = Struct("plugins.Manifest", (Nullable("Implements"),))
