"""Swarm mode: the cluster's objects, its managers' loops, and the agents of its nodes (moby/swarmkit v2)."""
