"""A UDP datagram from a container through MASQUERADE to a machine outside (established flow), as a ratio to one scapy
dissection of it."""

from measuring import Crossing, report

from cnmsim import Lab
from cnmsim.kernel.sockets import UdpSocket


def main():
    lab = Lab()
    node = lab.add_host("node1", "10.0.0.15/24", docker=True)
    outside = lab.add_host("outside", "10.0.0.99/24")
    node.docker.networks.create("app")
    node.docker.containers.run("alpine", "sleep infinity", name="web", network="app", detach=True)
    receiver = UdpSocket(outside.namespace)
    receiver.bind(("0.0.0.0", 5000))
    crossing = Crossing(lab, UdpSocket(lab.container("web").namespace), receiver, ("10.0.0.99", 5000))
    assert crossing.peer[0] == bytes((10, 0, 0, 15)), "the source was not translated"
    report("container to outside through NAT", crossing)


if __name__ == "__main__":
    main()
