"""Stack files of `docker stack deploy`, converted to request bodies of the Engine API."""

from cnmsim.lab.stack.reader import read_stack

__all__ = ["read_stack"]
