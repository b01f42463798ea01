"""TCP with mutual TLS, as `dockerd --tlsverify`, talked to by the unmodified docker command and Python's own TLS."""

import datetime as dt
import http.client
import ipaddress
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time

import pytest
from support.patience import PATIENCE_S, until_ready
from support.served_process import started

x509 = pytest.importorskip("cryptography.x509", reason="cryptography is not installed")
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402

LAB = """
hosts:
  node1: {addresses: [10.0.0.15/24], docker: true}
  node2: {addresses: [10.0.0.16/24], docker: true}
"""


class Authority:
    """A CA that signs certificates into files of `folder`."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = self._builder(self.subject, self.key.public_key())
        extension = x509.BasicConstraints(ca=True, path_length=None)
        self.certificate = builder.add_extension(extension, critical=True).sign(self.key, hashes.SHA256())
        self._write("ca", self.certificate)

    def _builder(self, subject, public):
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
        )

    def _write(self, what, certificate, key=None):
        path = self.folder / f"{self.name}-{what}.pem"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        if key is not None:
            encoded = key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            path.with_name(f"{self.name}-{what}-key.pem").write_bytes(encoded)

    def issue(self, what, usage):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, what)])
        names = x509.SubjectAlternativeName(
            [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        builder = self._builder(subject, key.public_key()).add_extension(names, critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        self._write(what, builder.sign(self.key, hashes.SHA256()), key)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    for name in ("good", "other"):
        authority = Authority(folder, name)
        authority.issue("server", x509.ExtendedKeyUsageOID.SERVER_AUTH)
        authority.issue("client", x509.ExtendedKeyUsageOID.CLIENT_AUTH)
    (folder / "lab.yml").write_text(LAB)
    return folder


def serve_command(folder, *words):
    return [sys.executable, "-m", "cnmsim", "serve", str(folder / "lab.yml"), "--dir", str(folder / "d"), *words]


@pytest.fixture(scope="module")
def port(folder):
    files = [f"--tls{what}={folder}/good-{name}.pem" for what, name in (("cacert", "ca"), ("cert", "server"),
        ("key", "server-key"))]  # fmt: skip
    command = serve_command(folder, "--clock", "paused", "--tcp", "node2=127.0.0.1:0", "--tlsverify", *files)
    with started(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if "tcp://" in line:
                break
        assert line.startswith("node2: DOCKER_HOST=tcp://127.0.0.1:")
        assert line.endswith(" (TLS)\n")
        yield int(line.split(":")[3].split()[0])
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0


def context(folder, client):
    made = ssl.create_default_context(cafile=str(folder / "good-ca.pem"))
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT  # no certificate here has an Authority Key Identifier
    if client is not None:
        made.load_cert_chain(folder / f"{client}-client.pem", folder / f"{client}-client-key.pem")
    return made


def ask(folder, port, client):
    connection = http.client.HTTPSConnection("localhost", port, timeout=PATIENCE_S, context=context(folder, client))
    try:
        connection.request("GET", "/info")
        return connection.getresponse().read()
    finally:
        connection.close()


def test_a_client_of_the_ca_is_served_the_host_asked_for(folder, port):
    assert b'"Name":"node2"' in ask(folder, port, "good")


@pytest.mark.parametrize("client", [None, "other"])
def test_a_client_without_a_certificate_of_the_ca_is_refused(folder, port, client):
    with pytest.raises((ssl.SSLError, ConnectionError), match=r"(?i)alert|reset"):
        ask(folder, port, client)
    assert b'"Name":"node2"' in ask(folder, port, "good")


def said_to(port, *parts):
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as sock:
        for part in parts:
            sock.sendall(part)
            time.sleep(0.05)
        data = b""
        while part := sock.recv(4096):
            data += part
    return data


@pytest.mark.parametrize(
    "parts", [(b"GET /info HTTP/1.1\r\nHost: d\r\n\r\n",), (b"HE", b"AD /_ping HTTP/1.1\r\n\r\n")]
)
def test_plain_http_is_told_that_this_is_https(port, parts):
    answer = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
    assert said_to(port, *parts) == answer


@pytest.mark.parametrize("data", [b"DELETE /networks/x HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n", b"\x16\x7f\x00\x00\x01"])
def test_what_is_neither_tls_nor_like_a_request_is_told_nothing(port, data):
    assert said_to(port, data) == b""


@pytest.mark.skipif(shutil.which("docker") is None, reason="no docker command here")
def test_the_docker_command_without_tls_prints_what_it_is_told(port, tmp_path):
    done = subprocess.run(
        ["docker", "--config", str(tmp_path), "-H", f"tcp://127.0.0.1:{port}", "ps"],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "Error response from daemon: Client sent an HTTP request to an HTTPS server.\n"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_an_old_protocol_is_refused(folder, port):
    old = context(folder, "good")
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE_S) as sock,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        old.wrap_socket(sock, server_hostname="localhost")


def test_a_handshake_that_never_ends_holds_up_nobody(folder, port):
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S):
        assert b'"Name":"node2"' in ask(folder, port, "good")


@pytest.mark.skipif(shutil.which("docker") is None, reason="no docker command here")
def test_the_docker_command_with_tlsverify(folder, port, tmp_path):
    def docker(ca, client, *words, **options):
        files = [f"--tlscacert={folder}/{ca}-ca.pem"]
        if client is not None:
            files += [f"--tlscert={folder}/{client}-client.pem", f"--tlskey={folder}/{client}-client-key.pem"]
        return subprocess.run(
            ["docker", "--config", str(tmp_path), "--tlsverify", *files, "-H", f"tcp://127.0.0.1:{port}", *words],
            capture_output=True, text=True, timeout=PATIENCE_S, check=False,
            env={**os.environ, "DOCKER_CERT_PATH": str(tmp_path)},
            **options,
        )  # fmt: skip

    good = docker("good", "good", "version", "--format", "{{.Server.Version}}")
    assert (good.returncode, good.stdout) == (0, "29.7.2\n"), good.stderr
    ran = docker("good", "good", "run", "--rm", "alpine", "hostname", "-i")
    assert ran.stdout.startswith("172.17."), ran.stderr
    typed = docker("good", "good", "run", "-i", "--rm", "alpine", "sh", "-c", "cat; echo end", input="typed\n")
    assert typed.stdout == "typed\nend\n", typed.stderr
    foreign = docker("good", "other", "version", "--format", "{{.Server.Version}}")
    assert foreign.returncode != 0
    assert "tls" in foreign.stderr
    wrong_server = docker("other", "good", "version", "--format", "{{.Server.Version}}")
    assert wrong_server.returncode != 0
    assert "certificate" in wrong_server.stderr


@pytest.mark.parametrize("address", ["0.0.0.0", "[::]", "192.0.2.1", ""])
def test_beyond_loopback_there_is_nothing_without_tls(folder, tmp_path, address):
    command = [sys.executable, "-m", "cnmsim", "serve", str(folder / "lab.yml"), "--dir", str(tmp_path / "d")]
    with started(
        [*command, "--tcp", f"{address}:0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        if not address:  # without one it is loopback
            until_ready(tmp_path / "d", process)
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=PATIENCE_S)
            assert "node1: DOCKER_HOST=tcp://127.0.0.1:" in out
            return
        _, error = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert f"refusing to listen on {address.strip('[]')} without TLS: only loopback is served in the clear" in error


def test_a_key_of_another_certificate_is_refused_with_a_sentence(folder, tmp_path):
    done = subprocess.run(
        [*serve_command(folder)[:5], "--dir", str(tmp_path / "d"), "--tcp", "127.0.0.1:0", "--tlsverify",
         f"--tlscacert={folder}/good-ca.pem", f"--tlscert={folder}/good-server.pem",
         f"--tlskey={folder}/other-server-key.pem"],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "key" in done.stderr.lower()
