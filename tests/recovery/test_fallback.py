"""Lesser answers of the running platform, marked as such."""

import pytest
from harness.episode import Episode

from aitrading.server.api_gateway.call_sites import HEALTH_LAST_KNOWN
from aitrading.server.data_bridge.call_sites import QUOTE_FALLBACK

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480)]


def test_bridge_quotes_are_the_last_known_and_unknown_after_a_restart(
    bridge_restarted_alone: Episode,
) -> None:
    bridge_restarted_alone.require(QUOTE_FALLBACK)
    answer = bridge_restarted_alone.facts["quotes"]
    assert answer["source"] in {"cache", "store"}
    assert {"EURUSD", "GBPUSD", "USDJPY", "XAUUSD"} <= {one["symbol"] for one in answer["items"]}
    assert {one["state"] for one in answer["items"]} == {"UNKNOWN"}


def test_gateway_health_goes_on_with_what_a_service_said_last(
    database_service_lost: Episode,
) -> None:
    database_service_lost.require(HEALTH_LAST_KNOWN)
    lines = {line["name"]: line for line in database_service_lost.facts["services"]}
    assert lines["database-service"]["as_of"] < lines["data-bridge"]["as_of"]
