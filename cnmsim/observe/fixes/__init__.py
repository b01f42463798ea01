"""Changes to a lab, and fixes that were tried on a fork of it."""
