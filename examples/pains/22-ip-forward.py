"""IP forwarding is off.

After a hardening run containers reach their host and nothing beyond it.
"""

from house import idler, lan


def build():
    lab = lan()
    idler(lab)
    lab.host("node1").exec("sysctl -w net.ipv4.ip_forward=0")
    return lab


def ask(lab):
    return lab.explain("app", "203.0.113.10", "tcp/80")


SAYS = ("no, timeout", "IP forwarding is disabled there", "before any chain is traversed")
THEN = ("yes, answered",)
