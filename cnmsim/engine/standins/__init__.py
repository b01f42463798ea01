"""Stand-ins: programs that run in place of programs that are not simulated, and the search for their ports."""
