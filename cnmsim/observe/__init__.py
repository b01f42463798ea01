"""The engineer's eyes: traces, verdicts, explanations, captures and drawings of a lab."""

from cnmsim.observe.asking import capture, directory_of, trace
from cnmsim.observe.capture import Capture
from cnmsim.observe.drawing import to_dot, to_mermaid
from cnmsim.observe.explain import Explanation, Reachability, explain, reachability
from cnmsim.observe.hops import Hop
from cnmsim.observe.stations import Directory, Station
from cnmsim.observe.target import Target
from cnmsim.observe.trace import Trace
from cnmsim.observe.verdict import Finding, Verdict
from cnmsim.observe.watching import watch

__all__ = [
    "Capture",
    "Directory",
    "Explanation",
    "Finding",
    "Hop",
    "Reachability",
    "Station",
    "Target",
    "Trace",
    "Verdict",
    "capture",
    "directory_of",
    "explain",
    "reachability",
    "to_dot",
    "to_mermaid",
    "trace",
    "watch",
]
