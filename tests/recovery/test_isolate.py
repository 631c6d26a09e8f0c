"""One bad sender, one bad file: kept out, while everything else goes on."""

import pytest
from harness.episode import Episode

from aitrading.server.data_bridge.call_sites import DEVICE_ISOLATION, SEGMENT_QUARANTINE
from aitrading.server.database_service.call_sites import SEGMENT_ISOLATION

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480)]


def test_bridge_device_that_sends_nonsense_is_kept_out(hostile_device: Episode) -> None:
    hostile_device.require(DEVICE_ISOLATION)
    assert hostile_device.facts["refusals"] == ["LINK_DEVICE_REFUSED"]
    assert len(hostile_device.facts["isolated"]) == 1
    assert hostile_device.facts["quotes move"]


def test_bridge_segment_that_is_damaged_is_set_aside(segment_damaged_in_spool: Episode) -> None:
    segment_damaged_in_spool.require(SEGMENT_QUARANTINE, rests=False)
    assert segment_damaged_in_spool.facts["set aside"] == 1
    assert segment_damaged_in_spool.facts["ticks are stored"]


def test_database_segment_that_is_damaged_is_kept_and_refused_unread(
    segment_damaged_on_the_way: Episode,
) -> None:
    segment_damaged_on_the_way.require(SEGMENT_ISOLATION, rests=False)
    assert segment_damaged_on_the_way.facts["answers"] == ["SEGMENT_QUARANTINED"] * 2
    assert segment_damaged_on_the_way.facts["kept"] == 1
    assert segment_damaged_on_the_way.facts["ticks are stored"]
