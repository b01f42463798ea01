#!/usr/bin/env python3
"""A Docker network and IPAM plugin that uses only Python's standard library.

A network is a Linux bridge that this plugin makes with `ip`; an endpoint is a veth pair with one end in that bridge,
and Docker moves the other end into the container. The plugin accepts traffic across the bridge with `iptables`.
Address pools are 10.77.0.0/24, 10.77.1.0/24, …

It works with a real engine and with a simulated one. With a real one, as root:

    python3 wire.py /run/docker/plugins/wire.sock

With cnmsim, in a shell whose `ip` is that of a simulated host:

    cnmsim serve lab.yml --dir $XDG_RUNTIME_DIR/lab --plugin-dir $XDG_RUNTIME_DIR/plugins &
    cnmsim sh --dir $XDG_RUNTIME_DIR/lab node1
    node1# python3 wire.py $XDG_RUNTIME_DIR/plugins/wire.sock

and then, in both cases: docker network create -d wire --ipam-driver wire fabric
"""

import argparse
import http.server
import ipaddress
import itertools
import json
import os
import socketserver
import subprocess


class Refused(Exception):
    """A refusal; its text becomes the `Err` or `Error` of the reply."""


def run(program, *words):
    done = subprocess.run([program, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise Refused(f"{program} {' '.join(words)}: {done.stdout.strip()}")


def ip(*words):
    run("ip", *words)


def accept(change, bridge):
    """Accept the bridge's traffic in FORWARD, whose policy Docker sets to DROP; br_netfilter sends bridged packets
    through it.
    """
    run("iptables", change, "FORWARD", "-i", bridge, "-o", bridge, "-j", "ACCEPT")


class NetworkDriver:
    """The calls of a Docker network driver. State is kept in memory only, as in most plugins."""

    def __init__(self):
        self.networks = {}
        self.gateways = {}

    def get_capabilities(self, _):
        return {"Scope": "local", "ConnectivityScope": "local"}

    def create_network(self, asked):
        bridge = f"wr-{asked['NetworkID'][:8]}"
        gateway = (asked.get("IPv4Data") or [{}])[0].get("Gateway", "")
        ip("link", "add", bridge, "type", "bridge")
        if gateway:
            ip("addr", "add", gateway, "dev", bridge)
        ip("link", "set", bridge, "up")
        accept("-I", bridge)
        self.networks[asked["NetworkID"]] = bridge
        self.gateways[asked["NetworkID"]] = gateway.partition("/")[0]

    def delete_network(self, asked):
        bridge = self.networks.pop(asked["NetworkID"])
        accept("-D", bridge)
        ip("link", "del", bridge)

    def create_endpoint(self, asked):
        near, far = self.cable(asked)
        ip("link", "add", near, "type", "veth", "peer", "name", far)
        ip("link", "set", near, "master", self.networks[asked["NetworkID"]])
        ip("link", "set", near, "up")
        if asked["Interface"]["MacAddress"]:
            return {"Interface": None}
        address = ipaddress.ip_interface(asked["Interface"]["Address"])
        return {"Interface": {"MacAddress": "02:77:" + address.packed.hex(":")}}

    def delete_endpoint(self, asked):
        ip("link", "del", self.cable(asked)[0])

    def endpoint_oper_info(self, asked):
        return {"Value": {"cable": self.cable(asked)[0]}}

    def join(self, asked):
        return {
            "InterfaceName": {"SrcName": self.cable(asked)[1], "DstPrefix": "wire"},
            "Gateway": self.gateways[asked["NetworkID"]],
        }

    def leave(self, asked):
        pass

    def program_external_connectivity(self, asked):
        pass

    def revoke_external_connectivity(self, asked):
        pass

    @staticmethod
    def cable(asked):
        return f"wn{asked['EndpointID'][:7]}", f"wf{asked['EndpointID'][:7]}"


class IpamDriver:
    """The calls of a Docker IPAM driver: whole pools, and the lowest free address of each."""

    def __init__(self):
        self.pools = {}
        self.taken = {}

    def get_capabilities(self, _):
        return {"RequiresMACAddress": False, "RequiresRequestReplay": True}

    def get_default_address_spaces(self, _):
        return {"LocalDefaultAddressSpace": "wire-local", "GlobalDefaultAddressSpace": "wire-global"}

    def request_pool(self, asked):
        if asked["V6"]:
            raise Refused("wire has no IPv6 pools")
        wanted = asked["Pool"] or next(
            f"10.77.{number}.0/24" for number in itertools.count() if f"10.77.{number}.0/24" not in self.pools
        )
        if wanted in self.pools:
            raise Refused(f"{wanted} is taken")
        pool = self.pools[wanted] = ipaddress.ip_network(wanted)
        self.taken[wanted] = {pool.network_address, pool.broadcast_address}
        return {"PoolID": wanted, "Pool": wanted, "Data": {}}

    def release_pool(self, asked):
        del self.pools[asked["PoolID"]]
        del self.taken[asked["PoolID"]]

    def request_address(self, asked):
        pool, taken = self.pools[asked["PoolID"]], self.taken[asked["PoolID"]]
        if asked["Address"]:
            address = ipaddress.ip_address(asked["Address"])
            if address in taken:
                raise Refused(f"{address} is taken")
        else:
            address = next((each for each in pool if each not in taken), None)
            if address is None:
                raise Refused(f"{pool} is used up")
        taken.add(address)
        return {"Address": f"{address}/{pool.prefixlen}", "Data": {}}

    def release_address(self, asked):
        self.taken[asked["PoolID"]].discard(ipaddress.ip_address(asked["Address"]))


DRIVERS = {"NetworkDriver": (NetworkDriver(), "Err"), "IpamDriver": (IpamDriver(), "Error")}


class Handler(http.server.BaseHTTPRequestHandler):
    """Handle POST /<Driver>.<Method> with a JSON body; reply with a JSON body."""

    protocol_version = "HTTP/1.1"
    log_file = None

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = json.loads(body) if body.strip() else None
        status, reply = self.answer(self.path.removeprefix("/"), asked)
        if self.log_file:
            with open(self.log_file, "a", encoding="utf-8") as log:
                log.write(
                    json.dumps({"call": self.path[1:], "headers": dict(self.headers), "body": asked, "reply": reply})
                    + "\n"
                )
        content = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.docker.plugins.v1.2+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def answer(self, path, asked):
        if path == "Plugin.Activate":
            return 200, {"Implements": list(DRIVERS)}
        name, _, method = path.partition(".")
        driver, failure = DRIVERS.get(name, (None, "Err"))
        call = getattr(driver, "".join(f"_{c.lower()}" if c.isupper() else c for c in method).lstrip("_"), None)
        if call is None:
            return 404, {failure: f"{path} is not implemented"}
        try:
            return 200, call(asked) or {}
        except Refused as refusal:
            return 200, {failure: str(refusal)}

    def address_string(self):
        return "docker"  # a Unix socket's client has no address

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("socket", help="where to listen: the file's name without .sock is the plugin's")
    parser.add_argument("--log", help="append each call and its reply to this file, a JSON object a line")
    options = parser.parse_args()
    Handler.log_file = options.log
    if os.path.exists(options.socket):
        os.unlink(options.socket)
    with Server(options.socket, Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
