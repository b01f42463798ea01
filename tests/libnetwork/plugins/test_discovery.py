"""Where plugins are found, and how they are reached: Unix sockets, TCP and TLS."""

from __future__ import annotations

import datetime as dt
import http.server
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmsim import Lab
from cnmsim.errors import SystemFault
from cnmsim.gojson.scanner import GoJsonError
from cnmsim.gojson.unmarshal import STRING_MAP, Bool, Int, Nullable, Str, Struct, unmarshal
from cnmsim.libnetwork.plugins import PluginPolicy, find_plugin, scan_plugins
from cnmsim.libnetwork.plugins.discovery import TlsFiles


def make_socket(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def test_a_socket_comes_before_a_spec_and_a_spec_before_json(tmp_path: Path) -> None:
    assert find_plugin("x", [tmp_path]) is None
    (tmp_path / "x.json").write_text('{"Addr": "tcp://10.0.0.1:9"}')
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "x.json").write_text('{"Addr": "tcp://10.0.0.2:9"}')
    found = find_plugin("x", [tmp_path])
    assert found is not None and found.url == "tcp://10.0.0.1:9" and found.tls is None
    (tmp_path / "x" / "x.spec").write_text("tcp://10.0.0.3:9\n")
    found = find_plugin("x", [tmp_path])
    assert found is not None and found.url == "tcp://10.0.0.3:9"
    make_socket(tmp_path / "x" / "x.sock")
    found = find_plugin("x", [tmp_path])
    assert found is not None and found.url == f"unix://{tmp_path}/x/x.sock"


