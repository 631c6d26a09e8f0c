"""Feed states, and what the bus and the API tell about them."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
from starlette.types import Message

from aitrading.core.domain.feed_state import FeedState
from aitrading.core.infrastructure.event_bus import EventEnvelope
from aitrading.core.infrastructure.events import FeedStateChanged, MarketDataReceived
from aitrading.core.kit.clock import NS_PER_S, SystemClock, rfc3339_of_ns
from aitrading.core.kit.ids import TenantId
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.security.subscription import SubscriptionState
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.data_bridge.calendars import Calendars
from aitrading.server.data_bridge.endpoints import MarketDataEndpoints
from aitrading.server.data_bridge.settings import FeedSettings
from aitrading.server.data_bridge.verdicts import FeedView, judge
from aitrading.server.kit.asgi import AppParts, build_app
from aitrading.server.kit.calendar_settings import CalendarWords
from aitrading.server.kit.endpoints import endpoints_of
from aitrading.server.kit.ingest_api import LastQuote, LastQuotes
from aitrading.server.kit.peer_errors import PEER_UNREACHABLE
from aitrading.server.policy import limits_policy
from aitrading.server.testing.bridge import RunningBridge, running_bridge
from aitrading.server.testing.probe_device import Device, declared, ticks
from aitrading.server.testing.probe_person import USER, access_token
from aitrading.server.testing.services import ServiceWorld

STANDARD = limits_policy().tiers["standard"].holds
SETTINGS = FeedSettings(delayed_after_s=10, stale_after_s=60, dead_after_s=900)
QUICK = {"feed.delayed_after_s": "0.4", "feed.stale_after_s": "0.8", "feed.dead_after_s": "1.2"}


@pytest.mark.parametrize(
    ("event_age_s", "silent_s", "is_linked", "expected"),
    [
        (0.1, 0.1, True, FeedState.LIVE),
        (-5.0, 0.1, True, FeedState.LIVE),
        (9.9, 9.9, True, FeedState.LIVE),
        (10.0, 0.1, True, FeedState.DELAYED),
        (0.1, 10.0, True, FeedState.DELAYED),
        (60.0, 1.0, True, FeedState.STALE),
        (0.1, 0.1, False, FeedState.STALE),
        (900.0, 0.1, True, FeedState.DEAD),
        (0.1, 900.0, False, FeedState.DEAD),
        (None, 1.0, True, FeedState.UNKNOWN),
        (None, 1.0, False, FeedState.UNKNOWN),
        (None, 900.0, True, FeedState.DEAD),
    ],
)
def test_a_feed_is_judged_by_its_age_and_its_link(
    event_age_s: float | None, silent_s: float, is_linked: bool, expected: FeedState
) -> None:
    view = FeedView(event_age_s=event_age_s, silent_s=silent_s, is_linked=is_linked)
    verdict = judge(view, SETTINGS)
    assert verdict.state is expected
    assert verdict.reason


def test_a_late_feed_says_what_its_client_knows_of_it() -> None:
    why = "hidden in Market Watch"
    view = FeedView(event_age_s=70, silent_s=70, is_linked=True, why_silent=why)
    assert judge(view, SETTINGS).reason == f"the newest tick is 70 s old; its client says: {why}"
    live = FeedView(event_age_s=0.1, silent_s=0.1, is_linked=True, why_silent=why)
    gone = FeedView(event_age_s=70, silent_s=70, is_linked=False, why_silent=why)
    assert why not in judge(live, SETTINGS).reason + judge(gone, SETTINGS).reason


def test_thresholds_must_grow() -> None:
    wrong = FeedSettings(delayed_after_s=60, stale_after_s=60, dead_after_s=900)
    assert wrong.problems()
    assert not SETTINGS.problems()


async def get(
    bridge: RunningBridge, world: ServiceWorld, path: str, tenant: TenantId
) -> tuple[int, Mapping[str, Any]]:
    """Ask the bridge's application as a person of the tenant."""
    token = access_token(world, tenant)
    parts = await bridge.get(AppParts)
    app = build_app(parts, endpoints_of(await bridge.get(MarketDataEndpoints)))
    answer: list[Message] = []
    path, _, query = path.partition("?")
    scope: dict[str, Any] = {
        "type": "http", "http_version": "1.1", "method": "GET", "path": path,
        "raw_path": path.encode(),
        "root_path": "", "scheme": "https", "query_string": query.encode(), "state": {},
        "headers": [(b"authorization", f"Bearer {token}".encode()), (b"host", b"x")],
    }  # fmt: skip

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        answer.append(message)

    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in answer)
    return answer[0]["status"], json.loads(body)


