"""Errors of a swarm's managers, with their gRPC codes and the HTTP statuses into which the engine converts them.

Source: moby `daemon/server/httpstatus/status.go` (docker-v29.7.2), google.golang.org/grpc `status`.
"""

from __future__ import annotations

from typing import ClassVar

from cnmsim.errors import (
    Conflict,
    EngineError,
    Forbidden,
    InvalidParameter,
    NotFound,
    NotSimulated,
    SystemFault,
    Unavailable,
)


class SwarmError(EngineError):
    """An error that a manager returned. `code` is the name of its gRPC code, `desc` the message without that name."""

    code: ClassVar[str] = "Unknown"

    def __init__(self, desc: str) -> None:
        super().__init__(f"rpc error: code = {self.code} desc = {desc}")
        self.desc = desc


class RpcUnknown(SwarmError, SystemFault):
    """An error without a gRPC code of its own (HTTP status 500)."""


class RpcInvalidArgument(SwarmError, InvalidParameter):
    """A spec or request is invalid (HTTP status 400)."""

    code = "InvalidArgument"


class RpcNotFound(SwarmError, NotFound):
    """The object does not exist (HTTP status 404)."""

    code = "NotFound"


class RpcAlreadyExists(SwarmError, Conflict):
    """The name is in use (HTTP status 409)."""

    code = "AlreadyExists"


class RpcPermissionDenied(SwarmError, Forbidden):
    """The caller lacks the permission (HTTP status 403)."""

    code = "PermissionDenied"


class RpcFailedPrecondition(SwarmError, InvalidParameter):
    """The state of the cluster does not allow the call (HTTP status 400)."""

    code = "FailedPrecondition"


class RpcUnimplemented(SwarmError, NotSimulated):
    """SwarmKit does not implement the operation (HTTP status 501)."""

    code = "Unimplemented"


class RpcUnavailable(SwarmError, Unavailable):
    """The manager cannot be reached or cannot serve (HTTP status 503)."""

    code = "Unavailable"


class RpcAborted(SwarmError, SystemFault):
    """The call was aborted (HTTP status 500)."""

    code = "Aborted"


class StoreError(EngineError):
    """The store refused a change; the whole transaction was undone."""

    text: ClassVar[str] = ""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or self.text)


class ObjectExists(StoreError):
    """The store already has an object with this id."""

    text = "object already exists"


class ObjectNotFound(StoreError):
    """The store has no object with this id."""

    text = "object does not exist"


class NameConflict(StoreError):
    """Another object of the same kind has this name."""

    text = "name conflicts with an existing object"


class SequenceConflict(StoreError):
    """The object has changed since the caller read it."""

    text = "update out of sequence"


class NotLeader(StoreError):
    """The manager that changes the store is not the leader, or is the leader but has lost its quorum."""

    text = "node is not the leader"


class NodeNotRegistered(RpcNotFound):
    """The calling node has no session."""

    def __init__(self) -> None:
        super().__init__("node not registered")


class InvalidSession(RpcInvalidArgument):
    """The calling node sent the id of a session that has ended."""

    def __init__(self) -> None:
        super().__init__("session invalid")
