"""The platform as fixtures."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.platform import Platform, running_platform


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One platform for all tests that only look at it."""
    with running_platform(tmp_path_factory.mktemp("platform") / "home") as running:
        yield running


@pytest.fixture
def own_platform(tmp_path: Path) -> Iterator[Platform]:
    """A platform for one test that hurts it."""
    with running_platform(tmp_path / "home") as running:
        yield running
