"""Diagnosis of a probe: its verdict, the cause, and the changes that may help."""
