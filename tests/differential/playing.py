"""Play command lines on a real dockerd and on cnmsim, and compare what each step prints.

Both hosts are made anew for a sequence. The rules of the conformance tests normalise what is random.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from attrs import frozen
from known import KNOWN

_TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(_TESTS / "conformance"))

from oracle import RealLab, SimLab, load_lab, play  # noqa: E402

#: dockerd panicked in the request, as for a connect of a stopped container that shares another one's network, or does
#: not answer, as for a link to a container that shares its own network. What comes after it is not compared.
ENGINE_CRASHED = re.compile(r"error during connect: .*: EOF")

#: What `timeout` and curl print of a dockerd that does not answer, and of one that panicked.
_NO_ANSWER = (124, "")
_NO_REPLY = (52, "[000]")


@frozen
class Difference:
    """A step after which the two printed different texts or exit statuses."""

    number: int
    command: str
    real: tuple[int, str]
    simulated: tuple[int, str]

    def __str__(self) -> str:
        return (
            f"step {self.number}: {self.command}\n  docker [{self.real[0]}]\n{_indented(self.real[1])}\n"
            f"  cnmsim [{self.simulated[0]}]\n{_indented(self.simulated[1])}"
        )


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def renumbered(steps: list[dict[str, object]]) -> list[tuple[int, str]]:
    """Return (status, text) of each step, with the placeholders for ids numbered by first appearance in each step."""
    results = []
    for step in steps:
        numbers: dict[str, str] = {}

        def place(match: re.Match[str], numbers: dict[str, str] = numbers) -> str:
            return numbers.setdefault(match[0], f"<{match[1]}:{len(numbers)}>")

        text = re.sub(r"<(id|mac|fe80|veth):\d+>", place, str(step["out"]))
        results.append((int(str(step["rc"])), text))
    return results


def compare(commands: list[str], *, version: str = "26.1.5", dockerd: str = "dockerd") -> Difference | None:
    """Play the commands on both. Return the first difference that is not a known one, or `None`."""
    steps = [("=", "node1", command) for command in commands]
    lab = load_lab("single", _TESTS / "conformance")
    lab["folder"] = "/"
    with RealLab(dict(lab), dockerd.split()) as real:
        played = play(real, steps)
    with SimLab(dict(lab), version) as simulated:
        simulation = play(simulated, steps)
        simulated.log.close()
    for number, (command, one, other) in enumerate(
        zip(commands, renumbered(played), renumbered(simulation), strict=True)
    ):
        if ENGINE_CRASHED.search(one[1]) or one in (_NO_ANSWER, _NO_REPLY):
            return None
        if one != other and not is_known(command, one[1], other[1]):
            return Difference(number, command, one, other)
    return None


def is_known(command: str, real: str, simulated: str) -> bool:
    """Return True if the texts are equal once the parts in which a known difference may differ are removed."""
    for rule in KNOWN:
        if re.search(rule.command, command):
            real, simulated = (
                re.sub(rule.ignored, lambda found: "".join(found.groups("")), text) for text in (real, simulated)
            )
            if rule.is_a_set:
                real, simulated = ("\n".join(sorted(text.splitlines())) for text in (real, simulated))
    return real.strip() == simulated.strip()


def shrink(commands: list[str], difference: Difference, *, version: str, dockerd: str, rounds: int = 12) -> list[str]:
    """Return a shorter sequence that ends in a difference in the same command: halves, then single steps are left
    out."""
    best = commands[: difference.number + 1]
    size = max(len(best) // 2, 1)
    while rounds and size:
        at = 0
        while at < len(best) - 1 and rounds:
            shorter = [*best[:at], *best[min(at + size, len(best) - 1) :]]
            rounds -= 1
            found = compare(shorter, version=version, dockerd=dockerd)
            if found is not None and found.command == difference.command:
                best = shorter[: found.number + 1]
            else:
                at += size
        size //= 2
    return best
