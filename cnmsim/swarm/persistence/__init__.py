"""Saving a swarm as plain data, and restoring it."""
