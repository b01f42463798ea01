"""Scapy packets go into a lab, and the answers come back as scapy packets: a scan, a spoofed source, a traceroute."""

from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.l2 import ARP, Ether

from cnmsim import Lab

lab = Lab()
node1 = lab.add_host("node1", "10.0.0.15/24", gateway="10.0.0.1", docker=True)
lab.add_router("router", "10.0.0.1/24", "198.51.100.1/24")
client = lab.add_host("client", "198.51.100.50/24", gateway="198.51.100.1")
node1.docker.containers.run("nginx", name="web", ports={"80/tcp": 8080}, detach=True)
lab.settle()

# A scan: a SYN to each port. The client has no socket for the answers, so its kernel resets what it did not open.
scan = client.send(IP(dst="10.0.0.15") / TCP(dport=[22, 8079, 8080], flags="S"))
for walk in scan:
    print(f"port {walk.sent[TCP].dport}: {walk.verdict.value}")

# The packet at every hop: the destination before and after docker's DNAT.
published = scan[2]
for number, hop in enumerate(published.hops):
    if hop in published.own_hops and hop.step.value == "translated":
        print("DNAT to", published.packet(number)[IP].dst, published.packet(number)[TCP].dport)

# A forged source passes a router, which does not filter by default; the answer goes to the address's owner.
forged = client.send(IP(src="198.51.100.99", dst="10.0.0.15") / ICMP(), timeout_s=0.5)
print("forged:", forged.verdict.value)

# Traceroute in one line: the routers answer packets whose TTL expires.
answers = client.ask(IP(dst="10.0.0.15", ttl=[1, 2]) / ICMP())
print("path:", " > ".join(answer.src for answer in answers))

# Frames from the wire: an ARP request that no host of the lab sent.
request = Ether(src="02:00:00:00:00:99") / ARP(hwsrc="02:00:00:00:00:99", psrc="10.0.0.99", pdst="10.0.0.15")
print(lab.device("node1:eth0").send(request, inbound=True).answer.summary())
