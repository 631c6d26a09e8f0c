"""EVENT-05 to 07: the event types, their subjects and their envelope."""

from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

import msgspec
import pytest

from aitrading.core.domain.feed_state import FeedState
from aitrading.core.infrastructure.event_bus import (
    EVERYWHERE,
    Event,
    EventEnvelope,
    IdempotentHandler,
    open_envelope,
    seal,
    subject_of,
)
from aitrading.core.infrastructure.events import (
    ALL_EVENTS,
    ChainMeasured,
    ExecuteTrade,
    FeedStateChanged,
    Side,
    TradingExecuted,
)
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import AccountId, DeviceId, TenantId
from aitrading.core.testing.async_test import async_test

TENANT = TenantId(UUID(int=1))
OTHER = TenantId(UUID(int=2))
ID = UUID(int=9)


def sealed(event: Event, tenant: TenantId | None = TENANT) -> bytes:
    return seal(event, event_id=ID, tenant=tenant, trace=None, now_ns=5)


FEED = FeedStateChanged(
    device=DeviceId(UUID(int=3)),
    symbol="EURUSD",
    previous=None,
    state=FeedState.LIVE,
    reason="first tick",
    last_event_ms=1,
)


def test_names_are_unique_and_have_a_domain() -> None:
    names = [event.NAME for event in ALL_EVENTS]
    assert len(set(names)) == len(names)
    assert all(name.count(".") == 1 and name == name.lower() for name in names)


def test_the_events_the_plan_names_exist() -> None:
    assert {
        "TradingExecuted",
        "RiskThresholdBreached",
        "MarketDataReceived",
        "MLPredictionGenerated",
        "ExecuteTrade",
        "UpdateRiskLimits",
    } <= {event.__name__ for event in ALL_EVENTS}


def test_facts_about_money_access_and_errors_are_durable() -> None:
    durable = {event.__name__ for event in ALL_EVENTS if event.DURABLE}
    assert durable == {
        "TradingExecuted",
        "RiskThresholdBreached",
        "DeviceRevoked",
        "SubscriptionChanged",
        "ErrorsSeen",
    }


def test_subjects_carry_the_owner() -> None:
    assert subject_of(FeedStateChanged, TENANT) == f"ait.{TENANT}.feed.state_changed"
    assert subject_of(ChainMeasured, None) == "ait.platform.chain.measured"
    assert subject_of(FeedStateChanged, EVERYWHERE) == "ait.*.feed.state_changed"


def test_an_event_survives_its_envelope_exactly() -> None:
    event = TradingExecuted(
        account=AccountId(UUID(int=4)),
        order=UUID(int=5),
        symbol="XAUUSD",
        side=Side.SELL,
        volume=Decimal("0.10"),
        price=Decimal("2650.120"),
        broker_ticket="77",
        executed_ns=123,
    )
    opened, envelope = open_envelope(
        sealed(event), TradingExecuted, subject_of(TradingExecuted, TENANT)
    )
    assert opened == event
    assert str(opened.price) == "2650.120"
    assert (envelope.id, envelope.tenant, envelope.occurred_ns) == (ID, TENANT, 5)


def test_amounts_travel_as_text() -> None:
    command = ExecuteTrade(
        account=AccountId(UUID(int=4)),
        client_order_id="c-1",
        symbol="EURUSD",
        side=Side.BUY,
        volume=Decimal("0.10"),
    )
    assert msgspec.json.decode(msgspec.json.encode(command))["volume"] == "0.10"


def test_a_newer_event_with_more_fields_is_read_by_older_code() -> None:
    class Newer(FeedStateChanged, frozen=True, kw_only=True):
        VERSION: ClassVar[int] = 2

        added_later: str = "x"

    newer = Newer(**{name: getattr(FEED, name) for name in FEED.__struct_fields__})
    event, envelope = open_envelope(
        sealed(newer), FeedStateChanged, subject_of(FeedStateChanged, TENANT)
    )
    assert event == FEED
    assert envelope.version == 2


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "BUS_BAD_ENVELOPE"),
        (b"\xff\x00", "BUS_BAD_ENVELOPE"),
        (b"{}", "BUS_BAD_ENVELOPE"),
        (sealed(FEED).replace(b'"symbol":"EURUSD"', b'"symbol":1'), "BUS_BAD_ENVELOPE"),
        (sealed(FEED, OTHER), "BUS_WRONG_TENANT"),
        (sealed(FEED, None), "BUS_WRONG_TENANT"),
        (sealed(FEED).replace(b"feed.state_changed", b"feed.other"), "BUS_WRONG_TENANT"),
    ],
)
def test_what_is_not_an_honest_event_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(AitradingError, match=code):
        open_envelope(data, FeedStateChanged, subject_of(FeedStateChanged, TENANT))


@async_test
async def test_an_id_is_remembered_after_success_only_and_not_for_ever() -> None:
    attempts: list[UUID] = []

    async def handler(_: Any, envelope: EventEnvelope) -> None:
        attempts.append(envelope.id)
        if len(attempts) == 1:
            raise RuntimeError("the first attempt fails")

    once = IdempotentHandler(handler, remember=2)

    def envelope(number: int) -> EventEnvelope:
        return EventEnvelope(
            id=UUID(int=number),
            type=FEED.NAME,
            version=1,
            tenant=None,
            trace=None,
            occurred_ns=1,
            payload=msgspec.Raw(b"{}"),
        )

    with pytest.raises(RuntimeError):
        await once(FEED, envelope(1))
    for number in (1, 1, 2, 2, 3, 1):
        await once(FEED, envelope(number))
    assert [each.int for each in attempts] == [1, 1, 2, 3, 1]
