"""The certificate authority on the leader: issues certificates to joining nodes and renews the members' certificates.

Source: moby/swarmkit `ca/server.go` (vendored by moby docker-v29.7.2).
"""

from __future__ import annotations

import hmac
from random import Random

from attrs import define, evolve, field, frozen

from cnmsim.kernel.clock import NS_PER_S, Clock
from cnmsim.swarm.ca.certificates import DEFAULT_EXPIRY_S, MANAGER_ROLE, WORKER_ROLE, Certificate, RootCa
from cnmsim.swarm.errors import RpcInvalidArgument, RpcPermissionDenied
from cnmsim.swarm.identity import new_id
from cnmsim.swarm.objects import Availability, Node, NodeRole, NodeSpec
from cnmsim.swarm.objects import Certificate as NodeCertificate
from cnmsim.swarm.objects import RootCa as StoredRoot
from cnmsim.swarm.rpc import Peer
from cnmsim.swarm.store import Store


def root_to_store(root: RootCa) -> StoredRoot:
    """Convert an authority to the `RootCa` of the cluster object in the store."""
    return StoredRoot(
        root.pem,
        root.digest,
        issuer_subject=root.subject,
        issuer_public_key=root.public_key,
        seed=root.seed,
    )


def root_from_store(stored: StoredRoot) -> RootCa:
    """Convert the `RootCa` of the cluster object in the store to an authority."""
    return RootCa(stored.digest, stored.ca_cert, stored.issuer_subject, stored.issuer_public_key, stored.seed)


@frozen
class IssueRequest:
    """A request for a certificate.

    A new node sends the join token `token` and its initial `availability`. A member that renews its certificate sends
    "" as token.
    """

    token: str = ""
    availability: Availability = Availability.ACTIVE


@define(eq=False)
class CaServer:
    """The certificate authority of one cluster. Runs on the leader."""

    clock: Clock
    random: Random = field(repr=False)
    store: Store = field(repr=False)

    @property
    def root(self) -> RootCa:
        """The root authority that the cluster's nodes trust now; during a rotation this is still the former one."""
        return root_from_store(self.store.cluster.root_ca)

    def issue(self, peer: Peer, request: IssueRequest) -> Certificate:
        """Issue a certificate to `peer`, the node that made the request.

        A node that sends a join token becomes a new member, with the role to which the token belongs. A member that
        sends no token gets its certificate renewed. Raises `RpcInvalidArgument` for an invalid token,
        `RpcPermissionDenied` for a removed node.
        """
        if peer.certificate is not None and not request.token:
            return self._renew(peer.certificate)
        role = self._role(request.token)
        node_id = new_id(self.random)
        certificate = self.sign(node_id, role)
        spec = NodeSpec(desired_role=role, availability=request.availability)
        port = self.store.cluster.vxlan_udp_port
        node = Node(node_id, spec, role=role, certificate=NodeCertificate(role, node_id), vxlan_udp_port=port)
        self.store.update(lambda tx: tx.create(node))
        return certificate

    def _role(self, token: str) -> NodeRole:
        ca = self.store.cluster.root_ca
        if hmac.compare_digest(token, ca.manager_token):
            return NodeRole.MANAGER
        if hmac.compare_digest(token, ca.worker_token):
            return NodeRole.WORKER
        raise RpcInvalidArgument("A valid join token is necessary to join this cluster")

    def _renew(self, present: Certificate) -> Certificate:
        node = self.store.nodes.get(present.node_id)
        if node is None:
            raise RpcPermissionDenied(f"Permission denied: node {present.node_id} was removed from the cluster")
        certificate = evolve(node.certificate, role=node.role, state="issued")
        if certificate != node.certificate:
            self.store.update(lambda tx: tx.replace(evolve(node, certificate=certificate)))
        return self.sign(present.node_id, node.role)

    def sign(self, node_id: str, role: NodeRole) -> Certificate:
        """Issue a certificate to a node with this role, with the validity period set in the cluster's spec."""
        cluster = self.store.cluster
        unit = MANAGER_ROLE if role is NodeRole.MANAGER else WORKER_ROLE
        expiry_s = cluster.spec.node_cert_expiry_ns / NS_PER_S or DEFAULT_EXPIRY_S
        root, cross_signer = cluster.root_ca, None
        if root.rotation is not None:
            root, cross_signer = root.rotation, root_from_store(root)
        return root_from_store(root).issue(
            self.random, node_id, unit, cluster.id, self.clock.wall_s, expiry_s, cross_signer
        )
