"""A node's credentials: its certificate, and the root authority it trusts.

Source: moby/swarmkit `ca/{certificates,config,renewer}.go` (vendored by moby docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from attrs import define, evolve, field

from cnmsim.errors import CnmsimError, SystemFault
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.task import Signal, sleep
from cnmsim.swarm.ca.certificates import Certificate, RootCa
from cnmsim.swarm.ca.server import IssueRequest, root_from_store
from cnmsim.swarm.objects import RootCa as StoredRoot
from cnmsim.swarm.objects import TlsInfo
from cnmsim.swarm.rpc import Client, LocalClient, RpcError

_TRIES, _RETRY_S = 5, 2.0
#: A certificate is renewed at a random point between these fractions of its validity.
_RENEW_AT = (0.5, 0.8)


@define(eq=False)
class Credentials:
    """The credentials of one node.

    `connect` returns a client for one of the managers. `on_error` is called with the error message when a renewal
    fails. `is_rotating` is True while the node requests a certificate for a root rotation.
    """

    clock: Clock = field(repr=False)
    random: Random = field(repr=False)
    connect: Callable[[], Coroutine[Any, Any, Client]] = field(repr=False)
    on_error: Callable[[str], None] = field(repr=False)
    certificate: Certificate | None = None
    root: RootCa | None = None
    is_rotating: bool = field(default=False, init=False)
    _renewed: Signal = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._renewed = Signal(self.clock)

    def require_certificate(self) -> Certificate:
        """Return the certificate. Call this only after the node has joined; earlier there is none."""
        assert self.certificate is not None
        return self.certificate

    def tls_info(self) -> TlsInfo | None:
        """Return the trusted root certificate and the issuer of the node's certificate.

        Return `None` before the node has joined.
        """
        certificate, root = self.certificate, self.root
        if certificate is None or root is None:
            return None
        return TlsInfo(root.pem, certificate.issuer_subject, certificate.issuer_public_key, certificate.issuer_digest)

    def is_expired(self) -> bool:
        """Return True if the certificate has expired."""
        return self.certificate is not None and self.certificate.not_after_s <= self.clock.wall_s

    def trust_root(self, root: StoredRoot) -> bool:
        """Trust the root authority `root`, which a manager sent, from now on.

        Return True if it differs from the authority that was trusted before.
        """
        if self.root is None or root.digest in ("", self.root.digest):
            return False
        self.root = evolve(root_from_store(root), seed="")
        return True

    async def fetch_root(self, dial: Callable[[], Coroutine[Any, Any, Client]], digest: str) -> RootCa:
        """Download the root certificate from a manager and return it as an authority.

        `dial` connects to the manager. The certificate must have the digest `digest`, which comes from the join
        token; if `digest` is "", any certificate is accepted. A failed attempt is repeated; the error of the last
        one is raised: `SystemFault` for another digest, `RpcError` if the connection fails.
        """
        error: CnmsimError = RpcError("")
        for _ in range(_TRIES):
            try:
                client = await dial()
                try:
                    root = await client.call("ca.root")
                finally:
                    client.close()
                assert isinstance(root, RootCa)
                if digest and root.digest != digest:
                    raise SystemFault(f"remote CA does not match fingerprint. Expected: {digest}")
            except CnmsimError as failure:
                error = failure
                await sleep(self.clock, _RETRY_S)
                continue
            return root
        raise error

    async def renew(self) -> None:
        """Request a new certificate now. Raises an `EngineError` if the request fails."""
        client = await self.connect()
        try:
            self.certificate = await client.call("ca.issue", IssueRequest())
        finally:
            if not isinstance(client, LocalClient):
                client.close()
        self._renewed.notify()

    async def rotate(self) -> None:
        """Request a certificate from the new authority of a root rotation."""
        self.is_rotating = True
        try:
            await self._try_renew()
        finally:
            self.is_rotating = False

    async def renew_periodically(self) -> None:
        """Renew the certificate forever, each time when between half and four fifths of its validity have passed."""
        while True:
            certificate = self.require_certificate()
            life_s = certificate.not_after_s - certificate.not_before_s
            due_s = certificate.not_before_s + life_s * self.random.uniform(*_RENEW_AT)
            try:
                await self._renewed.wait_until(
                    lambda known=certificate: self.certificate is not known,  # type: ignore[misc]
                    max(_RETRY_S, due_s - self.clock.wall_s),
                )
            except TimeoutError:
                await self._try_renew()

    async def _try_renew(self) -> None:
        try:
            await self.renew()
        except CnmsimError as error:
            self.on_error(error.message)
