"""The simulated Linux kernel's network stack. It knows nothing of Docker."""
