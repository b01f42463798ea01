"""The HTML of any result, with one function for each type of result."""

from __future__ import annotations

from functools import singledispatch

from cnmsim.observe.capture.capture import Capture
from cnmsim.observe.diagnosis.engine_errors import ErrorExplanation
from cnmsim.observe.doctor.fault import Checkup
from cnmsim.observe.explain import Explanation
from cnmsim.observe.fixes.fix import Fix
from cnmsim.observe.flows.result import FlowReport
from cnmsim.observe.packets.walks import Walks
from cnmsim.observe.reachability.matrix import Difference, Reachability
from cnmsim.observe.trace.hops import Hop
from cnmsim.observe.trace.trace import Trace
from cnmsim.observe.views.answers import (
    capture_card,
    checkup_card,
    error_card,
    explanation_card,
    fix_card,
    hop_card,
    walks_card,
)
from cnmsim.observe.views.flows import flows_card
from cnmsim.observe.views.matrix import difference_card, matrix_card
from cnmsim.observe.views.walks import walk_card


@singledispatch
def html_of(answer: object) -> str:
    """Return the HTML of a result. Raises `TypeError` if there is no function for its type."""
    raise TypeError(f"{type(answer).__name__} has no HTML")


html_of.register(Capture, capture_card)
html_of.register(Checkup, checkup_card)
html_of.register(Difference, difference_card)
html_of.register(ErrorExplanation, error_card)
html_of.register(Explanation, explanation_card)
html_of.register(Fix, fix_card)
html_of.register(FlowReport, flows_card)
html_of.register(Hop, hop_card)
html_of.register(Reachability, matrix_card)
html_of.register(Trace, walk_card)
html_of.register(Walks, walks_card)
