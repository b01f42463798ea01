"""The reachability matrix of a lab."""
