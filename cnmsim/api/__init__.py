"""The Docker Engine API of a lab's hosts over HTTP, one socket a host."""
