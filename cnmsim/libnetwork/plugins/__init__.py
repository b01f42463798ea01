"""The engine's side of Docker's plugin protocol: discovery, activation, and calls over HTTP.

Source: moby `pkg/plugins` (v26.1.5, v28.5.2, docker-v29.7.2).
"""

from cnmsim.libnetwork.plugins.client import PluginClient, PluginFault
from cnmsim.libnetwork.plugins.discovery import SYSTEM_FOLDERS, PluginAddress, find_plugin, scan_plugins
from cnmsim.libnetwork.plugins.main_thread_executor import MainThreadExecutor
from cnmsim.libnetwork.plugins.policy import PluginPolicy, RealTime
from cnmsim.libnetwork.plugins.store import PluginStore

__all__ = [
    "SYSTEM_FOLDERS",
    "MainThreadExecutor",
    "PluginAddress",
    "PluginClient",
    "PluginFault",
    "PluginPolicy",
    "PluginStore",
    "RealTime",
    "find_plugin",
    "scan_plugins",
]
