"""A daemon as a member of a swarm: joining it, running tasks, and calling managers (moby `daemon/cluster`)."""
