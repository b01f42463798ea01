"""docker-py's interface: `engine.containers.run(...)`, `engine.networks.create(...)` and the objects they return.

Names, arguments and attributes are docker-py's (`docker/models`). Everything goes through `Engine.rest`. Calls that
block on a real engine let virtual time pass until they are done. Objects are always up to date: `reload()` does
nothing.
"""

from __future__ import annotations

from cnmsim.engine.client.containers import (
    CommandOutput,
    Container,
    ContainerCollection,
    ContainerError,
    ExecResult,
)
from cnmsim.engine.client.images import Image, ImageCollection
from cnmsim.engine.client.networks import Network, NetworkCollection
from cnmsim.engine.client.secrets import Config, ConfigCollection, Secret, SecretCollection
from cnmsim.engine.client.services import Service, ServiceCollection
from cnmsim.engine.client.stacks import Stack, StackCollection, StackDescription
from cnmsim.engine.client.swarm import JoinTokens, Node, NodeCollection, Swarm
from cnmsim.engine.client.volumes import Volume, VolumeCollection

__all__ = [
    "CommandOutput",
    "Config",
    "ConfigCollection",
    "Container",
    "ContainerCollection",
    "ContainerError",
    "ExecResult",
    "Image",
    "ImageCollection",
    "JoinTokens",
    "Network",
    "NetworkCollection",
    "Node",
    "NodeCollection",
    "Secret",
    "SecretCollection",
    "Service",
    "ServiceCollection",
    "Stack",
    "StackCollection",
    "StackDescription",
    "Swarm",
    "Volume",
    "VolumeCollection",
]
