"""An encrypted overlay carries no traffic.

The security group opens all ports listed in the manual. Plain overlay networks work, the encrypted one does not.
"""

from house import shop


def build():
    lab = shop(options={"encrypted": ""})
    lab.host("router").iptables("-A FORWARD -p esp -j DROP")
    return lab


def ask(lab):
    return lab.explain("c1", "web", "tcp/80")


SAYS = ("no, timeout", "ESP packet (IP protocol 50) from node1 to node2")
THEN = ("yes, answered",)
