"""1,000 containers on 20 networks: CPU seconds to set up, and in a second lab bytes that each container takes."""

import gc
import time
import tracemalloc

from cnmsim import Lab

CONTAINERS, NETWORKS = 1000, 20


def set_up():
    lab = Lab()
    node = lab.add_host("node1", "10.0.0.15/24", docker=True)
    for number in range(NETWORKS):
        node.docker.networks.create(f"net{number}")
    for number in range(CONTAINERS):
        node.docker.containers.run(
            "alpine", "sleep infinity", name=f"c{number}", network=f"net{number % NETWORKS}", detach=True
        )
    return lab


def main():
    begin = time.process_time()
    lab = set_up()
    seconds = time.process_time() - begin
    print(
        f"{CONTAINERS} containers on {NETWORKS} networks: {seconds:.1f} s, {seconds / CONTAINERS * 1e3:.1f} ms each"
    )
    del lab
    gc.collect()
    tracemalloc.start()
    lab = set_up()
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    print(f"memory: {taken / CONTAINERS:,.0f} bytes a container ({lab!r:.20})")


if __name__ == "__main__":
    main()
