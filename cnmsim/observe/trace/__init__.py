"""Traces: a probe, and every hop of the packets that it causes."""
