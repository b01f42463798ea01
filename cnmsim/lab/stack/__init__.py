"""Stack files: what `docker stack deploy` takes, read into the bodies the Engine API takes."""

from cnmsim.lab.stack.reading import read_stack

__all__ = ["read_stack"]
