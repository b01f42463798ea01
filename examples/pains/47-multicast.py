"""Multicast does not cross an overlay network.

mDNS, or a cluster that discovers its members by multicast, works on one machine. In a swarm no member is found.
"""

from house import shop


def build():
    return shop()


def ask(lab):
    return lab.explain("c1", "224.0.0.251", "udp/5353")


def fix(lab):
    """Find the members by DNS: `tasks.web` gives the addresses of all tasks."""
    return lab.explain("c1", "tasks.web", "tcp/80")


SAYS = ("no, timeout", "is a multicast address", "it stops on node1")
THEN = ("yes, answered",)
