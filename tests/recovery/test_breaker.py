"""Breakers of the running platform open when what they guard fails, and close again."""

import pytest
from harness.episode import Episode

from aitrading.server.api_gateway.call_sites import PEER_BREAKER
from aitrading.server.data_bridge.call_sites import DATABASE_BREAKER, IDENTITY_BREAKER
from aitrading.server.database_service.call_sites import (
    CACHE_BREAKER,
    CLICKHOUSE_READ_BREAKER,
    CLICKHOUSE_WRITE_BREAKER,
    GRAPH_BREAKER,
    POSTGRES_BREAKER,
    VECTORS_BREAKER,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480)]


def test_bridge_database_opens_while_the_database_service_is_away(
    database_service_lost: Episode,
) -> None:
    database_service_lost.require(DATABASE_BREAKER)
    assert database_service_lost.facts["quotes move"]
    assert database_service_lost.facts["ticks are stored"]


def test_bridge_identity_opens_while_no_device_can_be_checked(api_gateway_lost: Episode) -> None:
    api_gateway_lost.require(IDENTITY_BREAKER)
    assert set(api_gateway_lost.facts["refusals"]) == {"LINK_OVERLOADED"}
    assert api_gateway_lost.facts["quotes move"], "connected devices stay"
    assert api_gateway_lost.facts["is checked again"]


def test_database_postgres_opens_while_postgresql_is_away(postgres_lost: Episode) -> None:
    postgres_lost.require(POSTGRES_BREAKER)
    assert postgres_lost.facts["quotes move"]
    assert postgres_lost.facts["ticks are stored"]


def test_database_vectors_opens_while_its_store_is_away(postgres_lost: Episode) -> None:
    postgres_lost.require(VECTORS_BREAKER)
    assert set(postgres_lost.facts["lookups"]) == {503}
    assert postgres_lost.facts["quotes move"]


def test_database_graph_opens_while_its_store_is_away(postgres_lost: Episode) -> None:
    postgres_lost.require(GRAPH_BREAKER)
    assert postgres_lost.facts["ticks are stored"]


def test_database_clickhouse_reads_opens_while_nothing_can_be_read(
    clickhouse_broken: Episode,
) -> None:
    clickhouse_broken.require(CLICKHOUSE_READ_BREAKER)
    assert clickhouse_broken.facts["questions"][-1] == 503
    assert clickhouse_broken.facts["questions later"] == 200


def test_database_clickhouse_writes_opens_while_nothing_can_be_written(
    clickhouse_broken: Episode,
) -> None:
    clickhouse_broken.require(CLICKHOUSE_WRITE_BREAKER)
    assert clickhouse_broken.facts["quotes move"]
    assert clickhouse_broken.facts["ticks are stored"]


def test_gateway_peers_opens_for_the_one_that_is_away(database_service_lost: Episode) -> None:
    database_service_lost.require(PEER_BREAKER)


def test_database_cache_is_not_asked_while_it_is_away(valkey_lost: Episode) -> None:
    valkey_lost.require(CACHE_BREAKER)
    assert valkey_lost.facts["busiest"] == 503, "only what lives in the cache alone is missing"
    assert valkey_lost.facts["busiest is back"]
