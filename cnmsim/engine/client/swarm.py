"""The swarm with docker-py's interface: `docker.swarm`, `docker.nodes`.

Names and arguments are docker-py's (`docker/models/{swarm,nodes}.py`). Blocking calls let virtual time pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from cnmsim.engine.client.docker_errors import raises_docker_errors
from cnmsim.engine.client.model import Model, filters_of, query_of

if TYPE_CHECKING:
    from cnmsim.engine.client.session import Session


@frozen
class JoinTokens:
    """The tokens with which workers and managers can join a swarm."""

    worker: str = field(repr=False)
    manager: str = field(repr=False)


@raises_docker_errors
@define
class Swarm:
    """The swarm that an engine is in, with the attributes and methods of docker-py's `Swarm`."""

    _engine: Session = field(repr=False)

    def __repr__(self) -> str:
        return f"<Swarm of {self._engine.machine.name}: {self._engine.get_cluster().state}>"

    @property
    def attrs(self) -> dict[str, Any]:
        """The swarm's description as a dict, as `GET /swarm` returns it.

        Raises `Unavailable` on a node that is not a manager.
        """
        return self._engine.complete(self._engine.rest.swarm.inspect())

    @property
    def version(self) -> int:
        """The version number of the swarm, which changes with every update of its settings.

        A request to update the swarm must contain this number. If it is out of date, the update is refused.
        """
        return int(self.attrs["Version"]["Index"])

    @property
    def id(self) -> str:
        """The cluster's id."""
        return str(self.attrs["ID"])

    @property
    def node_id(self) -> str:
        """The id of the engine's own node, "" outside of a swarm."""
        node = self._engine.get_cluster().node
        return node.id if node is not None else ""

    @property
    def tokens(self) -> JoinTokens:
        """The tokens with which workers and managers can join."""
        tokens = self.attrs["JoinTokens"]
        return JoinTokens(tokens["Worker"], tokens["Manager"])

    def init(
        self,
        advertise_addr: str = "",
        listen_addr: str = "0.0.0.0:2377",
        *,
        default_addr_pool: Sequence[str] | None = None,
        subnet_size: int = 0,
        data_path_addr: str = "",
        data_path_port: int = 0,
        availability: str = "active",
        task_history_retention_limit: int | None = None,
        node_cert_expiry: int | None = None,
        autolock_managers: bool = False,
        force_new_cluster: bool = False,
        labels: Mapping[str, str] | None = None,
    ) -> Swarm:
        """Create a swarm whose first manager is this node. The options are those of `docker swarm init`.

        Raises an `EngineError`, such as `Unavailable` if the node is in a swarm already.
        """
        spec: dict[str, Any] = {"Labels": dict(labels or {})}
        if task_history_retention_limit is not None:
            spec["Orchestration"] = {"TaskHistoryRetentionLimit": task_history_retention_limit}
        if node_cert_expiry is not None:
            spec["CAConfig"] = {"NodeCertExpiry": node_cert_expiry}
        if autolock_managers:
            spec["EncryptionConfig"] = {"AutoLockManagers": True}
        body = {
            "ListenAddr": listen_addr,
            "AdvertiseAddr": advertise_addr,
            "DataPathAddr": data_path_addr,
            "DataPathPort": data_path_port,
            "DefaultAddrPool": list(default_addr_pool or ()),
            "SubnetSize": subnet_size,
            "Availability": availability,
            "ForceNewCluster": force_new_cluster,
            "Spec": spec,
        }
        self._engine.complete(self._engine.rest.swarm.init(body))
        return self

    def join(
        self,
        join_token: str,
        remote_addrs: str | Sequence[str],
        *,
        listen_addr: str = "0.0.0.0:2377",
        advertise_addr: str = "",
        data_path_addr: str = "",
        availability: str = "active",
    ) -> bool:
        """Join a swarm through the manager at `remote_addrs` (`ADDRESS:PORT`), and return True.

        Of several addresses only the first is used. The token determines whether this node becomes a worker or a
        manager. Raises an `EngineError`, such as `Unavailable` if the node is in a swarm already or cannot reach the
        manager.
        """
        body = {
            "ListenAddr": listen_addr,
            "AdvertiseAddr": advertise_addr,
            "DataPathAddr": data_path_addr,
            "RemoteAddrs": [remote_addrs] if isinstance(remote_addrs, str) else list(remote_addrs),
            "JoinToken": join_token,
            "Availability": availability,
        }
        self._engine.complete(self._engine.rest.swarm.join(body))
        return True

    def leave(self, *, force: bool = False) -> bool:
        """Leave the swarm, and return True.

        Raises `Unavailable` if this node is in no swarm, or if it is a manager and `force` is not set.
        """
        self._engine.complete(self._engine.rest.swarm.leave(query_of(force=force)))
        return True

    def get_unlock_key(self) -> dict[str, str]:
        """Return the key with which restarted managers are unlocked, as `{"UnlockKey": …}`.

        The key is "" if autolock is off. Raises `Unavailable` if this node is not a manager.
        """
        return self._engine.complete(self._engine.rest.swarm.unlock_key())

    def unlock(self, key: str | Mapping[str, str], *, timeout_s: float = 60.0) -> bool:
        """Unlock this restarted manager with a key, or with the dict that `get_unlock_key` returned. Return True.

        The call returns once the manager has found a leader, which needs a majority of unlocked managers. After
        `timeout_s` virtual seconds it raises `TimeoutError`; the manager is then unlocked, and continues to look for
        a leader. Raises an `EngineError` for a wrong key, or if the manager is not locked.
        """
        body = {"UnlockKey": key} if isinstance(key, str) else dict(key)
        self._engine.complete(self._engine.rest.swarm.unlock(body), timeout_s)
        return True

    def update(
        self,
        *,
        rotate_worker_token: bool = False,
        rotate_manager_token: bool = False,
        rotate_manager_unlock_key: bool = False,
        **spec: Any,
    ) -> bool:
        """Change settings of the swarm, rotate join tokens or rotate the unlock key. Return True.

        The keyword arguments `spec` replace keys of the API's SwarmSpec, such as `Raft={"SnapshotInterval": 100}`.
        Raises an `EngineError` if the new settings are invalid, or if this node is not a manager.
        """
        attrs = self.attrs
        query = query_of(
            version=attrs["Version"]["Index"],
            rotateWorkerToken=rotate_worker_token,
            rotateManagerToken=rotate_manager_token,
            rotateManagerUnlockKey=rotate_manager_unlock_key,
        )
        self._engine.complete(self._engine.rest.swarm.update({**attrs["Spec"], **spec}, query))
        return True


