"""What holds for every test: Hypothesis draws the same examples in every run, and is not timed."""

import os

import pytest
from hypothesis import HealthCheck, settings
from support.linux import reason_not_to

# Drawing takes long on a busy machine, which says nothing about a test.
settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Run two workers a core: the docker command waits for real seconds, in which another worker has work."""
    return 2 * (os.cpu_count() or 1)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked `root(*programs, trial=…, version=…)` with the reason where the kernel cannot be asked."""
    for mark in item.iter_markers("root"):
        if reason := reason_not_to(*mark.args, **mark.kwargs):
            pytest.skip(reason=reason)
