"""What the running platform does without, and says so."""

import pytest
from harness.episode import Episode

from aitrading.core.infrastructure.central_hub import REGISTRY_LOST
from aitrading.server.data_bridge.call_sites import QUOTES_LAST_KNOWN, VIEWER_PLAN
from aitrading.server.database_service.call_sites import CACHE_DEGRADE, READ_BUDGET_DEGRADE
from aitrading.server.kit.rate_limits import BLOCKS_PER_LIMIT, RATE_LIMITS_DEGRADE, SHARES
from aitrading.server.kit.used_proofs import USED_PROOFS_DEGRADE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480)]


def test_bridge_last_known_quotes_are_called_unavailable(database_service_lost: Episode) -> None:
    database_service_lost.require(QUOTES_LAST_KNOWN)
    answer = database_service_lost.facts["quotes"]
    assert (answer["source"], answer["items"]) == ("unavailable", [])


def test_bridge_viewer_plan_blinds_nobody(database_service_lost: Episode) -> None:
    database_service_lost.require(VIEWER_PLAN)
    assert database_service_lost.facts["quotes"].get("held") is None
    assert database_service_lost.facts["quotes move"]


def test_database_quote_cache_is_done_without(valkey_lost: Episode) -> None:
    valkey_lost.require(CACHE_DEGRADE)
    assert valkey_lost.facts["ticks are stored"]


def test_database_read_budget_is_kept_without_the_cache(valkey_lost: Episode) -> None:
    valkey_lost.require(READ_BUDGET_DEGRADE)
    assert valkey_lost.facts["ticks are stored"], "reading went on"


def test_rate_limits_are_kept_without_the_cache(valkey_lost: Episode) -> None:
    valkey_lost.require(RATE_LIMITS_DEGRADE)
    limit = valkey_lost.facts["limit"]
    assert valkey_lost.facts["admitted of more than a block"] > limit // BLOCKS_PER_LIMIT
    paid_back = valkey_lost.facts["asked for"] * limit / SHARES / 60
    assert valkey_lost.facts["admitted of too many"] <= limit // SHARES + paid_back + 1


def test_used_proofs_are_known_to_who_saw_them_without_the_cache(valkey_lost: Episode) -> None:
    valkey_lost.require(USED_PROOFS_DEGRADE)
    assert valkey_lost.facts["a proof, and again"] == [200, 401]
    assert valkey_lost.facts["an order with a proof"] == "PROOF_UNCHECKED"


def test_hub_registry_answers_with_the_last_known_services(nats_lost: Episode) -> None:
    nats_lost.require(REGISTRY_LOST)
    hub = nats_lost.facts["hub"]
    assert hub["state"] == "DEGRADED"
    assert hub["fields"]["services"] == 4
    assert hub["fields"]["stale_since_ns"]
