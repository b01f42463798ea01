"""What holds for every test: Hypothesis draws the same examples in every run, and is not timed."""

import os

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Run one worker more than there are cores: the docker command waits for real seconds, in which another has work."""
    return (os.cpu_count() or 1) + 1
