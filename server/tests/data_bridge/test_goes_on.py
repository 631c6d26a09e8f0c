"""Whatever unforeseen ends a round of the bridge's own work: it is told, and the work goes on."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from aitrading.core.infrastructure.lifecycle import AGAIN_FIRST_S, ComponentState
from aitrading.core.infrastructure.resilience import CircuitBreaker
from aitrading.core.infrastructure.spool import Spool
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.manual_clock import ManualClock, settle
from aitrading.server.data_bridge.announcer import Announcer
from aitrading.server.data_bridge.calendars import REFRESH_S, Calendars
from aitrading.server.data_bridge.fanout import FanOut
from aitrading.server.data_bridge.flow import TickFlow
from aitrading.server.data_bridge.handover import SegmentHandover
from aitrading.server.data_bridge.links import DeviceLinks
from aitrading.server.data_bridge.peers import DatabasePeer
from aitrading.server.data_bridge.spool_guard import SpoolGuard
from aitrading.server.data_bridge.truth import ROUND_S, TruthKeeper
from aitrading.server.kit.feed_truth_api import BRIDGE, FeedTruth, GapTold
from aitrading.server.testing.bridge import RunningBridge, running_bridge
from aitrading.server.testing.probe_device import Device, declared, ticks
from aitrading.server.testing.services import ServiceWorld


class Once:
    """Stands before a method: fails the first time, and counts what comes after."""

    def __init__(self, behind: Callable[..., Any]) -> None:
        self._behind = behind
        self.calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if self.calls == 1:
            raise OSError(5, "Input/output error")
        return self._behind(*args, **kwargs)


WORK = (
    (SegmentHandover, "_spool", "next_sealed"),
    (TickFlow, "_feeds", "judge_due"),
    (DeviceLinks, "_rights", "outdated"),
    (SpoolGuard, "_shares", "let_go"),
    (Announcer, "_feeds", "now"),
    (FanOut, "_viewers", "look_again"),
)
"""A component, and what it calls in each round."""


@pytest.mark.parametrize(("kind", "part", "method"), WORK, ids=lambda each: str(each)[-40:])
@async_test
async def test_a_round_that_failed_is_followed_by_others(
    world: ServiceWorld,
    identity: DeviceIdentity,
    monkeypatch: pytest.MonkeyPatch,
    kind: type,
    part: str,
    method: str,
) -> None:
    async with running_bridge(world) as bridge:
        component = await bridge.get(kind)
        owner = getattr(component, part)
        once = Once(getattr(owner, method))
        monkeypatch.setattr(type(owner), method, lambda _, *args, **more: once(*args, **more))
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        await device.until_acknowledged(device.send(ticks(4)))
        await eventually(lambda: once.calls >= 1, timeout_s=40, what="the round that fails")
        await eventually(
            lambda: component.state is ComponentState.DEGRADED or once.calls > 1, what="its word"
        )
        assert component.state is ComponentState.DEGRADED
        await eventually(lambda: once.calls >= 3 or handed_over(component), timeout_s=80)


def handed_over(component: object) -> bool:
    return isinstance(component, SegmentHandover) and component.handed_over > 0


@async_test
async def test_a_segment_that_cannot_be_deleted_is_handed_over_again_and_the_next_ones_follow(
    world: ServiceWorld, identity: DeviceIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_bridge(world) as bridge:
        once = Once((await bridge.get(Spool)).delete)
        monkeypatch.setattr(Spool, "delete", lambda _, segment: once(segment))
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        await device.until_acknowledged(device.send(ticks(10)))
        handover = await bridge.get(SegmentHandover)
        await eventually(lambda: once.calls == 1, what="the delete that fails")
        await eventually(lambda: handover.state is ComponentState.DEGRADED)
        await device.until_acknowledged(device.send(ticks(10, first=11)))
        await eventually(lambda: handover.handed_over >= 2, what="both segments")
        assert sum(map(len, bridge.store.rows().values())) == 20
        assert bridge.store.copies() == 0


@async_test
async def test_one_link_that_fails_is_cut_off_and_the_others_live(
    world: ServiceWorld, identity: DeviceIdentity, stranger: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bad, good = await connected(bridge, identity), await connected(bridge, stranger)
        links = await bridge.get(DeviceLinks)
        link = links._links[identity.device]
        polls = Once(lambda: None)

        def fails() -> None:
            polls()

        link.poll = fails  # type: ignore[method-assign]
        await eventually(bad.ended.is_set, what="the end of the link that fails")
        assert links.is_connected(stranger.device)
        assert links.state is ComponentState.HEALTHY
        await good.until_acknowledged(good.send(ticks(1)))


async def connected(bridge: RunningBridge, identity: DeviceIdentity) -> Device:
    bridge.devices.add(identity)
    device = Device(identity)
    await device.open(bridge.socket, declared())
    return device


@async_test
async def test_calendars_are_followed_after_a_round_that_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unused: Any = None
    clock = ManualClock()
    calendars = Calendars(unused, unused, clock)

    async def nothing() -> None:
        pass

    once = Once(nothing)
    monkeypatch.setattr(calendars, "refresh", once)
    await calendars.start()
    await settle()
    for _ in range(3):
        await clock.advance(REFRESH_S)
    assert once.calls >= 2
    assert calendars.state is ComponentState.DEGRADED
    await calendars.stop()


class SlowStore:
    """A database service that answers the first time never, or badly, and then well."""

    def __init__(self, first: Exception | None) -> None:
        self._first = first
        self.calls = 0
        self.told: list[FeedTruth] = []

    async def tell_truth(self, truth: FeedTruth) -> None:
        self.calls += 1
        if self.calls == 1:
            if self._first is not None:
                raise self._first
            await asyncio.Event().wait()
        self.told.append(truth)


def keeper_with_news(store: SlowStore, clock: ManualClock, device: DeviceIdentity) -> TruthKeeper:
    unused: Any = None
    keeper = TruthKeeper(store, unused, clock)  # type: ignore[arg-type]
    gap = GapTold(
        stream=UUID(int=1), reason="stale", recorded_by=BRIDGE, noticed_ns=1, from_ms=1, until_ms=2
    )
    keeper._waiting[device].gaps[gap.id] = gap
    return keeper


@async_test
async def test_what_was_being_told_at_a_stop_is_told(identity: DeviceIdentity) -> None:
    store, clock = SlowStore(None), ManualClock()
    keeper = keeper_with_news(store, clock, identity)
    await keeper.start()
    await settle()
    await clock.advance(ROUND_S)
    assert (store.calls, store.told) == (1, [])
    await keeper.stop()
    assert (len(store.told), keeper.waiting) == (1, 0)


@async_test
async def test_what_was_not_told_for_something_unforeseen_is_told_later(
    identity: DeviceIdentity,
) -> None:
    store, clock = SlowStore(ValueError("unforeseen")), ManualClock()
    keeper = keeper_with_news(store, clock, identity)
    await keeper.start()
    await settle()
    await clock.advance(ROUND_S)
    assert (keeper.waiting, keeper.state) == (1, ComponentState.DEGRADED)
    await clock.advance(AGAIN_FIRST_S)
    await clock.advance(ROUND_S)
    assert (len(store.told), keeper.waiting) == (1, 0)
    await keeper.stop()


class Client:
    """A database service that takes segments, and fails at everything else."""

    async def post(self, path: str, **_: Any) -> str:
        return path

    async def request(self, *_: Any, **__: Any) -> Any:
        raise OSError("not this")

    get = request


@async_test
async def test_ticks_are_handed_over_although_everything_else_fails(
    identity: DeviceIdentity,
) -> None:
    client: Any = Client()
    peer = DatabasePeer(client, CircuitBreaker("test", clock=SystemClock(), failure_threshold=1))
    for _ in range(2):
        with pytest.raises((OSError, AitradingError)):
            await peer.last_quotes(identity.tenant)
    assert await peer.store("one", b"")
