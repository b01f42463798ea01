"""Reachability does not depend on the firewall backend, whatever the networks, but for one known difference."""

from __future__ import annotations

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from support.docker_host import DockerHost
from support.traffic import add_remote, ask, serve

from cnmsim.kernel.address import format_ip

HOST = "10.0.0.15"
LABEL = "com.docker.network.bridge"
NETWORKS = st.lists(
    st.fixed_dictionaries(
        {
            "internal": st.sampled_from([False, False, True]),
            "icc": st.booleans(),
            "masquerade": st.sampled_from([True, True, False]),
            "mode": st.sampled_from(["nat", "nat", "routed", "nat-unprotected"]),
            "trusted": st.sampled_from(["", "eth0"]),
        }
    ),
    min_size=1,
    max_size=3,
)
PORTS = st.sampled_from([(), ("{}:80",), ("127.0.0.1:{}:80",), ("10.0.0.15:{}:80",), ("{}:80", "1{}:80")])
DAEMON = st.fixed_dictionaries(
    {
        "userland_proxy": st.booleans(),
        "icc": st.booleans(),
        "allow_direct_routing": st.sampled_from([False, False, True]),
    }
)


def outcomes(backend, daemon, networks, ports):
    """Ask everything from everywhere: what the server sees, or how the client fails."""
    host = DockerHost("29.7.2", firewall_backend=backend, **daemon)
    remote = add_remote(host)
    # The operator opens forwarding where nftables are used; iptables would close FORWARD when the daemon does it.
    names = ["bridge"]
    for number, network in enumerate(networks):
        names.append(f"net{number}")
        options = {f"{LABEL}.enable_icc": str(network["icc"]).lower()}
        options[f"{LABEL}.enable_ip_masquerade"] = str(network["masquerade"]).lower()
        if not network["internal"]:
            options[f"{LABEL}.gateway_mode_ipv4"] = network["mode"]
        if network["trusted"]:
            options[f"{LABEL}.trusted_host_interfaces"] = network["trusted"]
        host.network(names[-1], internal=network["internal"], driver_opts=options)
    addresses = {}
    for number, name in enumerate(names):
        specs = [spec.format(8080 + number) for spec in ports[number % len(ports)]]
        for which, published in (("server", specs), ("peer", [])):
            endpoint = host.run(f"{name}-{which}", name, *published)
            addresses[f"{name}-{which}"] = format_ip(endpoint.interface.ipv4[0])
        serve(host, f"{name}-server", 80)
        serve(host, f"{name}-server", 81)
    seen = {}
    for source in [*(f"{name}-peer" for name in names), "", remote.root]:
        label = source if isinstance(source, str) else "remote"
        for name in names:
            for port in (80, 81):
                seen[label, f"{name}-server", port] = ask(host, addresses[f"{name}-server"], port, source=source)
        for number in range(len(names)):
            targets = [HOST, "127.0.0.1"] if label == "" else [HOST, *(["172.17.0.1"] if label != "remote" else [])]
            for target in targets:
                seen[label, target, 8080 + number] = ask(host, target, 8080 + number, source=source)
    return seen


@settings(max_examples=15, deadline=None, derandomize=True, phases=[Phase.generate])
@given(DAEMON, NETWORKS, st.lists(PORTS, min_size=1, max_size=3))
def test_both_backends_let_the_same_through(daemon, networks, ports) -> None:
    iptables, nftables = (outcomes(backend, daemon, networks, ports) for backend in ("", "nftables"))
    inside = {f"net{number}-peer" for number, network in enumerate(networks) if network["internal"]}
    # A container of an internal network may reach another network's published port through an address of the host
    # only where rules are written with nftables: the port's rule accepts before the internal network's drop is met.
    differing = {flow for flow in iptables if iptables[flow] != nftables[flow] and flow[0] not in inside}
    assert {flow: (iptables[flow], nftables[flow]) for flow in differing} == {}
