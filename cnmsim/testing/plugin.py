"""A Docker plugin for tests: a network driver and an IPAM driver behind a Unix socket, in a thread of this process.

The plugin creates real devices on a simulated host. A test can replace single replies and inspect the calls.

>>> with PluginServer(folder, lab.host("node1"), lab) as plugin:           # doctest: +SKIP
...     plugin.replies["NetworkDriver.Join"] = {"Err": "no room"}
...     ...
...     assert plugin.methods() == ["Plugin.Activate", …]
"""

from __future__ import annotations

import http.server
import ipaddress
import itertools
import json
import socketserver
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from attrs import define, field, frozen

from cnmsim.api.plugin_control import run_at_once

if TYPE_CHECKING:
    from cnmsim.lab import Host, Lab


@frozen
class PluginCall:
    """A call that the plugin received: its method, such as `NetworkDriver.Join`, its body, and its headers.

    The body is the decoded JSON; it is `None` if the call has none.
    """

    method: str
    body: dict[str, Any] | None
    headers: dict[str, str] = field(hash=False, repr=False)


@frozen
class Fault:
    """A reply that a test sets in place of the plugin's own reply: the bytes `body` with the HTTP status `status`.

    The plugin sends it after `delay_s` seconds of real time. With `hang_up` the plugin closes the connection instead.
    `length` replaces the true Content-Length. With `does_work` the plugin executes the call before it sends the
    reply.
    """

    body: bytes = b"{}"
    status: int = 200
    delay_s: float = 0.0
    hang_up: bool = False
    length: int | None = None
    does_work: bool = False


class Refusal(Exception):
    """Raised when the plugin refuses a call. The text is sent as `Err` or `Error` in the reply."""


#: A reply set by a test: JSON, a function that returns JSON for the call's body, or a fault.
Reply: TypeAlias = "dict[str, Any] | Callable[[dict[str, Any] | None], dict[str, Any]] | Fault"


