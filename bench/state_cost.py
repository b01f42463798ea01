"""The cost of a request that changes one object, with `--state`, on a Docker host with 1,000 containers.

Printed are the CPU time to find and write the change, and the real time of the write, with its fsync.
"""

import statistics
import tempfile
import time
from pathlib import Path

from cnmsim import Lab
from cnmsim.lab.state.statefile import StateFile

CONTAINERS, REQUESTS = 1000, 300


def main() -> None:
    """Create containers, then rename one at a time, and measure its transaction."""
    lab = Lab()
    engine = lab.add_host("node1", "10.0.0.15/24", docker=True).docker
    containers = [engine.containers.create("alpine", ["true"], name=f"box{number}") for number in range(CONTAINERS)]
    with tempfile.TemporaryDirectory() as folder:
        state = StateFile.open(Path(folder) / "state")
        state.record(lab)
        cpu_s, real_s = [], []
        for number in range(REQUESTS):
            containers[number].rename(f"other{number}")
            began_cpu_s, began_s = time.process_time(), time.monotonic()
            pending = state.changes(has_swarm_changes=True)
            assert pending is not None, "a renamed container is a change"
            pending.settle(pending.write())
            cpu_s.append(time.process_time() - began_cpu_s)
            real_s.append(time.monotonic() - began_s)
        state.close()
    print(f"CPU time: median {statistics.median(cpu_s) * 1e3:.2f} ms, largest {max(cpu_s) * 1e3:.2f} ms")
    print(f"real time: median {statistics.median(real_s) * 1e3:.2f} ms")


if __name__ == "__main__":
    main()
