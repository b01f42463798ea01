"""Image references, the local image store, and what well-known images run."""
