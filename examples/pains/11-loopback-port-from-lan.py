"""A port published on 127.0.0.1 is reached from the LAN (before Engine 28).

The port is published on 127.0.0.1 only. A machine on the LAN with a route to the container's network reaches it
nevertheless.
"""

from house import lan, run


def build(engine="26.1.5"):
    lab = lan(engine)
    run(lab, "web", ports={"80/tcp": ("127.0.0.1", 8080)})
    return lab


def ask(lab):
    return lab.explain("client", "172.17.0.2", "tcp/80")


def fix(lab):
    """Run Engine 28 or later: its rules in the raw table drop packets to a container that do not come from its
    bridge.
    """
    return ask(build("29.7.2"))


SAYS = ("yes, answered",)
THEN = ("no, timeout", "raw PREROUTING")
