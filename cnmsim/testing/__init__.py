"""The test bench: proofs about labs for one's own tests, and what Hypothesis needs to look for the labs where they fail.

`prove`, `invariants` and `snapshot` need nothing but cnmsim; `strategies` and `machine` need Hypothesis. `plugin` is the
pytest plugin. Nothing is imported here, so that the plugin stays light.
"""
