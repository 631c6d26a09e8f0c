"""A bridge that lets a revoked device in is found by a test that is there already."""

from typing import Any

import pytest
from harness.planting import Weakness, planted, turns_red

from aitrading.server.data_bridge.ports import DeviceStatus

pytestmark = pytest.mark.integration
REVOKED = Weakness(
    function=DeviceStatus.is_active,
    piece='self.state == "active"',
    weak="True",
    found_by="server/tests/data_bridge/test_link.py::test_unknown_and_foreign_devices_are_refused",
)


def test_a_revoked_device_that_may_connect_turns_its_test_red(
    world: Any, identity: Any, stranger: Any
) -> None:
    given = {"world": world, "identity": identity, "stranger": stranger}
    assert not turns_red(REVOKED.found_by, **given)
    with planted(REVOKED):
        assert turns_red(REVOKED.found_by, **given)
