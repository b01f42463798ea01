"""100 Docker hosts in one lab, a copy of a lab, ports published with each firewall: seconds of work, and how that
grows.

The second line of each pair is set in relation to the first.
"""

import gc
import time

from cnmsim import Lab


def hosts(count):
    """Return a lab of `count` Docker hosts on one segment."""
    lab = Lab()
    for number in range(count):
        high, low = divmod(number + 1, 256)
        lab.add_host(f"node{number}", f"172.20.{high}.{low}/16", docker=True)
    return lab


def containers(count):
    """Return a lab of one Docker host with `count` containers on a network for each 50."""
    lab = Lab()
    docker = lab.add_host("node1", "10.0.0.15/24", docker=True).docker
    for number in range(-(-count // 50)):
        docker.networks.create(f"net{number}")
    for number in range(count):
        docker.containers.run(
            "alpine", "sleep infinity", name=f"c{number}", network=f"net{number // 50}", detach=True
        )
    lab.settle()
    return lab


def seconds(call):
    gc.collect()
    begin = time.process_time()
    call()
    return time.process_time() - begin


def compared(what, sizes, measure):
    before = None
    for size in sizes:
        took = measure(size)
        growth = (
            ""
            if before is None
            else f", {took / before[1]:.1f} times the work for {size / before[0]:.0f} times as many"
        )
        print(f"{what.format(size)}: {took:.2f} s, {took / size * 1e3:.2f} ms each{growth}", flush=True)
        before = size, took


def fork(count):
    lab = containers(count)
    lab.fork()  # what is imported and compiled is no copy's
    return seconds(lab.fork)


def published(backend, count):
    docker = Lab().add_host("node1", "10.0.0.15/24", docker={"firewall-backend": backend}, router=True).docker
    docker.networks.create("net", driver="bridge")
    for number in range(count):
        docker.containers.run(
            "nginx", name=f"c{number}", network="net", ports={"80/tcp": 20000 + number}, detach=True
        )


def main():
    hosts(1)
    compared("{} Docker hosts", (10, 100), lambda count: seconds(lambda: hosts(count)))
    compared("a copy of a lab of {} containers", (20, 200), fork)
    for backend in ("iptables", "nftables"):
        compared(
            f"{{}} published ports, {backend}",
            (100, 800),
            lambda count, backend=backend: seconds(lambda: published(backend, count)),
        )


if __name__ == "__main__":
    main()
