"""A Docker plugin for tests: a network driver and an IPAM driver behind a Unix socket, in a thread of this program.

It does by itself what a plugin does, with devices that it makes on a simulated host; a test says which answers are to be others, and
looks at what was asked.

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
    """A call that the plugin got: its method, such as `NetworkDriver.Join`, its body (`None` if empty) and its headers."""

    method: str
    body: dict[str, Any] | None
    headers: dict[str, str] = field(hash=False, repr=False)


@frozen
class Fault:
    """An answer that is none: these bytes with this HTTP status, after `delay_s` seconds of real time.

    `hang_up` ends the connection in place of an answer; `length` is the Content-Length that is claimed, if another than the
    body's; with `does_work` the plugin first does what it was asked for.
    """

    body: bytes = b"{}"
    status: int = 200
    delay_s: float = 0.0
    hang_up: bool = False
    length: int | None = None
    does_work: bool = False


class Refusal(Exception):
    """What the plugin has against a call; becomes the `Err` or `Error` of its answer."""


#: What a test may have a method answer: JSON, a function of the call's body that gives it, or a fault.
Reply: TypeAlias = "dict[str, Any] | Callable[[dict[str, Any] | None], dict[str, Any]] | Fault"


class PluginServer:
    """Listens at `FOLDER/NAME.sock` for the length of a block.

    `replies` are answers by method that replace the plugin's own, and may change at any time; `calls` is what was asked so far.
    `host`, of `lab`, is where it makes its devices: a bridge a network and a veth an endpoint. Without one it makes none, and joins
    give no interface. Pools are 10.78.0.0/24, 10.78.1.0/24, …
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
        """List the methods that were called, from call number `since` on."""
        return [call.method for call in self.calls[since:]]

    # --- its life

    def start(self) -> None:
        """Begin to listen. Raises `OSError`."""
        self.path.unlink(missing_ok=True)
        plugin = self

        class Handler(_Handler):
            owner = plugin

        self._server = _Server(str(self.path), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), name="plugin", daemon=True).start()

    def stop(self) -> None:
        """End: the socket stays as a dead process leaves it, and nobody listens."""
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

    # --- its answers

    def answer(self, call: PluginCall) -> Fault:
        """Give the answer to a call."""
        self.calls.append(call)
        reply = self.replies.get(call.method)
        if isinstance(reply, Fault):
            if reply.does_work:
                self._own_reply(call)
            return reply
        if reply is None:
            return self._own_reply(call)
        said = reply(call.body) if callable(reply) else reply
        return Fault(json.dumps(said).encode())

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
            said = work(call.body or {}) or {}
        except Refusal as refusal:
            said = {error_field: str(refusal)}
        except KeyError as missing:
            said = {error_field: f"unknown: {missing}"}
        return Fault(json.dumps(said).encode())


def _snake(method: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in method).lstrip("_")


@define
class _Devices:
    """Runs programs on the host, in the lab's thread."""

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

    def create_network(self, asked: dict[str, Any]) -> None:
        bridge, ip = f"tp-{asked['NetworkID'][:8]}", self.devices.ip
        gateway = (asked.get("IPv4Data") or [{}])[0].get("Gateway", "")
        ip(f"link add {bridge} type bridge")
        if gateway:
            ip(f"addr add {gateway} dev {bridge}")
        ip(f"link set {bridge} up")
        # FORWARD drops what nobody accepts, and br_netfilter sends what is bridged through it.
        self.devices.run(f"iptables -I FORWARD -i {bridge} -o {bridge} -j ACCEPT")
        self.gateways[asked["NetworkID"]] = gateway.partition("/")[0]

    def delete_network(self, asked: dict[str, Any]) -> None:
        self.gateways.pop(asked["NetworkID"], None)
        bridge = f"tp-{asked['NetworkID'][:8]}"
        self.devices.run(f"iptables -D FORWARD -i {bridge} -o {bridge} -j ACCEPT")
        self.devices.ip(f"link del {bridge}")

    def create_endpoint(self, asked: dict[str, Any]) -> dict[str, Any]:
        near, far, ip = f"tn{asked['EndpointID'][:7]}", f"tf{asked['EndpointID'][:7]}", self.devices.ip
        ip(f"link add {near} type veth peer name {far}")
        ip(f"link set {near} master tp-{asked['NetworkID'][:8]}")
        ip(f"link set {near} up")
        if asked["Interface"]["MacAddress"] or not asked["Interface"]["Address"]:
            return {}
        address = ipaddress.ip_interface(asked["Interface"]["Address"]).ip
        return {"Interface": {"MacAddress": "02:78:" + address.packed.hex(":")}}

    def delete_endpoint(self, asked: dict[str, Any]) -> None:
        self.devices.ip(f"link del tn{asked['EndpointID'][:7]}")

    def endpoint_oper_info(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"Value": {"device": f"tn{asked['EndpointID'][:7]}"}}

    def join(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self.devices.host is None:
            return {"DisableGatewayService": True}
        names = {"SrcName": f"tf{asked['EndpointID'][:7]}", "DstPrefix": "eth"}
        return {"InterfaceName": names, "Gateway": self.gateways.get(asked["NetworkID"], "")}

    def leave(self, asked: dict[str, Any]) -> None:
        del asked

    program_external_connectivity = revoke_external_connectivity = discover_new = discover_delete = leave


@define
class _Pools:
    pools: dict[str, set[ipaddress.IPv4Address | ipaddress.IPv6Address]] = field(factory=dict)

    def get_capabilities(self, asked: dict[str, Any]) -> dict[str, Any]:
        del asked
        return {"RequiresMACAddress": False}

    def get_default_address_spaces(self, asked: dict[str, Any]) -> dict[str, Any]:
        del asked
        return {"LocalDefaultAddressSpace": "test-local", "GlobalDefaultAddressSpace": "test-global"}

    def request_pool(self, asked: dict[str, Any]) -> dict[str, Any]:
        free = (f"10.78.{number}.0/24" for number in itertools.count() if f"10.78.{number}.0/24" not in self.pools)
        pool = asked["Pool"] or next(free)
        if pool in self.pools:
            raise Refusal(f"{pool} is taken")
        self.pools[pool] = set()
        return {"PoolID": pool, "Pool": pool}

    def release_pool(self, asked: dict[str, Any]) -> None:
        del self.pools[asked["PoolID"]]

    def request_address(self, asked: dict[str, Any]) -> dict[str, Any]:
        pool, taken = ipaddress.ip_network(asked["PoolID"]), self.pools[asked["PoolID"]]
        wanted = asked["Address"]
        found = ipaddress.ip_address(wanted) if wanted else next((a for a in pool.hosts() if a not in taken), None)
        if found is None or found in taken:
            raise Refusal(f"{found} is taken" if found else f"{pool} is used up")
        taken.add(found)
        return {"Address": f"{found}/{pool.prefixlen}"}

    def release_address(self, asked: dict[str, Any]) -> None:
        self.pools[asked["PoolID"]].discard(ipaddress.ip_address(asked["Address"]))


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
            self.close_connection = True  # the engine has read enough
        if answer.length is not None:
            self.close_connection = True

    def address_string(self) -> str:
        """Name the client, which has no address."""
        return "docker"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Print nothing: `calls` has it."""


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
