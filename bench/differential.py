"""Play random sequences of operations on a real dockerd and on cnmsim until the time is over, and print what differs.

    python bench/differential.py --minutes 60 --seed 1

Needs root, Linux and Debian's docker.io. A sequence that differs is shrunk and printed as a scenario of
tests/conformance. Without `--shrink` it is printed as drawn. `--only N` plays the sequence N alone.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "differential"))
os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))

from playing import compare, shrink  # noqa: E402
from steps import draw_sequence  # noqa: E402


def main() -> int:
    """Run the comparison. Return 1 if something differed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--length", type=int, default=30, help="steps of a sequence")
    parser.add_argument("--engine", default="26.1.5", help="the release that cnmsim simulates")
    parser.add_argument("--dockerd", default="dockerd", help="the command line of the real engine of that release")
    parser.add_argument("--shrink", action="store_true")
    parser.add_argument("--only", type=int, help="the number of the sequence to play")
    options = parser.parse_args()
    engine = {"version": options.engine, "dockerd": options.dockerd}
    end = time.monotonic() + options.minutes * 60
    number = options.only or 0
    compared = differing = 0
    while time.monotonic() < end:
        commands = draw_sequence(Random(f"{options.seed}/{number}"), options.length)
        difference = compare(commands, **engine)
        compared += len(commands) if difference is None else difference.number + 1
        if difference is not None:
            differing += 1
            print(f"--- sequence {number}, {difference}")
            shown = shrink(commands, difference, **engine) if options.shrink else commands[: difference.number + 1]
            print("\n".join(["lab: single", *(f"node1$ {command}" for command in shown)]), flush=True)
        number += 1
        print(f"{number} sequences, {compared} steps compared, {differing} sequences differ", flush=True)
        if options.only is not None:
            break
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
