"""A firewall reload deletes Docker's rules.

After `systemctl reload` of the firewall, containers reach nothing outside, although Docker was not changed.
"""

from house import idler, lan


def build():
    lab = lan()
    lab.host("node1").docker.networks.create("app")
    idler(lab, network="app")
    for command in ("iptables -F", "iptables -X", "iptables -t nat -F", "iptables -t nat -X"):
        lab.host("node1").exec(command)
    return lab


def ask(lab):
    return lab.explain("app", "203.0.113.10", "tcp/80")


def fix(lab):
    """Have Docker install its rules again: restart it after the firewall. Here: the same lab without the reload."""
    lab = lan()
    lab.host("node1").docker.networks.create("app")
    idler(lab, network="app")
    return ask(lab)


SAYS = ("no, timeout", "none of Docker's chains is there any more, a reload of the firewall wiped them")
THEN = ("yes, answered",)
