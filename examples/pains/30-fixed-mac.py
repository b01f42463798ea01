"""Two containers with one MAC address.

A Compose file with `mac_address` was copied. Connections to both services hang intermittently.
"""

from house import lan, run


def build(second="02:00:00:00:00:01"):
    lab = lan()
    lab.host("node1").docker.networks.create("app")
    run(lab, "one", network="app", mac_address="02:00:00:00:00:01")
    run(lab, "two", network="app", mac_address=second)
    return lab


def ask(lab):
    return lab.doctor()


def fix(lab):
    """Let Docker generate the MAC addresses, or set a different one for each container."""
    return ask(build("02:00:00:00:00:02"))


SAYS = ("error [duplicate-mac] node1: network app", "one and two have the MAC 02:00:00:00:00:01")
THEN = ("nothing found",)