def test_the_earlier_folder_comes_first_but_a_socket_anywhere_before_all_files(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    (first / "x.json").write_text('{"Addr": "tcp://10.0.0.1:9"}')
    (second / "x.spec").write_text("tcp://10.0.0.2:9")
    found = find_plugin("x", [first, second])
    assert found is not None and found.url == "tcp://10.0.0.1:9"
    make_socket(second / "x.sock")
    found = find_plugin("x", [first, second])
    assert found is not None and found.url.startswith("unix://")


def test_what_is_no_socket_is_no_plugin(tmp_path: Path) -> None:
    (tmp_path / "x.sock").write_text("")
    assert find_plugin("x", [tmp_path]) is None
    assert find_plugin("../x", [tmp_path / "below"]) is None


def test_wrong_files(tmp_path: Path) -> None:
    (tmp_path / "x.spec").write_text("somewhere")
    with pytest.raises(SystemFault, match=r"^Unknown protocol$"):
        find_plugin("x", [tmp_path])
    (tmp_path / "x.spec").unlink()
    (tmp_path / "x.json").write_text('{"Addr": 5}')
    with pytest.raises(SystemFault) as caught:
        find_plugin("x", [tmp_path])
    assert caught.value.message == "json: cannot unmarshal number into Go struct field Plugin.Addr of type string"


def test_tls_files_of_a_json_file(tmp_path: Path) -> None:
    tls = {"CAFile": "/ca.pem", "CertFile": "/cert.pem", "KeyFile": "/key.pem", "InsecureSkipVerify": False}
    (tmp_path / "x.json").write_text(json.dumps({"Name": "x", "Addr": "https://h:1", "TLSConfig": tls}))
    found = find_plugin("x", [tmp_path])
    assert found is not None and found.tls == TlsFiles("/ca.pem", "/cert.pem", "/key.pem", False)
    (tmp_path / "x.json").write_text(json.dumps({"Addr": "https://h:1", "TLSConfig": {}}))
    found = find_plugin("x", [tmp_path])
    assert found is not None and found.tls == TlsFiles(skip_verify=True)


def test_every_plugin_of_a_folder_is_listed(tmp_path: Path) -> None:
    make_socket(tmp_path / "one.sock")
    make_socket(tmp_path / "two" / "two.sock")
    (tmp_path / "three.spec").write_text("tcp://h:1")
    (tmp_path / "four.json").write_text("{}")
    (tmp_path / "note.txt").write_text("")
    (tmp_path / "empty").mkdir()
    assert scan_plugins([tmp_path, tmp_path / "none"]) == ["four", "one", "three", "two"]


# --- TCP and TLS


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hosts: list[str | None] = []  # noqa: RUF012 - one test's

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hosts.append(self.headers["Host"])
        said = {
            "Plugin.Activate": {"Implements": ["NetworkDriver"]},
            "NetworkDriver.GetCapabilities": {"Scope": "local"},
        }
        content = json.dumps(said.get(self.path[1:], {})).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Make a certificate of 127.0.0.1, which is its own CA, with its key in one file."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "plugin")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "cert.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


@pytest.fixture
def served() -> Iterator[http.server.ThreadingHTTPServer]:
    Handler.hosts.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def lab_with(folder: Path) -> Lab:
    lab = Lab(plugin_dirs=[folder], plugin_policy=PluginPolicy(give_up_s=0))
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    return lab


@pytest.mark.parametrize("scheme", ["tcp", "http"])
def test_a_plugin_over_tcp(tmp_path: Path, served: http.server.ThreadingHTTPServer, scheme: str) -> None:
    place = f"127.0.0.1:{served.server_port}"
    (tmp_path / "far.spec").write_text(f"{scheme}://{place}")
    engine = lab_with(tmp_path).host("node1").docker
    network = engine.networks.create("f", driver="far")
    network.remove()
    assert set(Handler.hosts) == {place}
    served.shutdown()
    served.server_close()
    with pytest.raises(SystemFault) as caught:
        engine.networks.create("f", driver="far")
    assert caught.value.message == (
        f'Post "http://{place}/NetworkDriver.CreateNetwork": dial tcp {place}: connect: connection refused'
    )


def test_a_plugin_over_tls_shows_the_certificate_that_was_asked_for(
    tmp_path: Path, served: http.server.ThreadingHTTPServer, certificate: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.load_verify_locations(certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    served.socket = context.wrap_socket(served.socket, server_side=True)
    files = {"CAFile": str(certificate), "CertFile": str(certificate), "KeyFile": str(certificate)}
    address = f"https://127.0.0.1:{served.server_port}"
    (tmp_path / "far.json").write_text(json.dumps({"Addr": address, "TLSConfig": files}))
    (tmp_path / "strange.json").write_text(json.dumps({"Addr": address}))
    engine = lab_with(tmp_path).host("node1").docker
    engine.networks.create("f", driver="far").remove()
    with pytest.raises(SystemFault, match="tls: failed to verify certificate: x509: "):
        engine.networks.create("f", driver="strange")


# --- JSON


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    )
)
def test_whatever_json_there_is_is_read_or_refused_in_gos_words(value: object) -> None:
    struct = Struct("api.Answer", (Str("Name"), Int("Size", "int"), Bool("Is"), Nullable("All", STRING_MAP)))
    try:
        found = unmarshal(json.dumps(value).encode(), struct)
    except GoJsonError as error:
        assert str(error).startswith("json: cannot unmarshal ")
    else:
        assert value is None or isinstance(value, dict)
        assert set(found) == {"Name", "Size", "Is", "All"}


@given(st.binary(max_size=60))
def test_whatever_bytes_there_are_are_read_or_refused(content: bytes) -> None:
    try:
        unmarshal(content, Struct("api.Answer", (Str("Name"),)))
    except GoJsonError as error:
        assert str(error)


@given(st.text(alphabet='{}[]",:1tfn\\u ', max_size=20))
def test_broken_json_has_a_reason(text: str) -> None:
    try:
        json.loads(text)
    except ValueError:
        is_whole = False
    else:
        is_whole = True
    try:
        unmarshal(text.encode(), Struct("api.Answer", ()))
    except GoJsonError as error:
        said = str(error)
        known = ("EOF", "unexpected EOF", "invalid character ", "json: cannot unmarshal ")
        assert said.startswith(known) and (not is_whole or said.startswith("json: "))