class PluginServer:
    """A plugin that listens on the socket `FOLDER/NAME.sock` during a `with` block.

    `replies` maps methods to replies that the plugin sends instead of its own; it may be changed at any time. `calls`
    contains the calls received so far. If `host` (a host of `lab`) is set, the plugin creates a bridge there for each
    network and a veth for each endpoint; otherwise it creates no devices, and Join returns no interface. Its IPAM
    driver assigns the pools 10.78.0.0/24, 10.78.1.0/24, …
    """

    def __init__(
        self,
        folder: Path,
        host: Host | None = None,
        lab: Lab | None = None,
        *,
        name: str = "test",
        scope: str = "local",
        implements: tuple[str, ...] = ("NetworkDriver", "IpamDriver"),
    ) -> None:
        if (host is None) != (lab is None):
            raise ValueError("a plugin that makes devices needs the host and its lab")
        self.name = name
        self.path = folder / f"{name}.sock"
        self.implements = implements
        self.replies: dict[str, Reply] = {}
        self.calls: list[PluginCall] = []
        self.capabilities: dict[str, Any] = {"Scope": scope}
        self._devices = _Devices(host, lab)
        self._network = _Network(self._devices)
        self._pools = _Pools()
        self._server: socketserver.UnixStreamServer | None = None

    def methods(self, since: int = 0) -> list[str]:
        """Return the methods of the received calls. The first `since` calls are left out."""
        return [call.method for call in self.calls[since:]]

    # --- start and stop

    def start(self) -> None:
        """Start listening. Raises `OSError` if the socket cannot be opened."""
        self.path.unlink(missing_ok=True)
        plugin = self

        class Handler(_Handler):
            owner = plugin

        self._server = _Server(str(self.path), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), name="plugin", daemon=True).start()

    def stop(self) -> None:
        """Stop listening. The socket file remains, as it does when a process is killed."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self.path.unlink(missing_ok=True)

    # --- replies

    def answer(self, call: PluginCall) -> Fault:
        """Record a call and return its reply as a `Fault`.

        It is the reply that the test has set for the method or, if there is none, the driver's own.
        """
        self.calls.append(call)
        reply = self.replies.get(call.method)
        if isinstance(reply, Fault):
            if reply.does_work:
                self._own_reply(call)
            return reply
        if reply is None:
            return self._own_reply(call)
        content = reply(call.body) if callable(reply) else reply
        return Fault(json.dumps(content).encode())

    def _own_reply(self, call: PluginCall) -> Fault:
        service, _, method = call.method.partition(".")
        error_field = "Error" if service == "IpamDriver" else "Err"
        if call.method == "Plugin.Activate":
            return Fault(json.dumps({"Implements": list(self.implements)}).encode())
        if call.method == "NetworkDriver.GetCapabilities":
            return Fault(json.dumps(self.capabilities).encode())
        driver = {"NetworkDriver": self._network, "IpamDriver": self._pools}.get(service)
        work = getattr(driver, _snake(method), None)
        if work is None:
            return Fault(json.dumps({error_field: f"{call.method} is not implemented"}).encode(), status=404)
        try:
            content = work(call.body or {}) or {}
        except Refusal as refusal:
            content = {error_field: str(refusal)}
        except KeyError as missing:
            content = {error_field: f"unknown: {missing}"}
        return Fault(json.dumps(content).encode())


def _snake(method: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in method).lstrip("_")


@define
class _Devices:
    """Runs commands on the simulated host, in the thread that runs the lab; without a host it does nothing."""

    host: Host | None
    lab: Lab | None

    def ip(self, words: str) -> None:
        self.run(f"ip {words}")

    def run(self, words: str) -> None:
        if self.host is None or self.lab is None:
            return
        lab, name = self.lab, self.host.name
        status, printed, complaint = lab.executor.submit(lambda: run_at_once(lab, name, words.split())).result(10)
        if status:
            raise Refusal(f"{words}: {(complaint or printed).decode().strip()}")


@define
class _Network:
    devices: _Devices
    gateways: dict[str, str] = field(factory=dict)

    def create_network(self, request: dict[str, Any]) -> None:
        bridge, ip = f"tp-{request['NetworkID'][:8]}", self.devices.ip
        gateway = (request.get("IPv4Data") or [{}])[0].get("Gateway", "")
        ip(f"link add {bridge} type bridge")
        if gateway:
            ip(f"addr add {gateway} dev {bridge}")
        ip(f"link set {bridge} up")
        # br_netfilter passes bridged packets to FORWARD, which drops packets that no rule accepts.
        self.devices.run(f"iptables -I FORWARD -i {bridge} -o {bridge} -j ACCEPT")
        self.gateways[request["NetworkID"]] = gateway.partition("/")[0]

    def delete_network(self, request: dict[str, Any]) -> None:
        self.gateways.pop(request["NetworkID"], None)
        bridge = f"tp-{request['NetworkID'][:8]}"
        self.devices.run(f"iptables -D FORWARD -i {bridge} -o {bridge} -j ACCEPT")
        self.devices.ip(f"link del {bridge}")

    def create_endpoint(self, request: dict[str, Any]) -> dict[str, Any]:
        near, far, ip = f"tn{request['EndpointID'][:7]}", f"tf{request['EndpointID'][:7]}", self.devices.ip
        ip(f"link add {near} type veth peer name {far}")
        ip(f"link set {near} master tp-{request['NetworkID'][:8]}")
        ip(f"link set {near} up")
        if request["Interface"]["MacAddress"] or not request["Interface"]["Address"]:
            return {}
        address = ipaddress.ip_interface(request["Interface"]["Address"]).ip
        return {"Interface": {"MacAddress": "02:78:" + address.packed.hex(":")}}

    def delete_endpoint(self, request: dict[str, Any]) -> None:
        self.devices.ip(f"link del tn{request['EndpointID'][:7]}")

    def endpoint_oper_info(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"Value": {"device": f"tn{request['EndpointID'][:7]}"}}

    def join(self, request: dict[str, Any]) -> dict[str, Any]:
        if self.devices.host is None:
            return {"DisableGatewayService": True}
        names = {"SrcName": f"tf{request['EndpointID'][:7]}", "DstPrefix": "eth"}
        return {"InterfaceName": names, "Gateway": self.gateways.get(request["NetworkID"], "")}

    def leave(self, request: dict[str, Any]) -> None:
        del request

    program_external_connectivity = revoke_external_connectivity = discover_new = discover_delete = leave


@define
class _Pools:
    pools: dict[str, set[ipaddress.IPv4Address | ipaddress.IPv6Address]] = field(factory=dict)

    def get_capabilities(self, request: dict[str, Any]) -> dict[str, Any]:
        del request
        return {"RequiresMACAddress": False}

    def get_default_address_spaces(self, request: dict[str, Any]) -> dict[str, Any]:
        del request
        return {"LocalDefaultAddressSpace": "test-local", "GlobalDefaultAddressSpace": "test-global"}

    def request_pool(self, request: dict[str, Any]) -> dict[str, Any]:
        free = (f"10.78.{number}.0/24" for number in itertools.count() if f"10.78.{number}.0/24" not in self.pools)
        pool = request["Pool"] or next(free)
        if pool in self.pools:
            raise Refusal(f"{pool} is taken")
        self.pools[pool] = set()
        return {"PoolID": pool, "Pool": pool}

    def release_pool(self, request: dict[str, Any]) -> None:
        del self.pools[request["PoolID"]]

    def request_address(self, request: dict[str, Any]) -> dict[str, Any]:
        pool, allocated = ipaddress.ip_network(request["PoolID"]), self.pools[request["PoolID"]]
        requested = request["Address"]
        address = (
            ipaddress.ip_address(requested)
            if requested
            else next((a for a in pool.hosts() if a not in allocated), None)
        )
        if address is None or address in allocated:
            raise Refusal(f"{address} is taken" if address else f"{pool} is used up")
        allocated.add(address)
        return {"Address": f"{address}/{pool.prefixlen}"}

    def release_address(self, request: dict[str, Any]) -> None:
        self.pools[request["PoolID"]].discard(ipaddress.ip_address(request["Address"]))


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: PluginServer

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(content) if content.strip() else None
        answer = self.owner.answer(PluginCall(self.path[1:], body, dict(self.headers)))
        time.sleep(answer.delay_s)
        if answer.hang_up:
            self.close_connection = True
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/vnd.docker.plugins.v1.2+json")
        self.send_header("Content-Length", str(len(answer.body) if answer.length is None else answer.length))
        self.end_headers()
        try:
            self.wfile.write(answer.body)
        except OSError:
            self.close_connection = True  # the engine has closed the connection
        if answer.length is not None:
            self.close_connection = True

    def address_string(self) -> str:
        """Return a fixed name for the client, as the client of a Unix socket has no address."""
        return "docker"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Log nothing: `calls` records every call."""


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
