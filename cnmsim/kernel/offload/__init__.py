"""Everything that is cached to forward packets faster: flows, connected routes, rule traversals, datagram paths."""
