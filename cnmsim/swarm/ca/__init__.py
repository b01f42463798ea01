"""The certificate authority of a swarm: issues, renews and rotates nodes' identities (moby/swarmkit `ca`)."""
