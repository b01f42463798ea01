"""A client of the Engine API without a client library, and a lab to serve."""

import http.client
import json
import socket

from support.patience import PATIENCE_S

from cnmsim import Lab


class UnixHTTP(http.client.HTTPConnection):
    """HTTP over the engine's socket."""

    def __init__(self, path, timeout=PATIENCE_S):
        super().__init__("docker", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Api:
    """What a test needs to talk to an engine without a client library."""

    def __init__(self, path):
        self.path = path

    def call(self, method, target, body=None, headers=None):
        """Return status and body, read as JSON where it is."""
        connection = UnixHTTP(self.path)
        data = body if isinstance(body, bytes | type(None)) else json.dumps(body).encode()
        try:
            connection.request(method, target, data, {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        is_json = answer.headers.get("Content-Type", "") == "application/json"
        return answer.status, json.loads(content) if is_json and content.strip() else content

    def raw(self, data, *, half_close=False):
        """Send bytes on a socket of its own and give it back."""
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(PATIENCE_S)
            sock.connect(str(self.path))
            sock.sendall(data)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
        except OSError:
            sock.close()
            raise
        return sock

    def container(self, name, command=("sleep", "1d"), **config):
        """Create and start a container; give its id."""
        status, made = self.call(
            "POST", f"/containers/create?name={name}", {"Image": "alpine", "Cmd": list(command), **config}
        )
        assert status == 201, made
        assert self.call("POST", f"/containers/{name}/start")[0] == 204
        return made["Id"]


def new_lab(version="29.7.2"):
    lab = Lab(engine=version)
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    lab.add_host("client", "10.0.0.50/24")
    return lab


def everything(sock):
    """Read until the other side closes."""
    data = b""
    with sock:
        while part := sock.recv(65536):
            data += part
    return data


def frames(data):
    """Take multiplexed output apart into (stream number, bytes)."""
    found = []
    while data:
        size = int.from_bytes(data[4:8])
        found.append((data[0], data[8 : 8 + size]))
        data = data[8 + size :]
    return found
