"""A UDP datagram between two containers of one user-defined network, as a ratio to one scapy dissection of it."""

from measuring import Crossing, report

from cnmsim import Lab
from cnmsim.kernel.sockets import UdpSocket


def main():
    lab = Lab()
    node = lab.add_host("node1", "10.0.0.15/24", docker=True)
    node.docker.networks.create("app")
    for name in ("web", "db"):
        node.docker.containers.run("alpine", "sleep infinity", name=name, network="app", detach=True)
    web, db = (lab.container(name).namespace for name in ("web", "db"))
    receiver = UdpSocket(db)
    receiver.bind(("0.0.0.0", 5000))
    sender = UdpSocket(web)
    to = next(a for a in db.devices["eth0"].addresses if a.family == 4)
    report("container to container on a bridge", Crossing(lab, sender, receiver, (str(to).partition("/")[0], 5000)))


if __name__ == "__main__":
    main()
