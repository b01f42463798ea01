"""A packet filter closes a port between swarm nodes: the cause names host and rule, and the fix was tried."""

from __future__ import annotations

import pytest

from cnmsim import Lab

_NODES = ("node1", "node2", "node3")
#: By port: the host whose filter closes it, and the matches that drop it.
_CLOSED = {
    2377: ("node1", ("tcp dport 2377",)),
    7946: ("node2", ("udp dport 7946", "tcp dport 7946")),
    4789: ("node2", ("udp dport 4789",)),
}
_OTHERS = {
    2377: ("-p udp", "-p tcp --dport 7946", "-p tcp --sport 7946"),
    7946: ("-p udp --dport 4789", "-p tcp --dport 2377", "-p tcp --sport 2377"),
    4789: ("-p tcp", "-p udp --dport 7946"),
}


def _commands(kind: str, port: int, family: int) -> list[str]:
    program = "iptables" if family == 4 else "ip6tables"
    icmp = "icmp" if family == 4 else "ipv6-icmp"
    _host, matches = _CLOSED[port]
    dashed = ["-p {} --dport {}".format(*match.split(" dport ")) for match in matches]
    if kind in {"-A", "-I"}:
        return [f"{program} {kind} INPUT {match} -j DROP" for match in dashed]
    if kind == "legacy":
        return [f"{program}-legacy -A INPUT {match} -j DROP" for match in dashed]
    if kind == "nft rule":
        chain = "nft 'add chain inet guard input { type filter hook input priority 0; }'"
        rules = (f"nft add rule inet guard input {match} drop" for match in matches)
        return ["nft add table inet guard", chain, *rules]
    accepted = (*_OTHERS[port], f"-p {icmp}", "-i lo")
    return [*(f"{program} -A INPUT {match} -j ACCEPT" for match in accepted), f"{program} -P INPUT DROP"]


def _swarm(family: int) -> Lab:
    lab = Lab()
    prefix, size = ("10.1.0.1", 24) if family == 4 else ("fd00::1", 64)
    hosts = [lab.add_host(name, f"{prefix}{number}/{size}", docker=True) for number, name in enumerate(_NODES)]
    engines = [host.docker for host in hosts]
    first = engines[0]
    first.swarm.init(advertise_addr=f"{prefix}0")
    manager = f"{prefix}0:2377" if family == 4 else f"[{prefix}0]:2377"
    for number, engine in enumerate(engines[1:], 1):
        engine.swarm.join(first.swarm.tokens.worker, manager, advertise_addr=f"{prefix}{number}")
    first.networks.create("app", driver="overlay", attachable=True)
    lab.settle()
    first.containers.run("busybox", "sleep 1d", name="c1", network="app", detach=True)
    lab.settle()
    return lab


@pytest.mark.parametrize("kind", ["-A", "-I", "legacy", "nft rule", "policy"])
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("port", _CLOSED)
def test_a_closed_port_is_named_with_its_rule_and_opened(port: int, family: int, kind: str) -> None:
    lab = _swarm(family)
    host, _matches = _CLOSED[port]
    for command in _commands(kind, port, family):
        assert lab.hosts[host].exec(command).succeeded, command
    lab.run(90)
    lab.hosts["node1"].docker.services.create(
        "nginx", name="web", networks=["app"], constraints=["node.hostname==node2"]
    )
    lab.settle()
    asked = lab.explain("c1", "web:80")
    assert not asked
    rule = {"nft rule": "drop", "policy": "olicy DROP"}.get(kind, "-j DROP")
    assert rule in asked.decided_by, asked.decided_by
    assert host in asked.decided_by
    assert str(port) in asked.decided_by
    fix = asked.fixes[0]
    assert fix.was_tried
    assert all(command.startswith(f"{host}$ ") for command in fix.commands)
    verb = " -I INPUT " if kind == "policy" else "delete rule" if kind == "nft rule" else " -D INPUT "
    assert all(verb in command for command in fix.commands), fix.commands
    assert fix.apply()


def test_the_doctor_opens_both_ports_of_gossip() -> None:
    lab = _swarm(4)
    for command in _commands("-A", 7946, 4):
        assert lab.hosts["node2"].exec(command).succeeded
    faults = lab.doctor().of("port-blocked")
    assert [fault.text.split(" (")[0] for fault in faults] == ["TCP port 7946", "UDP port 7946"]
    fixes = [fault.fix for fault in faults]
    assert all(fix is not None and " -D INPUT " in fix.commands[0] for fix in fixes)


def test_a_node_is_not_silent_because_one_of_several_managers_is_closed() -> None:
    lab = Lab()
    hosts = [lab.add_host(f"node{number}", f"10.1.0.1{number}/24", docker=True) for number in (1, 2, 3, 4)]
    first = hosts[0].docker
    first.swarm.init(advertise_addr="10.1.0.11")
    for host in hosts[1:]:
        tokens = first.swarm.tokens
        token = tokens.worker if host.name == "node4" else tokens.manager
        host.docker.swarm.join(token, "10.1.0.11:2377", advertise_addr=f"10.1.0.1{host.name[-1]}")
    first.networks.create("app", driver="overlay", attachable=True)
    lab.settle()
    first.containers.run("busybox", "sleep 1d", name="c1", network="app", detach=True)
    assert hosts[1].exec("iptables -A INPUT -p tcp --dport 2377 -s 10.1.0.14 -j DROP").succeeded
    lab.lose("node4", "node1")
    lab.lose("node4", "node3")
    lab.run(120)
    first.services.create("nginx", name="web", networks=["app"], constraints=["node.hostname==node4"])
    lab.settle()
    asked = lab.explain("c1", "web:80")
    assert "pending" in asked.decided_by
    assert "closes TCP port 2377" not in str(asked)
