"""Tools that show what happens in a lab: traces, verdicts, explanations, captures and diagrams."""

from cnmsim.observe.capture.capture import Capture
from cnmsim.observe.diagnosis.finding import Finding
from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.observe.directory import Directory
from cnmsim.observe.doctor import Checkup, Fault, Severity, doctor
from cnmsim.observe.explain import Explanation, explain
from cnmsim.observe.fixes.fix import Fix
from cnmsim.observe.lab_diagram import to_dot, to_mermaid
from cnmsim.observe.location import Location
from cnmsim.observe.reachability.matrix import Difference, Reachability, reachability
from cnmsim.observe.trace.hops import Hop
from cnmsim.observe.trace.target import Target
from cnmsim.observe.trace.trace import Trace
from cnmsim.observe.trace.tracer import capture, directory_of, trace
from cnmsim.observe.trace.watch import watch

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
    "Location",
    "Reachability",
    "Severity",
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
