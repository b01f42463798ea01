"""Traces: one probe and every hop of the packets that it causes."""
