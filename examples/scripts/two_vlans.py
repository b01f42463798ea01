"""Containers on two VLANs of an office: which machines reach each other, and a duplicate address."""

from pathlib import Path

from cnmsim import Lab

lab = Lab.from_file(Path(__file__).parents[1] / "labs" / "two-vlans.yml")
node1 = lab.host("node1")

# A machine of the office and a container are neighbours on VLAN 100 ...
print(lab.host("app-server").curl("http://10.0.0.64/").output, end="")
print(node1.exec("ip -br link show type vlan").output, end="")

# ... VLAN 200 is reached through the router only ...
walk = lab.trace("mactainer1", "192.168.3.10:80")
print(
    "from VLAN 100 to VLAN 200 by:",
    ", ".join(dict.fromkeys(hop.place for hop in walk.hops if hop.packet == "TCP SYN")),
)

# ... and the Docker host cannot reach its own containers.
node1.exec("ip addr add 10.0.0.15/24 dev eth0.100")
print(lab.explain("node1", "10.0.0.65").decided_by)

# The DHCP server of the office probes addresses by ARP: two containers answer, so a laptop gets the third address ...
print(lab.doctor().of("dhcp-overlap")[0])
laptop = lab.add_host("laptop", "10.0.0.250/24")
print(laptop.exec("ip addr flush dev eth0; udhcpc -i eth0 -n -q").output, end="")

# ... but Docker does not probe: its next container gets the same address.
node1.docker.containers.run("nginx", name="web", network="vlan100", detach=True)
lab.settle(5)
for event in lab.events:
    print(f"{event.kind.value}, noticed by {event.place}")
found = lab.explain("app-server", "10.0.0.66", "tcp/80")
print(found.verdict.value, "-", found.trace.finding.remark_texts[-1])
print(lab.doctor().of("duplicate-address")[0])
