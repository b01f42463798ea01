"""Refused, unreachable and timeout are three different things.

A firewall rejects what containers send to their host, and the program says "no route to host", though the route is there.
"""

from house import idler, lan


def build():
    lab = lan()
    idler(lab)
    lab.host("node1").start("nc -lk -p 7000")
    # What firewalld does with a zone that does not list the service.
    lab.host("node1").iptables("-A INPUT -i docker0 -p tcp --dport 7000 -j REJECT --reject-with icmp-host-prohibited")
    return lab


def ask(lab):
    return lab.explain("app", "172.17.0.1", "tcp/7000")


SAYS = ("no, unreachable", "rejected on node1 by filter INPUT", "ICMP host prohibited")
THEN = ("yes, answered",)
