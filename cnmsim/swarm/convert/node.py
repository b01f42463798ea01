"""Conversion of nodes from and to the Engine API's JSON (moby `daemon/cluster/convert/node.go`)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from cnmsim.gojson.fields import omit_empty, omit_nil, parse_enum, sorted_map
from cnmsim.swarm.convert.common import annotations_from_api, annotations_to_api, head_to_api
from cnmsim.swarm.convert.task_spec import platform_to_api, resources_to_api
from cnmsim.swarm.objects.base import Availability, Membership, NodeRole
from cnmsim.swarm.objects.node import ManagerStatus, Node, NodeSpec


def node_to_api(node: Node) -> dict[str, Any]:
    """Return a node as `node inspect` shows it."""
    return {
        **head_to_api(node),
        "Spec": {
            **annotations_to_api(node.spec.annotations),
            "Role": node.spec.desired_role.value,
            "Availability": node.spec.availability.value,
        },
        "Description": _description_to_api(node),
        "Status": {
            "State": node.status.state.value,
            **omit_empty(("Message", node.status.message), ("Addr", node.status.addr)),
        },
        **omit_nil("ManagerStatus", node.manager_status, _manager_to_api),
    }


def _manager_to_api(manager: ManagerStatus) -> dict[str, Any]:
    return omit_empty(
        ("Leader", manager.leader), ("Reachability", manager.reachability.value), ("Addr", manager.addr)
    )


def _description_to_api(node: Node) -> dict[str, Any]:
    description = node.description
    if description is None:
        return {"Platform": {}, "Resources": {}, "Engine": {}, "TLSInfo": {}}
    engine, tls = description.engine, description.tls_info
    return {
        **omit_empty(("Hostname", description.hostname)),
        "Platform": platform_to_api(description.platform),
        "Resources": resources_to_api(description.resources),
        "Engine": omit_empty(
            ("EngineVersion", engine.engine_version),
            ("Labels", sorted_map(engine.labels)),
            ("Plugins", [omit_empty(("Type", kind), ("Name", name)) for kind, name in engine.plugins]),
        ),
        "TLSInfo": {} if tls is None else tls_info_to_api(tls.trust_root, tls.issuer_subject, tls.issuer_public_key),
    }


def tls_info_to_api(trust_root: str, subject: bytes, public_key: bytes) -> dict[str, Any]:
    """Return a JSON `TLSInfo` object.

    It contains the trusted root certificate (PEM), and the issuer's subject and public key (base64 of the DER).
    """
    return omit_empty(
        ("TrustRoot", trust_root),
        ("CertIssuerSubject", b64encode(subject).decode()),
        ("CertIssuerPublicKey", b64encode(public_key).decode()),
    )


def node_spec_from_api(spec: Mapping[str, Any]) -> NodeSpec:
    """Convert a JSON node spec.

    Raises `InvalidParameter`, with the daemon's text, for an unknown role or availability.
    """
    role, availability = spec["Role"], spec["Availability"]
    desired_role = parse_enum(NodeRole, role.lower(), f'invalid Role: "{role}"')
    chosen = parse_enum(Availability, availability.lower(), f'invalid Availability: "{availability}"')
    # The API has no field for membership, so a client that writes the spec always resets it to pending.
    return NodeSpec(annotations_from_api(spec), desired_role, Membership.PENDING, chosen)
