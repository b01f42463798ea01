"""The cluster's certificate authority: mutual TLS identities and join tokens.

A certificate says who a node is (CN, the node's id), what it may do (OU, its role) and where it belongs (O, the
cluster's id). Source: moby/swarmkit `ca/{certificates,config,server}.go` (vendored by moby docker-v29.7.2).
"""

from __future__ import annotations

from random import Random

from attrs import field, frozen

from cnmsim.errors import InvalidParameter
from cnmsim.swarm.ca import x509
from cnmsim.swarm.identity import parse_join_token

WORKER_ROLE, MANAGER_ROLE, CA_ROLE = "swarm-worker", "swarm-manager", "swarm-ca"
#: How long a node's certificate is valid unless the cluster's spec says otherwise.
DEFAULT_EXPIRY_S = 90 * 24 * 3600.0
#: Certificates are backdated, for nodes whose clocks are behind.
BACKDATE_S = 3600.0


@frozen
class Certificate:
    """An X.509 identity as the cluster's authority issues it. Times are seconds since 1970.

    While the authority is replaced, what the new one issues is good for who knows only the old one, too: `cross_signer_digest`.
    """

    node_id: str
    role: str
    organization: str
    issuer_digest: str
    serial: int
    not_before_s: float
    not_after_s: float
    issuer_subject: bytes = b""
    issuer_public_key: bytes = b""
    cross_signer_digest: str = ""

    @property
    def subject(self) -> str:
        """The distinguished name."""
        return f"O = {self.organization}, OU = {self.role}, CN = {self.node_id}"

    @property
    def is_manager(self) -> bool:
        """Whether it lets its owner act as a manager."""
        return self.role == MANAGER_ROLE

    def is_valid_at(self, wall_s: float) -> bool:
        """Tell whether `wall_s` lies in its time."""
        return self.not_before_s <= wall_s < self.not_after_s


@frozen
class RootCa:
    """The authority of one cluster, known by the SHA-256 of its certificate, in hexadecimal.

    `pem` is the certificate, "" where there is no package that makes one; `subject` and `public_key` are those in it, in DER.
    """

    digest: str
    pem: str = field(default="", repr=False)
    subject: bytes = field(default=b"", repr=False)
    public_key: bytes = field(default=b"", repr=False)

    @classmethod
    def create(cls, random: Random, wall_s: float = 0.0) -> RootCa:
        """Make the authority of a new cluster, at `wall_s` seconds since 1970."""
        seed = random.getrandbits(256)
        if not x509.is_available():
            return cls(f"{seed:064x}")
        certificate = x509.root_certificate(seed, wall_s)
        return cls(certificate.digest, certificate.pem, certificate.subject, certificate.public_key)

    def issue(
        self,
        random: Random,
        node_id: str,
        role: str,
        organization: str,
        wall_s: float,
        expiry_s: float,
        cross_signer_digest: str = "",
    ) -> Certificate:
        """Issue a certificate that is valid from an hour ago until `expiry_s` seconds after `wall_s`."""
        return Certificate(
            node_id,
            role,
            organization,
            self.digest,
            random.getrandbits(159),
            wall_s - BACKDATE_S,
            wall_s + expiry_s,
            self.subject,
            self.public_key,
            cross_signer_digest,
        )

    def trusts(self, certificate: Certificate, wall_s: float) -> bool:
        """Tell whether it issued a certificate, or vouches for who did, and the certificate is in its time."""
        return self.digest in (
            certificate.issuer_digest,
            certificate.cross_signer_digest,
        ) and certificate.is_valid_at(wall_s)


def join_token_digest(token: str) -> str:
    """Give the digest of the authority a join token names. Raises `InvalidParameter` for a text that is no token."""
    try:
        return parse_join_token(token)[0]
    except ValueError as error:
        raise InvalidParameter(str(error)) from None
