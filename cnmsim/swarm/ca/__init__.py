"""The certificate authority of a swarm: issuing, renewing and rotating the identities of nodes (moby/swarmkit `ca`)."""
