"""UDP packets still go to a container that is gone.

A sender that never pauses keeps the conntrack entry of its flow alive, and with it the translated destination
address. The engine deletes such entries when a published port is removed, but not those created by an operator's own
rule.
"""

from house import lan, run

from cnmsim.observe.trace.tracer import directory_of


def build():
    lab = lan()
    node1 = lab.host("node1")
    node1.docker.networks.create(
        "app", subnet="172.18.0.0/16", options={"com.docker.network.bridge.gateway_mode_ipv4": "nat-unprotected"}
    )
    for name, address in (("old", "172.18.0.10"), ("new", "172.18.0.11")):
        run(lab, name, "alpine", "nc -u -lk -p 514", network="app", ip=address)
    node1.iptables("-t nat -I PREROUTING -p udp --dport 5140 -j DNAT --to-destination 172.18.0.10:514")
    directory_of(lab).find("client").spawn(sender, ["sender"])
    lab.run(5)
    node1.iptables("-t nat -D PREROUTING -p udp --dport 5140 -j DNAT --to-destination 172.18.0.10:514")
    node1.iptables("-t nat -I PREROUTING -p udp --dport 5140 -j DNAT --to-destination 172.18.0.11:514")
    lab.container("old").remove(force=True)
    lab.run(5)
    return lab


async def sender(process):
    """Send a line each second from one port, without end."""
    socket = process.udp(4)
    socket.bind(("10.0.0.50", 40000))
    while True:
        socket.sendto(b"line\n", ("10.0.0.15", 5140))
        await process.sleep(1)


def ask(lab):
    table = lab.host("node1").exec("conntrack -L -p udp --orig-port-src 40000")
    new = lab.explain("client", "node1", "udp/5140")
    return f"a new flow: {new.decided_by}\n\nthe flow of the sender:\n{str(table).strip()}"


def fix(lab):
    """Delete the conntrack entry: the next datagram is translated by the current rules."""
    lab.host("node1").exec("conntrack -D -p udp --orig-port-src 40000")


SAYS = ("new received the datagram at 172.18.0.11:514", "src=172.18.0.10 dst=10.0.0.50")
THEN = ("src=172.18.0.11 dst=10.0.0.50",)
