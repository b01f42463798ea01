"""Fields in the Engine API's JSON that all objects of a cluster have (moby `daemon/cluster/convert`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnmsim.gojson.fields import omit_empty, rfc3339
from cnmsim.swarm.objects.base import Annotations
from cnmsim.swarm.store.tables import StoreObject


def head_to_api(item: StoreObject) -> dict[str, Any]:
    """Return the id, the version, and the times of creation and last update of an object as JSON."""
    return {
        "ID": item.id,
        "Version": omit_empty(("Index", item.meta.version)),
        "CreatedAt": rfc3339(item.meta.created_ns),
        "UpdatedAt": rfc3339(item.meta.updated_ns),
    }


def annotations_to_api(annotations: Annotations) -> dict[str, Any]:
    """Return the fields `Name` and `Labels` of a spec."""
    return {**omit_empty(("Name", annotations.name)), "Labels": dict(sorted(annotations.labels.items()))}


def annotations_from_api(spec: Mapping[str, Any]) -> Annotations:
    """Convert the `Name` and `Labels` of a spec."""
    return Annotations(spec["Name"], dict(spec["Labels"] or {}))
