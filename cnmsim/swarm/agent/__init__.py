"""The agent of a node: its session with a manager, its worker and its tasks (moby/swarmkit `agent`)."""