@raises_docker_errors
@define(eq=False, repr=False)
class Node(Model):
    """A node of the swarm."""

    def __repr__(self) -> str:
        return f"<Node: {self.short_id}>"

    @property
    def attrs(self) -> dict[str, Any]:
        """The node's full description as a dict, the same data that `docker node inspect` prints."""
        return self._engine.complete(self._engine.rest.nodes.inspect(self.id))

    @property
    def version(self) -> int:
        """The version number of the node, which changes with every update of it.

        A request to update the node must contain this number. If it is out of date, the update is refused.
        """
        return int(self.attrs["Version"]["Index"])

    @property
    def hostname(self) -> str:
        """The host name of the node's machine."""
        return str(self.attrs["Description"].get("Hostname", ""))

    @property
    def status(self) -> str:
        """The node's state as the managers see it: ready, down, unknown or disconnected."""
        return str(self.attrs["Status"].get("State", "unknown"))

    def update(self, node_spec: Mapping[str, Any] | None = None, **changes: Any) -> bool:
        """Replace the node's spec by `node_spec`, or change single keys of it (`Availability="drain"`). Return True.

        The keys are `Availability`, `Role`, `Labels` and `Name`.
        """
        attrs = self.attrs
        spec = dict(node_spec) if node_spec is not None else {**attrs["Spec"], **changes}
        query = query_of(version=attrs["Version"]["Index"])
        self._engine.complete(self._engine.rest.nodes.update(self.id, spec, query))
        return True

    def remove(self, *, force: bool = False) -> bool:
        """Remove the node from the swarm.

        Raises an `EngineError` if the node is still ready, unless `force` is set; a manager must be demoted first.
        """
        self._engine.complete(self._engine.rest.nodes.remove(self.id, query_of(force=force)))
        return True


@raises_docker_errors
@define
class NodeCollection:
    """The nodes of the swarm that an engine manages."""

    _engine: Session = field(repr=False)

    def get(self, node_id: str) -> Node:
        """Return the node with this name or id. The name "self" means the engine's own node.

        Raises `NotFound` if there is no such node.
        """
        view = self._engine.complete(self._engine.rest.nodes.inspect(node_id))
        return Node(self._engine, view["ID"])

    def list(self, filters: Mapping[str, Any] | None = None) -> list[Node]:
        """Return the nodes of the swarm; with `filters`, such as `{"role": "manager"}`, those that match."""
        views = self._engine.complete(self._engine.rest.nodes.list(query_of(filters=filters_of(filters))))
        return [Node(self._engine, view["ID"]) for view in views]
