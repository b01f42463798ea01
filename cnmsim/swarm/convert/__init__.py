"""Conversion between the objects of a swarm and the JSON of the Engine API (moby `daemon/cluster/convert`)."""
