"""macvlan does not work in a virtual machine.

The virtual switch forwards only frames with the machine's own MAC address. Containers on macvlan reach no other
machine.
"""

from house import run

from cnmsim import Lab


def build(driver="macvlan"):
    lab = Lab()
    lab.add_segment("lan", "10.0.0.0/24", refuse_unknown_macs=True)
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    lab.add_host("nas", "10.0.0.20/24", web=True)
    lab.host("node1").docker.networks.create(
        "lan", driver=driver, subnet="10.0.0.0/24", ip_range="10.0.0.192/27", options={"parent": "eth0"}
    )
    run(lab, "app", "alpine", "sleep 1d", network="lan")
    return lab


def ask(lab):
    return lab.explain("app", "nas", "tcp/80")


def fix(lab):
    """Use ipvlan, whose containers share the MAC of their host."""
    return ask(build("ipvlan"))


SAYS = ("no, unreachable", "refuses frames from app")
THEN = ("yes, answered",)
