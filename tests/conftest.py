"""What holds for every test: Hypothesis draws the same examples in every run, and is not timed."""

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")
