"""Refused, unreachable and timeout are three different things.

A program says "connection refused", another "no route to host" though the route is there, a third says nothing and hangs. All three
ask the same host, and each needs another remedy.
"""

from house import idler, lan

PORTS = (7000, 7001, 7002)


def build():
    lab = lan()
    idler(lab)
    node1 = lab.host("node1")
    for port in (7001, 7002):
        node1.start(f"nc -lk -p {port}")
    # What firewalld does with a zone that does not list the service, and what most people write themselves.
    node1.iptables("-A INPUT -i docker0 -p tcp --dport 7001 -j REJECT --reject-with icmp-host-prohibited")
    node1.iptables("-A INPUT -i docker0 -p tcp --dport 7002 -j DROP")
    return lab


def ask(lab):
    return "\n\n".join(str(lab.explain("app", "172.17.0.1", f"tcp/{port}")) for port in PORTS)


def fix(lab):
    """*Refused* came from the host itself: the way is open, so start the program. *Unreachable* came as an ICMP error, which names who
    sent it, and *timeout* is silence: both are for whoever keeps the firewall.
    """
    node1 = lab.host("node1")
    node1.start("nc -lk -p 7000")
    node1.iptables("-I INPUT -i docker0 -p tcp --dport 7001 -j ACCEPT")
    node1.iptables("-I INPUT -i docker0 -p tcp --dport 7002 -j ACCEPT")


SAYS = (
    "tcp/7000: no, refused",
    "tcp/7001: no, unreachable",
    "node1 answers with ICMP host prohibited",
    "tcp/7002: no, timeout",
)
THEN = ("tcp/7000: yes, answered", "tcp/7001: yes, answered", "tcp/7002: yes, answered")
