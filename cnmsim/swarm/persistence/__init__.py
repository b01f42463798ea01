"""Conversion of a swarm to plain data, for state files, and back."""
