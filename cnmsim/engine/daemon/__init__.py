"""The daemon as a whole: events, `docker info`, power loss, and its state on disk."""
