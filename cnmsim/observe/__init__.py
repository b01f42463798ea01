"""The engineer's eyes: traces, verdicts, explanations, captures and drawings of a lab."""

from cnmsim.observe.asking import capture, directory_of, trace
from cnmsim.observe.capture import Capture
from cnmsim.observe.doctor import Checkup, Fault, Severity, doctor
from cnmsim.observe.drawing import to_dot, to_mermaid
from cnmsim.observe.explain import Explanation, explain
from cnmsim.observe.fixes import Fix
from cnmsim.observe.hops import Hop
from cnmsim.observe.reachability import Difference, Reachability, reachability
from cnmsim.observe.stations import Directory, Station
from cnmsim.observe.target import Target
from cnmsim.observe.trace import Trace
from cnmsim.observe.verdict import Finding, Verdict
from cnmsim.observe.watching import watch

__all__ = [
    "Capture",
    "Checkup",
    "Difference",
    "Directory",
    "Explanation",
    "Fault",
    "Finding",
    "Fix",
    "Hop",
    "Reachability",
    "Severity",
    "Station",
    "Target",
    "Trace",
    "Verdict",
    "capture",
    "directory_of",
    "doctor",
    "explain",
    "reachability",
    "to_dot",
    "to_mermaid",
    "trace",
    "watch",
]
