"""docker-py's interface: `engine.containers.run(...)`, `engine.networks.create(...)` and the objects they return.

Names, arguments and attributes are docker-py's (`docker/models`). Everything goes through `Engine.rest`. Calls that
block on a real engine let virtual time pass until they are done. Objects are always up to date: `reload()` does
nothing.
"""