@async_test
async def test_a_silent_feed_grows_old_and_everybody_is_told(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    told: list[FeedStateChanged] = []
    summaries: list[MarketDataReceived] = []
    owners: set[TenantId | None] = set()

    async def on_feed(event: FeedStateChanged, envelope: EventEnvelope) -> None:
        told.append(event)
        owners.add(envelope.tenant)

    async def on_data(event: MarketDataReceived, _: EventEnvelope) -> None:
        summaries.append(event)

    # Each state lasts many looks of who tells them, so that none is passed over.
    settings = {
        "feed.delayed_after_s": "1", "feed.stale_after_s": "2", "feed.dead_after_s": "3",
        "bridge.event_interval_ms": "100",
    }  # fmt: skip
    async with running_bridge(world, settings=settings) as bridge:
        await bridge.bus.subscribe(FeedStateChanged, on_feed)
        await bridge.bus.subscribe(MarketDataReceived, on_data)
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        device.send(ticks(5))
        await eventually(lambda: told and told[-1].state == "DEAD")
        states = [event.state for event in told]
        assert [state for state in ("LIVE", "DELAYED", "STALE", "DEAD") if state in states] == [
            "LIVE", "DELAYED", "STALE", "DEAD",
        ]  # fmt: skip
        assert owners == {identity.tenant}
        assert (summaries[0].count, summaries[0].last_sequence) == (5, 5)
        assert str(summaries[0].bid) == "1.08005"


@async_test
async def test_feeds_and_quotes_page_by_page(
    world: ServiceWorld, identity: DeviceIdentity, stranger: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        device = Device(identity)
        symbols = ("EURUSD", "GBPUSD", "XAUUSD")
        streams = [declared(handle, symbol) for handle, symbol in enumerate(symbols, start=1)]
        await device.open(bridge.socket, *streams)
        for stream in streams:
            device.send(ticks(2), handle=stream.handle)
            await device.until_acknowledged(2, stream.handle)
        for path in ("/api/v1/quotes", "/api/v1/feeds"):
            status, page = await get(bridge, world, f"{path}?limit=2", identity.tenant)
            assert status == 200
            assert [one["symbol"] for one in page["items"]] == ["EURUSD", "GBPUSD"]
            cursor = page["next_cursor"]
            _, rest = await get(bridge, world, f"{path}?limit=2&cursor={cursor}", identity.tenant)
            assert [one["symbol"] for one in rest["items"]] == ["XAUUSD"]
            assert rest["next_cursor"] is None
            if path == "/api/v1/feeds":
                assert (rest["count"], rest["limit"]) == (3, STANDARD.feeds_max)
            _, one = await get(bridge, world, f"{path}?symbol=GBPUSD", identity.tenant)
            assert [item["symbol"] for item in one["items"]] == ["GBPUSD"]
            _, foreign = await get(bridge, world, path, stranger.tenant)
            assert foreign["items"] == []
            for wrong in ("limit=0", "limit=x", "cursor=%21"):
                status, _ = await get(bridge, world, f"{path}?{wrong}", identity.tenant)
                assert status == 400
        _, live = await get(bridge, world, "/api/v1/quotes", identity.tenant)
        assert live["source"] == "live"


@async_test
async def test_without_a_subscription_that_counts_feeds_and_limits_are_told_and_no_quotes(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        await device.until_acknowledged(device.send(ticks(2)))
        bridge.store.subscriptions[identity.tenant, USER] = SubscriptionState.ENDED
        status, page = await get(bridge, world, "/api/v1/quotes", identity.tenant)
        assert (status, page["source"], page["items"]) == (200, "held", [])
        assert page["held"]["code"] == "SUBSCRIPTION_INACTIVE"
        assert page["limits"]["heartbeat_s"]
        _, feeds = await get(bridge, world, "/api/v1/feeds", identity.tenant)
        assert [one["symbol"] for one in feeds["items"]] == ["EURUSD"]


@async_test
async def test_whoever_shows_quotes_is_told_the_limits_in_force(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world, settings={**QUICK, "stream.heartbeat_s": "7"}) as bridge:
        _, page = await get(bridge, world, "/api/v1/quotes", identity.tenant)
        assert page["limits"] == {
            "delayed_after_s": 0.4, "stale_after_s": 0.8, "dead_after_s": 1.2, "heartbeat_s": 7,
        }  # fmt: skip


@async_test
async def test_ticks_in_doubt_are_no_quotes_and_no_sign_of_life(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world, settings=QUICK) as bridge:
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        last = device.send(ticks(1))
        await device.until_acknowledged(last)

        async def feed_after_a_crossed_tick() -> Mapping[str, Any]:
            rows = ticks(1, first=7)
            rows["ask"] = rows["bid"] - 1
            device.send(rows)
            _, page = await get(bridge, world, "/api/v1/feeds", identity.tenant)
            return page["items"][0]

        async def is_dead() -> bool:
            return (await feed_after_a_crossed_tick())["state"] == "DEAD"

        await eventually(is_dead)
        feed = await feed_after_a_crossed_tick()
        assert feed["quarantined"] >= 1
        assert feed["quarantine_reason"] == "CROSSED"
        assert "in quarantine: the ask is below the bid" in feed["reason"]
        _, page = await get(bridge, world, "/api/v1/quotes", identity.tenant)
        assert [(one["bid"], one["sequence"]) for one in page["items"]] == [("1.08001", 1)]


@async_test
async def test_a_symbol_that_nobody_explained_is_quarantined_where_that_is_wanted(
    world: ServiceWorld, identity: DeviceIdentity, stranger: DeviceIdentity
) -> None:
    strict = CalendarWords(quarantine_unknown=True)
    async with running_bridge(world) as bridge:
        bridge.store.words[identity.tenant] = strict
        for who in (identity, stranger):
            bridge.devices.add(who)
        calendars = await bridge.get(Calendars)
        for tenant in (identity.tenant, stranger.tenant):
            calendars.is_unwanted(tenant, "EURUSD")
        await calendars.refresh()

        async def quoted(who: DeviceIdentity) -> list[str]:
            device = Device(who)
            await device.open(bridge.socket, declared(1, "EURUSD"), declared(2, "RANGE-7"))
            for handle in (1, 2):
                await device.until_acknowledged(device.send(ticks(2), handle=handle), handle)
            _, page = await get(bridge, world, "/api/v1/quotes", who.tenant)
            return [one["symbol"] for one in page["items"]]

        assert await quoted(identity) == ["EURUSD"]
        assert await quoted(stranger) == ["EURUSD", "RANGE-7"]
        bridge.store.words[identity.tenant] = CalendarWords(
            quarantine_unknown=True, symbols="RANGE-7=indices R7"
        )
        await calendars.refresh()
        assert await quoted(identity) == ["EURUSD", "RANGE-7"]


@async_test
async def test_after_a_restart_the_last_known_quotes_answer(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    clock = SystemClock()

    def known(symbol: str, age_s: int) -> LastQuote:
        time = rfc3339_of_ns(clock.now_ns() - age_s * NS_PER_S)
        return LastQuote(
            symbol=symbol, stream=UUID(int=5), sequence=9, bid="1.08000", ask=None, time=time
        )

    quotes = (known("EURUSD", 2), known("GBPUSD", 880), known("USDJPY", 901))
    async with running_bridge(world) as bridge:
        bridge.store.quotes = LastQuotes(source="cache", quotes=quotes)
        _, page = await get(bridge, world, "/api/v1/quotes", identity.tenant)
        assert page["source"] == "cache"
        assert [one["state"] for one in page["items"]] == ["UNKNOWN", "UNKNOWN", "DEAD"]
        assert [one["time"] for one in page["items"]] == [one.time for one in quotes]
        fallback = bridge.health.report()["resilience"]["fallback"]["bridge-quotes"]
        assert fallback["active"]
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        device.send(ticks(1))
        await device.until_acknowledged(1)
        _, page = await get(bridge, world, "/api/v1/quotes", identity.tenant)
        assert page["source"] == "live"


@async_test
async def test_without_the_database_the_answer_says_what_it_lacks(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.store.failure = PEER_UNREACHABLE.error(peer="database-service", reason="test")
        status, page = await get(bridge, world, "/api/v1/quotes", identity.tenant)
        assert (status, page["items"], page["source"]) == (200, [], "unavailable")
        assert bridge.errors.recovery_report()["bridge-last-known-quotes"].active
