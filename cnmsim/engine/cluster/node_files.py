"""The files of a swarm's node on its host: its certificate and key, the root certificate, and its addresses.

The Raft log and the tasks' database of a real node are not simulated. Source: moby/swarmkit `ca/config.go`
(`NewConfigPaths`), `ca/keyreadwriter.go`, moby `daemon/cluster/noderunner.go`, and the files of 26.1.5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cnmsim.engine.cluster.addresses import Addresses
from cnmsim.gojson.encode import encode
from cnmsim.kernel.files import FileSystem
from cnmsim.kernel.inode import GeneratedFile
from cnmsim.swarm.ca import x509
from cnmsim.swarm.node import SwarmNode

_ROOT = "/var/lib/docker/swarm"
_CERTIFICATES = f"{_ROOT}/certificates"
_MISSING = "Certificates are not simulated: the package cryptography, version 45 or newer, is not installed.\n"


class HasNode(Protocol):
    """An object with a swarm node and its addresses: the cluster of an engine."""

    @property
    def node(self) -> SwarmNode | None:
        """The node; `None` outside of a swarm."""

    @property
    def addresses(self) -> Addresses | None:
        """The node's addresses; `None` outside of a swarm."""


def show_node_files(files: FileSystem, cluster: HasNode) -> None:
    """Create the files of the node of `cluster`. Their content is computed when they are read."""
    files.makedirs(_ROOT, 0o700)
    files.makedirs(_CERTIFICATES)
    for path, mode, read in (
        (f"{_CERTIFICATES}/swarm-node.crt", 0o644, _certificate),
        (f"{_CERTIFICATES}/swarm-node.key", 0o600, _key),
        (f"{_CERTIFICATES}/swarm-root-ca.crt", 0o644, _root_certificate),
        (f"{_ROOT}/docker-state.json", 0o600, _daemon_state),
        (f"{_ROOT}/state.json", 0o600, _managers),
    ):
        file = GeneratedFile(_Content(cluster, read))
        file.mode, file.mtime_ns = mode, files.now_ns
        files.add(path, file)


def remove_node_files(files: FileSystem) -> None:
    """Remove the files of a node that has left its swarm. Their directory stays."""
    for name in ("certificates", "docker-state.json", "state.json"):
        if files.exists(f"{_ROOT}/{name}"):
            files.remove_tree(f"{_ROOT}/{name}")


class _Content:
    """A function that computes the content of one of the node's files."""

    def __init__(self, cluster: HasNode, read: Callable[[HasNode, SwarmNode], str]) -> None:
        self.cluster = cluster
        self.read = read

    def __call__(self) -> str:
        """Return the file's content as of now."""
        return self.read(self.cluster, self.cluster.node) if self.cluster.node is not None else ""


def _certificate(_cluster: HasNode, node: SwarmNode) -> str:
    return "" if node.certificate is None else node.certificate.pem or _MISSING


def _key(_cluster: HasNode, node: SwarmNode) -> str:
    if node.certificate is None:
        return ""
    if not node.certificate.pem:
        return _MISSING
    key = node.lock_key
    version = node.manager_node.store.cluster.meta.version if key and node.manager_node is not None else 0
    return x509.node_key(node.certificate.serial, key, version)


def _root_certificate(_cluster: HasNode, node: SwarmNode) -> str:
    root = node.credentials.root
    return "" if root is None else root.pem or _MISSING


def _daemon_state(cluster: HasNode, node: SwarmNode) -> str:
    known, config = cluster.addresses, node.config
    pools = None if config.join_address else list(config.pools or ())
    return encode(
        {
            "LocalAddr": known.local if known is not None and not config.join_address else "",
            "RemoteAddr": config.join_address,
            "ListenAddr": config.listen,
            "AdvertiseAddr": config.advertise,
            "DataPathAddr": known.data_path if known is not None else "",
            "DefaultAddressPool": pools,
            "SubnetSize": 0 if config.join_address else config.subnet_size,
            "DataPathPort": 0 if config.join_address else config.data_path_port,
            "JoinInProgress": not node.ready.is_done,
        }
    )


def _managers(_cluster: HasNode, node: SwarmNode) -> str:
    return encode([{"node_id": manager.node_id, "addr": manager.addr} for manager in node.managers])
