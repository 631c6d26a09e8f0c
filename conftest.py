"""What holds for every test of the workspace."""

import signal

import pytest
from hypothesis import settings

settings.register_profile("house", deadline=None)  # no test judges by the clock of a busy machine
settings.load_profile("house")

# Whoever starts the tests in the background may have them ignore Ctrl-C, and every platform that a
# test starts would ignore it too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first: a worker that got it last would be waited for by the others."""
    items.sort(key=_may_take_s, reverse=True)


def _may_take_s(item: pytest.Item) -> float:
    """As far as its marks tell; the tests of one group run one after the other."""
    if item.get_closest_marker("xdist_group"):
        return float("inf")
    mark = item.get_closest_marker("timeout")
    return float(mark.args[0]) if mark else 0.0
