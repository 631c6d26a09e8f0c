"""Work of the running platform that is done again until it succeeds."""

import pytest
from harness.episode import Episode
from harness.platform import Platform

from aitrading.server.data_bridge.call_sites import SEGMENT_HANDOVER
from aitrading.server.kit.replay import POSTGRES_REPLAY

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480)]


def test_bridge_segment_handover_is_repeated_until_the_ticks_are_stored(
    database_service_lost: Episode, hurt: Platform
) -> None:
    database_service_lost.require(SEGMENT_HANDOVER)
    assert database_service_lost.facts["ticks are stored"]
    stored = hurt.history("EURUSD")
    assert stored == list(range(1, len(stored) + 1))


def test_postgres_replay_is_tried_while_postgresql_restarts(postgres_lost: Episode) -> None:
    postgres_lost.require(POSTGRES_REPLAY)
    assert postgres_lost.facts["a change"] == 503, "told, once it was tried for long enough"
