"""What the running platform does without, and says so."""

import pytest
from harness.episode import Episode

from aitrading.core.infrastructure.central_hub import REGISTRY_LOST
from aitrading.server.data_bridge.call_sites import QUOTES_LAST_KNOWN
from aitrading.server.database_service.call_sites import CACHE_DEGRADE, READ_BUDGET_DEGRADE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def test_bridge_last_known_quotes_are_called_unavailable(database_service_lost: Episode) -> None:
    database_service_lost.require(QUOTES_LAST_KNOWN)
    answer = database_service_lost.facts["quotes"]
    assert (answer["source"], answer["items"]) == ("unavailable", [])


def test_database_quote_cache_is_done_without(valkey_lost: Episode) -> None:
    valkey_lost.require(CACHE_DEGRADE)
    assert valkey_lost.facts["ticks are stored"]


def test_database_read_budget_is_kept_without_the_cache(valkey_lost: Episode) -> None:
    valkey_lost.require(READ_BUDGET_DEGRADE)
    assert valkey_lost.facts["ticks are stored"], "reading went on"


def test_hub_registry_answers_with_the_last_known_services(nats_lost: Episode) -> None:
    nats_lost.require(REGISTRY_LOST)
    hub = nats_lost.facts["hub"]
    assert hub["state"] == "DEGRADED"
    assert hub["fields"]["services"] == 4
    assert hub["fields"]["stale_since_ns"]
