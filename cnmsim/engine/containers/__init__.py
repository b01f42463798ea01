"""Containers: creation, life cycle, processes, logs, and the views `docker inspect` and `docker ps` print."""
