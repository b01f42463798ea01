"""Certificates of nodes and the cluster's root certificate authority.

A certificate names the node (CN), its role (OU) and its cluster (O). Source: moby/swarmkit
`ca/{certificates,config,server}.go` (vendored by moby docker-v29.7.2).
"""

from __future__ import annotations

from random import Random

from attrs import field, frozen

from cnmsim.errors import InvalidParameter
from cnmsim.swarm.ca import x509
from cnmsim.swarm.ca.join_token import parse_join_token

WORKER_ROLE, MANAGER_ROLE, CA_ROLE = "swarm-worker", "swarm-manager", "swarm-ca"
#: Validity of a node's certificate unless the cluster's spec sets it.
DEFAULT_EXPIRY_S = 90 * 24 * 3600.0
#: Certificates are valid from this long before they are issued, because nodes' clocks may be slow.
BACKDATE_S = 3600.0


@frozen
class Certificate:
    """A node's X.509 certificate. Times are seconds since 1970.

    During a root rotation the new authority issues certificates with a cross-signed intermediate, so that nodes which
    trust only the old authority accept them too. `cross_signer_digest` is then the old root certificate's digest.
    """

    node_id: str
    role: str
    organization: str
    issuer_digest: str
    serial: x509.Serial
    not_before_s: float
    not_after_s: float
    issuer_subject: bytes = b""
    issuer_public_key: bytes = b""
    cross_signer_digest: str = ""
    #: The certificate, and the cross-signed intermediate if any, in PEM; "" if the `cryptography` package is missing.
    pem: str = field(default="", repr=False)

    @property
    def subject(self) -> str:
        """The subject as a distinguished name that consists of organization, role and node id."""
        return f"O = {self.organization}, OU = {self.role}, CN = {self.node_id}"

    @property
    def is_manager(self) -> bool:
        """Whether the certificate was issued for the role of manager."""
        return self.role == MANAGER_ROLE

    def is_valid_at(self, wall_s: float) -> bool:
        """Return True if the certificate is valid at `wall_s` (seconds since 1970)."""
        return self.not_before_s <= wall_s < self.not_after_s


@frozen
class RootCa:
    """The root authority of a cluster, identified by `digest`, the SHA-256 of its certificate in hexadecimal.

    `pem` is the certificate, or "" if the `cryptography` package is missing (see `x509.is_available`). `subject` and
    `public_key` are the certificate's subject and public key in DER. `seed` is the number (in hexadecimal) from which
    the private key is derived; it is "" on nodes that are not managers.
    """

    digest: str
    pem: str = field(default="", repr=False)
    subject: bytes = field(default=b"", repr=False)
    public_key: bytes = field(default=b"", repr=False)
    seed: str = field(default="", repr=False)

    @classmethod
    def create(cls, random: Random, wall_s: float = 0.0) -> RootCa:
        """Create the authority of a new cluster at `wall_s` (seconds since 1970)."""
        seed = random.getrandbits(256)
        if not x509.is_available():
            return cls(f"{seed:064x}")
        certificate = x509.root_certificate(seed, wall_s)
        return cls(certificate.digest, certificate.pem, certificate.subject, certificate.public_key, f"{seed:x}")

    def issue(
        self,
        random: Random,
        node_id: str,
        role: str,
        organization: str,
        wall_s: float,
        expiry_s: float,
        cross_signer: RootCa | None = None,
    ) -> Certificate:
        """Issue a certificate that expires `expiry_s` seconds after `wall_s` (seconds since 1970).

        `wall_s` is rounded to the minute. The certificate names the node `node_id`, its `role` and the cluster id
        `organization`, and is valid from `BACKDATE_S` seconds before `wall_s`. `cross_signer` is the former root
        authority in a rotation. If it is given, the certificate's `pem` also contains a copy of this authority's root
        certificate that is signed by `cross_signer`.
        """
        begins_s = x509.round_to_minute(wall_s)
        serial, validity = random.getrandbits(159), (begins_s - BACKDATE_S, begins_s + expiry_s)
        pem = ""
        if self.seed:
            pem = x509.node_certificate(int(self.seed, 16), serial, (organization, role, node_id), *validity)
            if cross_signer is not None and cross_signer.seed:
                pem += x509.cross_certificate(int(self.seed, 16), self.pem, int(cross_signer.seed, 16))
        return Certificate(
            node_id,
            role,
            organization,
            self.digest,
            serial,
            *validity,
            self.subject,
            self.public_key,
            cross_signer.digest if cross_signer is not None else "",
            pem,
        )

    def trusts(self, certificate: Certificate, wall_s: float) -> bool:
        """Return True if this authority issued or cross-signed `certificate`, and it is valid at `wall_s`.

        `wall_s` is in seconds since 1970.
        """
        return self.digest in (
            certificate.issuer_digest,
            certificate.cross_signer_digest,
        ) and certificate.is_valid_at(wall_s)


def join_token_digest(token: str) -> str:
    """Return the root certificate's digest (hexadecimal) that a join token contains.

    Raises `InvalidParameter` for an invalid token.
    """
    try:
        return parse_join_token(token)[0]
    except ValueError as error:
        raise InvalidParameter(str(error)) from None
