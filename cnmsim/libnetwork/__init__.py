"""libnetwork: the container network model of Docker Engine."""
