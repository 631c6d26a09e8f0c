"""The platform as fixtures."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

import pytest
from harness.platform import Platform, running_platform

SHARED: Final = ("hurt", "battered", "replicated", "platform")
"""Fixtures that start a whole platform and keep it for every test that asks for it."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one shared platform run in one worker: a second one would start its own.

    This alone decides: xdist joins the names of all groups of a test to the name of a new one.
    """
    for item in items:
        used = [name for name in SHARED if name in getattr(item, "fixturenames", ())]
        if used:
            assert item.get_closest_marker("xdist_group") is None, item.nodeid
            item.add_marker(pytest.mark.xdist_group(used[0]))


def pytest_collection_finish(session: pytest.Session) -> None:
    """xdist reads groups from names; a pytest that hides them would start platforms by the dozen."""
    if session.config.getoption("loadgroup", default=False):
        for item in session.items:
            for mark in item.iter_markers("xdist_group"):
                assert item.nodeid.endswith(f"@{mark.args[0]}"), "groups do not reach xdist"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object, object]:
    """Stop a shared platform after the last test that asks for it.

    Idle platforms took half of the machine from the tests that followed. Only where a worker has
    all its tests together: elsewhere it would be started again and again.
    """
    result = yield
    if "PYTEST_XDIST_WORKER" in os.environ and isinstance(item, pytest.Function):
        wanted = set(getattr(nextitem, "fixturenames", ()))
        for name in set(SHARED) & set(item.fixturenames) - wanted:
            for definition in item._fixtureinfo.name2fixturedefs.get(name, ()):
                definition.finish(item._request)
    return result


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
