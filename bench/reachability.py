"""Who reaches whom among many containers: seconds, and probes sent, from 2,000 containers on 200 networks to 10,000 on 1,000."""

import time

from cnmsim import Lab

SIZES = ((500, 50), (2000, 200), (5000, 500), (10000, 1000))
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
    for containers, networks in SIZES:
        begin = time.perf_counter()
        lab = build(containers, networks)
        built = time.perf_counter()
        found = lab.reachability()
        done = time.perf_counter()
        print(
            f"{containers:,} containers on {networks:,} networks: {len(found.cells):,} pairs in {done - built:.1f} s, "
            f"{found.probes:,} probes (the lab was built in {built - begin:.0f} s)",
            flush=True,
        )


if __name__ == "__main__":
    main()
