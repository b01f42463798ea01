"""Volumes, and the mounts of containers."""
