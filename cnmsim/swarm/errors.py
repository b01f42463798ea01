"""Refusals of the cluster's managers, with the gRPC code they carry and the HTTP status the engine makes of it.

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
    """A manager refused a call. `code` is the name of the gRPC code, `desc` the text without it."""

    code: ClassVar[str] = "Unknown"

    def __init__(self, desc: str) -> None:
        super().__init__(f"rpc error: code = {self.code} desc = {desc}")
        self.desc = desc


class RpcUnknown(SwarmError, SystemFault):
    """An error that carries no code (500)."""


class RpcInvalidArgument(SwarmError, InvalidParameter):
    """A spec or request makes no sense (400)."""

    code = "InvalidArgument"


class RpcNotFound(SwarmError, NotFound):
    """The object does not exist (404)."""

    code = "NotFound"


class RpcAlreadyExists(SwarmError, Conflict):
    """The name is taken (409)."""

    code = "AlreadyExists"


class RpcPermissionDenied(SwarmError, Forbidden):
    """The caller may not do it (403)."""

    code = "PermissionDenied"


class RpcFailedPrecondition(SwarmError, InvalidParameter):
    """The state of the cluster does not allow it (400)."""

    code = "FailedPrecondition"


class RpcUnimplemented(SwarmError, NotSimulated):
    """Swarm does not do it (501)."""

    code = "Unimplemented"


class RpcUnavailable(SwarmError, Unavailable):
    """The manager cannot be reached, or cannot serve (503)."""

    code = "Unavailable"


class RpcInternal(SwarmError, SystemFault):
    """Something failed inside a manager (500)."""

    code = "Internal"


class RpcDeadlineExceeded(SwarmError, SystemFault):
    """The manager did not answer in time (500)."""

    code = "DeadlineExceeded"


class RpcAborted(SwarmError, SystemFault):
    """The call was broken off (500)."""

    code = "Aborted"


class StoreError(EngineError):
    """The store refused a change; no part of its transaction was made."""

    text: ClassVar[str] = ""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or self.text)


class ObjectExists(StoreError):
    """An object with that id is there already."""

    text = "object already exists"


class ObjectNotFound(StoreError):
    """No object has that id."""

    text = "object does not exist"


class NameConflict(StoreError):
    """Another object of the kind has that name."""

    text = "name conflicts with an existing object"


class SequenceConflict(StoreError):
    """The object has changed since it was read."""

    text = "update out of sequence"


class NotLeader(StoreError):
    """The manager does not lead the cluster, or has lost its quorum."""

    text = "node is not the leader"


class NodeNotRegistered(RpcNotFound):
    """A node speaks that has no session."""

    def __init__(self) -> None:
        super().__init__("node not registered")


class InvalidSession(RpcInvalidArgument):
    """A node speaks in a session that is over."""

    def __init__(self) -> None:
        super().__init__("session invalid")
