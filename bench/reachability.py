"""Who reaches whom among many containers: seconds of work and probes sent, from 500 containers on 50 networks to
10,000 on 1,000.

Each line is set in relation to the one before: how many times as many pairs, how many times as much work. Run with
pairs CONTAINERS:NETWORKS as arguments for other sizes.
"""

import sys
import time

from cnmsim import Lab

SIZES = ("500:50", "2000:200", "5000:500", "10000:1000")
POOLS = [{"base": "172.16.0.0/12", "size": 26}]


def build(containers: int, networks: int) -> Lab:
    lab = Lab()
    docker = lab.add_host("node1", "10.0.0.15/24", docker={"default-address-pools": POOLS}).docker
    for number in range(networks):
        docker.networks.create(f"net{number}")
    for number in range(containers):
        ports = {"80/tcp": 20000 + number} if number % 10 == 0 else {}
        docker.containers.run("nginx", name=f"c{number}", network=f"net{number % networks}", ports=ports, detach=True)
    lab.settle()
    return lab


def main() -> None:
    before = None
    for size in sys.argv[1:] or SIZES:
        containers, networks = map(int, size.split(":"))
        begin = time.process_time()
        lab = build(containers, networks)
        built = time.process_time()
        found = lab.reachability()
        took, pairs = time.process_time() - built, len(found.cells)
        growth = (
            f" ({pairs / before[0]:.1f} times the pairs, {took / before[1]:.1f} times the work)" if before else ""
        )
        print(
            f"{containers:,} containers on {networks:,} networks: {pairs:,} pairs in {took:.1f} s, "
            f"{found.probes:,} probes{growth}; the lab was built in {built - begin:.0f} s",
            flush=True,
        )
        before = pairs, took


if __name__ == "__main__":
    main()
