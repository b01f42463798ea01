"""A daemon as a member of a swarm: joining, running tasks, and asking managers (moby `daemon/cluster`)."""
