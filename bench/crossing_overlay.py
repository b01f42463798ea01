"""A UDP datagram from a container on one Docker host over VXLAN and a router to a container on another (established
flow), as a ratio to one scapy dissection of the outer frame."""

from measuring import Crossing, best, dissection

from cnmsim import Lab
from cnmsim.kernel.bridge import Bridge
from cnmsim.kernel.device import Veth
from cnmsim.kernel.sockets import UdpSocket
from cnmsim.kernel.vxlan import Vxlan, VxlanConfig

VNI = 4097
MACS = bytes((2, 0x42, 10, 0, 1, 2)), bytes((2, 0x42, 10, 0, 1, 3))


def mac(kind, number):
    return bytes((2, 0, 0, 0, kind, number))


def attach(host, number, peer, vtep):
    """Make br0 with vxlan0 and one container, as the overlay driver does, and let it know of the other container."""
    overlay, container = (host.machine.new_namespace(f"{host.name}-{name}") for name in ("overlay", "container"))
    bridge = Bridge("br0", mac(1, number), host.machine.clock)
    overlay.add_device(bridge)
    overlay.add_address(bridge, "10.0.1.1/24")
    vxlan = Vxlan.create(host.namespace, "vx", mac(2, number), VxlanConfig(VNI, proxy=True, l2miss=True, l3miss=True))
    host.namespace.move_device(vxlan, overlay, "vxlan0")
    inside, eth0 = Veth.pair(host.machine.clock, "veth0", "eth0", mac(3, number), MACS[number])
    overlay.add_device(inside)
    container.add_device(eth0)
    container.add_address(eth0, f"10.0.1.{number + 2}/24")
    for device in (vxlan, inside, eth0):
        device.set_mtu(1450)
    for port in (vxlan, inside):
        bridge.add_port(port)
    for device in (bridge, vxlan, inside, eth0, container.loopback):
        device.set_up()
    overlay.neighbours.set_permanent(vxlan, bytes((10, 0, 1, peer + 2)), MACS[peer])
    vxlan.fdb.add(MACS[peer], vtep)
    return container


def main():
    lab = Lab()
    lab.add_host("router", "10.1.0.1/24", "10.2.0.1/24", router=True)
    nodes = [lab.add_host(f"node{n}", f"10.{n}.0.2/24", gateway=f"10.{n}.0.1", docker=True) for n in (1, 2)]
    first = attach(nodes[0], 0, 1, bytes((10, 2, 0, 2)))
    second = attach(nodes[1], 1, 0, bytes((10, 1, 0, 2)))
    receiver = UdpSocket(second)
    receiver.bind(("0.0.0.0", 5000))
    wire = []
    eth0 = nodes[0].namespace.devices["eth0"]
    eth0.taps = (lambda _time, way, frame: wire.append(frame) if way == "out" and frame[23] == 17 else None,)
    crossing = Crossing(lab, UdpSocket(first), receiver, ("10.0.1.3", 5000))
    eth0.taps = ()
    ours, outer, inner = best(crossing.once, 400), dissection(wire[-1]), dissection(crossing.frame)
    print(
        f"container to container over VXLAN: {ours / outer:.3f} of a scapy dissection of the outer frame, "
        f"{ours / inner:.3f} of the inner ({ours * 1e6:.0f} µs to {outer * 1e6:.0f} and {inner * 1e6:.0f} µs)"
    )


if __name__ == "__main__":
    main()
