"""Ping works, TLS hangs: the bridge's MTU is larger than that of the uplink.

On a cloud with an MTU of 1450, small replies arrive and large ones never do. The daemon's `mtu` is set, but Compose
networks do not use it.
"""

from cnmsim import Lab


def build(**options):
    lab = Lab()
    lab.add_host("node1", "10.0.0.15/24", gateway="10.0.0.1", mtu=1450, docker={"mtu": 1450})
    lab.add_router("router", "10.0.0.1/24", "203.0.113.1/24")
    lab.host("node1").docker.networks.create("app", options=options)
    return lab


def ask(lab):
    return lab.doctor()


def fix(lab):
    """Set the MTU on the network itself."""
    return ask(build(**{"com.docker.network.driver.mtu": "1450"}))


SAYS = ("warning [mtu] node1: network app", "its MTU is 1500, but node1 eth0 carries 1450 bytes")
THEN = ("nothing found",)
