"""Networks of the Engine API, and how containers are attached to them."""
