"""A machine with a controller on it, and the few words in which these tests speak of it."""

from __future__ import annotations

import re
from typing import Any

from support.port_spec import parse_port_spec, port_map, read_port_bindings

from cnmsim.kernel.address import parse_ip
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.device import Nic
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.netfilter.nftables import NfTables
from cnmsim.libnetwork.config import DaemonConfig
from cnmsim.libnetwork.controller import Controller
from cnmsim.libnetwork.endpoint import Endpoint
from cnmsim.libnetwork.network import Network
from cnmsim.libnetwork.options import EndpointOptions, IpamConfig, NetworkOptions, SandboxOptions
from cnmsim.libnetwork.profile import PROFILES
from cnmsim.libnetwork.sandbox import Sandbox

VERSIONS = tuple(PROFILES)


class DockerHost:
    def __init__(self, version: str = "29.7.2", *, start: bool = True, **config: Any) -> None:
        self.clock = Clock()
        self.machine = Machine("node1", self.clock)
        root = self.machine.root
        root.loopback.set_up()
        nic = Nic("eth0", b"\x02\x00\x00\x00\x00\x15", self.clock)
        root.add_device(nic)
        root.add_address(nic, "10.0.0.15/24")
        nic.set_up()
        if config.get("firewall_backend") == "nftables":
            # That engine leaves it to the operator to have the host forward.
            for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv6.conf.default.forwarding"):
                root.sysctl_set(key, "1")
        self.profile = PROFILES[version]
        self.controller = Controller(self.machine, self.profile, DaemonConfig(**config))
        self.networks: list[Network] = []
        self.sandboxes: dict[str, Sandbox] = {}
        if start:
            self.controller.start()
            self.clock.run_ready()

    def network(self, name: str, *subnets: str, driver: str = "bridge", **options: Any) -> Network:
        ipam = [IpamConfig(*subnet.split(" ")) for subnet in subnets]
        made = self.controller.new_network(name, driver, options=NetworkOptions(ipam_config=ipam, **options))
        self.networks.append(made)
        return made

    def sandbox(self, name: str, *published: str, **options: Any) -> Sandbox:
        specs = [spec for text in published for spec in parse_port_spec(text)]
        bindings = read_port_bindings(self.profile, port_map(specs))
        identity = name.encode().hex().ljust(64, "0")
        asked = SandboxOptions(name=name, hostname=identity[:12], port_bindings=bindings, **options)
        self.sandboxes[name] = self.controller.new_sandbox(identity, options=asked)
        return self.sandboxes[name]

    def run(
        self, name: str, network: str, *published: str, ipv4: str = "", ipv6: str = "", **options: Any
    ) -> Endpoint:
        self.sandbox(name, *published, **options)
        try:
            return self.connect(name, network, ipv4=ipv4, ipv6=ipv6)
        except Exception:
            self.remove(name)
            raise

    def connect(
        self, name: str, network: str, *, ipv4: str = "", ipv6: str = "", gw_priority: int = 0, **options: Any
    ) -> Endpoint:
        asked = EndpointOptions(
            ipv4=parse_ip(ipv4) if ipv4 else None,
            ipv6=parse_ip(ipv6) if ipv6 else None,
            dns_names=[] if network == "bridge" else [name],
            disable_resolution=network == "bridge",
            namespace=self.sandboxes[name].namespace,
            **options,
        )
        endpoint = self.controller.find_network(network).create_endpoint(name, options=asked)
        try:
            endpoint.join(self.sandboxes[name], gw_priority=gw_priority)
        except Exception:
            endpoint.delete(force=True)
            raise
        finally:
            self.clock.run_ready()
        return endpoint

    def disconnect(self, name: str, network: str) -> None:
        endpoint = self.controller.find_network(network).endpoint_by_name(name)
        assert endpoint is not None
        endpoint.leave()
        endpoint.delete()

    def remove(self, name: str) -> None:
        self.sandboxes.pop(name).delete()

    def saved(self, program: str, table: str) -> str:
        """What `iptables-save -t TABLE` prints, with bridges named after the order of their networks."""
        tables = self.machine.root.netfilter.iptables(6 if program.startswith("ip6") else 4)
        # A table nobody wrote to is not printed; the program brings it up by asking for it.
        text = tables.save(table) or _untouched(table)
        for number, network in enumerate(self.networks):
            text = text.replace(f"br-{network.id[:12]}", f"br-<{number}>")
        return _without_counters(text)

    def rules(self, chain: str, table: str = "filter", *, family: int = 4) -> list[str]:
        """The rules of one chain, as `iptables -S` lists them, without the chain's name."""
        lines = self.saved("ip6tables" if family == 6 else "iptables", table).splitlines()
        return [line.removeprefix(f"-A {chain} ") for line in lines if line.startswith(f"-A {chain} ")]

    def nft_chains(self, *, family: int = 4, table: str = "docker-bridges") -> dict[str, list[str]]:
        """The rules of each chain of a table of nftables, without counts; bridges are named after their networks."""
        found: dict[str, list[str]] = {}
        text = NfTables.of(self.machine.root.netfilter).execute(
            f"list table {'ip6' if family == 6 else 'ip'} {table}"
        )
        for network in self.networks:
            text = text.replace(f"br-{network.id[:12]}", network.name)
        for line in text.splitlines():
            if line.startswith("\tchain "):
                found[line.split()[1]] = chain = []
            elif line.startswith("\t\t") and found and not line.startswith("\t\ttype"):
                chain.append(re.sub(r"counter packets \d+ bytes \d+", "counter", line.strip()))
        return found

    def snapshot(self) -> tuple[Any, ...]:
        """Everything a failed call must leave alone."""
        root = self.machine.root
        # A bridge keeps its link-local address once it has had a carrier.
        devices = {
            name: [str(a) for a in device.addresses if a.scope != "link"] for name, device in root.devices.items()
        }
        rules = [
            _without_counters(root.netfilter.iptables(family).save(table) or _untouched(table))
            for family in (4, 6)
            for table in ("raw", "mangle", "nat", "filter")
        ]
        held = {key: set(table.used) for key, table in self.controller.allocator._tables.items() if table.used}
        routes = [str(r) for r in (*root.routes4.routes, *root.routes6.routes) if not str(r).startswith("fe80:")]
        processes = sorted(process.argv[0] for process in self.machine.processes.values())
        pools = {
            name: {prefix: len(subnet.allocated) for prefix, subnet in space.subnets.items()}
            for name, space in self.controller.ipams["default"]._spaces.items()
        }
        inside = {
            name: [(device.name, [str(a) for a in device.addresses]) for device in sandbox.namespace.devices.values()]
            for name, sandbox in self.sandboxes.items()
            if sandbox.namespace is not None
        }
        files = {name: sandbox.hosts_file.content for name, sandbox in self.sandboxes.items()}
        names = [(n.name, sorted(e.name for e in n.endpoints.values())) for n in self.controller.networks]
        return devices, rules, held, routes, processes, pools, inside, files, names, len(self.controller.sandboxes)


def without_failed_join(snapshot: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a snapshot without what a join that fails in 26 leaves: the interface, its routes, the hosts line."""
    devices, rules, held, _, processes, pools, _, _, names, sandboxes = snapshot
    devices = {name: addresses for name, addresses in devices.items() if not name.startswith("veth")}
    return devices, rules, held, processes, pools, names, sandboxes


def _untouched(table: str) -> str:
    chains = {
        "raw": ["PREROUTING", "OUTPUT"],
        "mangle": ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
        "nat": ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
        "filter": ["INPUT", "FORWARD", "OUTPUT"],
    }[table]
    return "".join([f"*{table}\n", *(f":{chain} ACCEPT [0:0]\n" for chain in chains), "COMMIT\n"])


def _without_counters(text: str) -> str:
    """Leave out what packets a policy met: that is another story."""
    return re.sub(r"\[\d+:\d+\]", "[0:0]", text)
