"""What the running platform stops doing rather than doing it wrongly."""

import pytest
from harness.episode import Episode

from aitrading.server.data_bridge.call_sites import SPOOL_HALT
from aitrading.server.trading_engine.call_sites import BUS_HALT, DATABASE_HALT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480)]


def test_bridge_spool_that_is_full_acknowledges_nothing(spool_filled: Episode) -> None:
    spool_filled.require(SPOOL_HALT)
    device = spool_filled.facts["device"]
    assert device["code"] == ["LINK_OVERLOADED"]
    assert device["acknowledged"] < device["sent"]
    assert spool_filled.facts["bridge ready"] == 503
    assert spool_filled.facts["quotes"]["items"], "what is known is still told"
    assert spool_filled.facts["bridge ready later"] == 200
    assert spool_filled.facts["ticks are stored"]


def test_engine_bus_that_is_lost_halts_trading(nats_lost: Episode) -> None:
    nats_lost.require(BUS_HALT)
    told = nats_lost.facts["engine"]
    assert (told["state"], told["ready"]) == ("FAILED", False)
    assert BUS_HALT.capability in told["resilience"]["halted"]
    assert nats_lost.facts["quotes move"]
    assert nats_lost.facts["ticks are stored"]


def test_engine_database_that_is_lost_halts_trading(postgres_lost: Episode) -> None:
    postgres_lost.require(DATABASE_HALT)
    assert postgres_lost.facts["engine ready"] == 503
    assert postgres_lost.facts["risk"]["trading"] == "HALTED"
