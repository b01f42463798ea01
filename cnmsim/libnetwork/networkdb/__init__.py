"""NetworkDB: the gossip database of a swarm's networks, on port 7946."""
