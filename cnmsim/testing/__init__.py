"""The test bench: proofs about labs for one's own tests, and what Hypothesis needs to look for the labs where they fail.

`prove`, `invariants`, `snapshot` and `plugin` (a Docker plugin to test engines with) need nothing but cnmsim; `drivers` (the
conformance of network drivers) and `pytest_plugin` need pytest, `strategies` and `machine` Hypothesis. Nothing is imported
here, so that the pytest plugin stays light.
"""
