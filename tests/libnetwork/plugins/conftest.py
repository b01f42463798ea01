"""A stage for each release."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.plugin_stage import Stage


@pytest.fixture(params=["26.1.5", "28.5.2", "29.7.2"])
def release(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def stage(release: str, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(release, tmp_path)
    with made.plugin:
        yield made
