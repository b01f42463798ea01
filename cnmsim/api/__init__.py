"""Serves the Docker Engine API of a lab's hosts over HTTP. Each host has one socket."""
