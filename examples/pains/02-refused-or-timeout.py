"""Refused, unreachable and timeout have three different causes.

One program reports "connection refused", another "no route to host" although there is a route, a third hangs without
a message. All three connect to the same host, and each needs another fix.
"""

from house import idler, lan

PORTS = (7000, 7001, 7002)


def build():
    lab = lan()
    idler(lab)
    node1 = lab.host("node1")
    for port in (7001, 7002):
        node1.start(f"nc -lk -p {port}")
    # firewalld rejects like this in a zone that does not list the service; hand-written rules usually drop.
    node1.iptables("-A INPUT -i docker0 -p tcp --dport 7001 -j REJECT --reject-with icmp-host-prohibited")
    node1.iptables("-A INPUT -i docker0 -p tcp --dport 7002 -j DROP")
    return lab


def ask(lab):
    return "\n\n".join(str(lab.explain("app", "172.17.0.1", f"tcp/{port}")) for port in PORTS)


def fix(lab):
    """*Refused* came from the host itself: the network is fine, so start the program. *Unreachable* is an ICMP error,
    and its source is the machine that rejected the packet. *Timeout* means no reply at all. The last two are fixed in
    a firewall.
    """
    node1 = lab.host("node1")
    node1.start("nc -lk -p 7000")
    node1.iptables("-I INPUT -i docker0 -p tcp --dport 7001 -j ACCEPT")
    node1.iptables("-I INPUT -i docker0 -p tcp --dport 7002 -j ACCEPT")


SAYS = (
    "no, refused: app → 172.17.0.1:7000",
    "no, unreachable: app → 172.17.0.1:7001",
    "node1 answers with ICMP host prohibited",
    "no, timeout after 5 s: app → 172.17.0.1:7002",
)
THEN = tuple(f"yes, answered: app → 172.17.0.1:{port}" for port in (7000, 7001, 7002))
