"""The overlay driver: networks across the hosts of a swarm, in VXLAN tunnels."""
