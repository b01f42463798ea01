"""Stand-ins for programs that are not simulated: how their ports are found out, and what runs in their place."""
