"""One HTTP exchange with a plugin: a POST over a Unix socket, TCP or TLS.

Errors have the words of Go's HTTP client, which `docker` prints. Source: moby `pkg/plugins/transport/http.go`,
`pkg/plugins/client.go` (docker-v29.7.2), Go `net/http`.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from urllib.parse import SplitResult, urlsplit

from attrs import define, field

from cnmsim.libnetwork.plugins.discovery import PluginAddress, TlsFiles
from cnmsim.libnetwork.plugins.policy import PluginPolicy

MIME_TYPE = "application/vnd.docker.plugins.v1.2+json"
#: The Host header of requests over a Unix socket.
LOCAL_HOST = "plugin.moby.localhost"
_CHUNK = 1 << 16


class ExchangeError(Exception):
    """Error: the exchange failed. `is_sent` is True if the plugin may have read the request."""

    def __init__(self, message: str, *, is_sent: bool) -> None:
        super().__init__(message)
        self.is_sent = is_sent


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float | None) -> None:
        super().__init__(LOCAL_HOST, timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@define
class Exchange:
    """One HTTP request to a plugin, and its response."""

    address: PluginAddress
    policy: PluginPolicy
    method: str
    body: bytes
    _is_sent: bool = field(default=False, init=False)

    def run(self) -> tuple[int, bytes]:
        """Send the request. Return the response's status and body. Raises `ExchangeError` if the exchange fails."""
        try:
            return self._exchange()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ExchangeError(f'Post "{self._url}": {self._go_error_text(error)}', is_sent=self._is_sent) from None

    def _exchange(self) -> tuple[int, bytes]:
        connection = self._connection()
        try:
            connection.connect()
            connection.putrequest("POST", f"/{self.method}", skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", self._host)
            connection.putheader("User-Agent", "Go-http-client/1.1")
            connection.putheader("Content-Length", str(len(self.body)))
            connection.putheader("Accept", MIME_TYPE)
            self._is_sent = True
            connection.endheaders(self.body or None)
            response = connection.getresponse()
            return response.status, self._read(response)
        finally:
            connection.close()

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        """Read the response's body, at most one byte more than the policy's limit, so that an excess is detected.

        If the connection ends early, return the part that has arrived.
        """
        content = bytearray()
        while len(content) <= self.policy.reply_limit:
            try:
                chunk = response.read(_CHUNK)
            except http.client.IncompleteRead as early:
                content += early.partial
                break
            if not chunk:
                break
            content += chunk
        return bytes(content)

    # ---- address

    @property
    def _split(self) -> SplitResult:
        return urlsplit(self.address.url)

    @property
    def _host(self) -> str:
        split = self._split
        return LOCAL_HOST if split.scheme == "unix" or not split.netloc else split.netloc

    @property
    def _url(self) -> str:
        scheme = "https" if self._split.scheme == "https" else "http"
        return f"{scheme}://{self._host}/{self.method}"

    def _connection(self) -> http.client.HTTPConnection:
        split = self._split
        timeout = self.policy.timeout_s
        if split.scheme == "unix" or not split.netloc:
            return _UnixConnection(split.path, timeout)
        host, port = split.hostname or "", split.port
        if split.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=timeout, context=_tls_context(self.address.tls))
        return http.client.HTTPConnection(host, port, timeout=timeout)

    def _go_error_text(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        if isinstance(error, http.client.RemoteDisconnected):
            return "EOF"
        if isinstance(error, http.client.BadStatusLine):
            return f'net/http: HTTP/1.x transport connection broken: malformed HTTP response "{str(error).strip()}"'
        if isinstance(error, http.client.HTTPException):
            return f"net/http: HTTP/1.x transport connection broken: {error}"
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"tls: failed to verify certificate: x509: {error.verify_message}"
        cause = str((error.strerror if isinstance(error, OSError) else None) or error)
        cause = cause if isinstance(error, ssl.SSLError) else cause[:1].lower() + cause[1:]
        split = self._split
        if split.scheme == "unix" or not split.netloc:
            network, place = "unix", split.path
        else:
            network, place = "tcp", split.netloc
        if not self._is_sent:
            return f"dial {network} {place}: connect: {cause}"
        side = "@" if network == "unix" else ""
        verb = "write" if isinstance(error, BrokenPipeError) else "read"
        return f"{verb} {network} {side}->{place}: {verb}: {cause}"


def _tls_context(files: TlsFiles | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=files.ca or None if files else None)
    # As in Go's crypto/x509: a certificate needs no Authority Key Identifier, and every certificate of the CA file is
    # a trust anchor.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if files is not None and files.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if files is not None and files.certificate:
        context.load_cert_chain(files.certificate, files.key or None)
    return context
