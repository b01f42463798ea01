"""The simulated Linux kernel's network stack. It contains nothing specific to Docker."""
