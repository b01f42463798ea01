"""Swarm mode, as in moby/swarmkit v2.

A swarm is a cluster of nodes. Managers keep its desired state, the *objects* (services, tasks, networks, nodes,
secrets, configs), in a replicated `store` and elect one of them leader by Raft. On the leader, loops bring the tasks
in the store to what the services ask for (`orchestrator`), allocate addresses and ports for them (`allocator`),
choose their nodes (`scheduler`) and hand them out (`dispatcher`). On every node an `agent` runs the tasks assigned to
it and reports their state. Nodes identify themselves by certificates (`ca`) and talk over mutual TLS (`rpc`).
"""
