"""Unknown is not LIVE, and one tenant never sees another's feeds."""

import asyncio
from uuid import UUID

import msgspec
import pytest

from aitrading.core.infrastructure.event_bus import EventEnvelope
from aitrading.core.infrastructure.events import FeedStateChanged
from aitrading.core.kit.ids import DeviceId, TenantId
from aitrading.server.trading_engine import feed_watch
from aitrading.server.trading_engine.feed_watch import FeedWatch
from aitrading.server.trading_engine.trading_switch import TradingState, TradingSwitch

DEMO, OTHER = TenantId(UUID(int=1)), TenantId(UUID(int=2))
DEVICE = DeviceId(UUID(int=9))


def change(symbol: str, state: str) -> FeedStateChanged:
    return FeedStateChanged(
        device=DEVICE, symbol=symbol, previous=None, state=state, reason="test", last_event_ms=None
    )


def envelope(tenant: TenantId, occurred_ns: int = 1) -> EventEnvelope:
    return EventEnvelope(
        id=UUID(int=occurred_ns),
        type=FeedStateChanged.NAME,
        version=1,
        tenant=tenant,
        trace=None,
        occurred_ns=occurred_ns,
        payload=msgspec.Raw(b"{}"),
    )


def test_the_last_word_counts_and_tenants_are_apart() -> None:
    watch = FeedWatch()
    asyncio.run(watch.on_change(change("EURUSD", "LIVE"), envelope(DEMO)))
    asyncio.run(watch.on_change(change("EURUSD", "STALE"), envelope(DEMO, 2)))
    assert [feed.state for feed in watch.of_tenant(DEMO)] == ["STALE"]
    assert watch.of_tenant(OTHER) == []
    watch.forget_all()
    assert watch.of_tenant(DEMO) == []


def test_the_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_watch, "MAX_FEEDS", 2)
    watch = FeedWatch()
    for symbol in ("A", "B", "C"):
        asyncio.run(watch.on_change(change(symbol, "LIVE"), envelope(DEMO)))
    assert [feed.symbol for feed in watch.of_tenant(DEMO)] == ["B", "C"]


def test_trading_is_halted_while_any_reason_holds() -> None:
    switch = TradingSwitch()
    switch.halt("bus", "lost")
    switch.clear("bus")
    assert switch.state is TradingState.HALTED
    assert [reason.name for reason in switch.reasons] == ["engine"]
