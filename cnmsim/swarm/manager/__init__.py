"""A manager: Raft membership, RPC server, and the loops of the leader (moby/swarmkit `manager`)."""
