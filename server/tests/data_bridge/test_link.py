"""Devices talk to a real bridge over real WebSockets."""

import asyncio
import json
from uuid import UUID

import pytest
from picows import WSHandshakeError, WSMsgType

from aitrading.core.domain.market import ROW_BYTES
from aitrading.core.domain.stream_days import TickMark, mark_of
from aitrading.core.infrastructure.events import DeviceRevoked, SubscriptionChanged
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.tracing import (
    Outcome,
    RequestTracer,
    SpanKind,
    TraceBacklog,
    TracePart,
)
from aitrading.core.kit.ids import DeviceId
from aitrading.core.protocol.error_codes import LINK_GOING_AWAY
from aitrading.core.protocol.link.burst import SAME_MOMENT_NS
from aitrading.core.protocol.link.events import (
    PeerClosed,
    StreamOpened,
    StreamRefused,
)
from aitrading.core.protocol.link.messages import FEATURE_HOLD, FEATURE_TRUTH
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.security.claims import RateClaims
from aitrading.core.security.rate_limiter import RATE_LIMIT_EXCEEDED
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.data_bridge import rights
from aitrading.server.data_bridge.device_link import FAULTS
from aitrading.server.data_bridge.links import DeviceLinks
from aitrading.server.data_bridge.metrics import TICKS_QUARANTINED
from aitrading.server.data_bridge.ports import DeviceStatus
from aitrading.server.kit import limit_levels
from aitrading.server.kit.denials import Denials
from aitrading.server.kit.peer_errors import PEER_UNREACHABLE
from aitrading.server.kit.rate_limits import RateLimits
from aitrading.server.testing.bridge import RunningBridge, connect_as_edge, running_bridge
from aitrading.server.testing.probe_device import OFFSET_S, Device, declared, forwarded, ticks
from aitrading.server.testing.services import ServiceWorld

MALFORMED = (b"", b"AITL", bytes(range(64)), b"AITL" + bytes(60))


FOLLOWED = b"\x11" * 15 + b"\0"
"""A trace id whose way every process logs."""


async def closed(device: Device) -> str:
    """The code with which the server ended the link."""
    events = await eventually(lambda: device.of(PeerClosed), what="CLOSE")
    await device.ended.wait()
    return events[0].notice.code


def knows(device: Device, mark: TickMark) -> bool:
    """The server told its newest tick so that the device knows it again."""
    [opened] = device.of(StreamOpened)
    return (opened.grant.durable_ms, opened.grant.durable_digest) == (mark.utc_ms, mark.digest)


def stored(bridge: RunningBridge) -> dict[int, bytes]:
    """The rows of the only stream."""
    streams = list(bridge.store.rows().values())
    assert len(streams) <= 1
    return streams[0] if streams else {}


@async_test
async def test_ticks_are_acknowledged_and_stored_once(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        rows = ticks(500)
        await device.until_acknowledged(device.send(rows, trace_id=FOLLOWED))
        await eventually(lambda: len(stored(bridge)) == 500)
        assert b"".join(stored(bridge)[one] for one in range(1, 501)) == rows.tobytes()
        health = bridge.chains.health("market-data")
        assert [hop.count for hop in health.hops[:4]] == [500] * 4
        assert health.hops[3].last_trace_id == FOLLOWED.hex()


@async_test
async def test_a_repeat_is_dropped_and_acknowledged(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        first = Device(identity)
        await first.open(bridge.socket, declared())
        ticks_sent = ticks(100)
        await first.until_acknowledged(first.send(ticks_sent))
        first.cut()
        again = Device(identity)
        await again.open(bridge.socket, declared())
        assert again.durable() == 100
        assert knows(again, mark_of(100, ticks_sent[-1:], OFFSET_S))
        await again.until_acknowledged(again.send(ticks(50, first=101)))
        await eventually(lambda: len(stored(bridge)) == 150)
        assert bridge.store.copies() == 0


@async_test
async def test_a_restart_remembers_what_was_acknowledged(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    """The database was away all the time: only the spool knows."""
    settings = {"bridge.segment_age_ms": "60000"}
    async with running_bridge(world, settings=settings) as bridge:
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        rows = ticks(70)
        await device.until_acknowledged(device.send(rows))
        assert not stored(bridge)
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        assert device.durable() == 70
        assert knows(device, mark_of(70, rows[-1:], OFFSET_S))
        await eventually(lambda: len(stored(bridge)) == 70)


@async_test
async def test_a_stored_mark_is_remembered_by_the_database_alone(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        rows = ticks(30)
        await device.until_acknowledged(device.send(rows))
        await eventually(lambda: len(stored(bridge)) == 30)
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        assert device.durable() == 30
        assert knows(device, mark_of(30, rows[-1:], OFFSET_S))


@async_test
async def test_unknown_and_foreign_devices_are_refused(
    world: ServiceWorld, identity: DeviceIdentity, stranger: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        foreign = DeviceIdentity(tenant=stranger.tenant, device=identity.device)
        for refused in (stranger, foreign):
            device = Device(refused)
            await device.connect(bridge.socket, declared())
            assert await closed(device) == "LINK_DEVICE_REFUSED"
        bridge.devices.add(identity, state="revoked")
        device = Device(identity)
        await device.connect(bridge.socket, declared())
        assert await closed(device) == "LINK_DEVICE_REFUSED"
        assert not bridge.store.calls


@async_test
async def test_links_that_are_denied_are_told_to_the_audit_trail_folded(
    world: ServiceWorld, identity: DeviceIdentity, stranger: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        denials = await bridge.get(Denials)

        async def refused(who: DeviceIdentity, code: str) -> None:
            device = Device(who)
            await device.connect(bridge.socket, declared())
            assert await closed(device) == code

        bridge.devices.add(identity)
        granted = Device(identity)
        await granted.open(bridge.socket, declared())
        assert denials.waiting == 0, "nothing is noted of who is let in"
        for _ in range(3):
            await refused(stranger, "LINK_DEVICE_REFUSED")
        bridge.devices.add(identity, state="revoked")
        await refused(identity, "LINK_DEVICE_REFUSED")
        bridge.devices.add(identity, subscription="suspended")
        await refused(identity, "LINK_SUBSCRIPTION_INACTIVE")
        noted = {
            (each.tenant, each.actor, each.reason): each.count
            for each in denials.take(10)
            if (each.action, each.subject) == ("identity.device.link_refused", "GET /link")
        }
        mine = (identity.tenant, f"device:{identity.device}")
        assert noted == {
            (stranger.tenant, f"device:{stranger.device}", "unknown"): 3,
            (*mine, "revoked"): 1,
            (*mine, "plan suspended"): 1,
        }


@pytest.mark.parametrize(
    "header",
    [
        "",
        "By=spiffe://aitrading/service/envoy",
        "Hash=00;URI=spiffe://aitrading/tenant/1/device/2",
        f"Hash={'ab' * 32};URI=spiffe://aitrading/service/data-bridge",
        f"Hash={'ab' * 32};URI=x,Hash={'ab' * 32};URI=y",
    ],
)
def test_without_the_edge_nobody_gets_in(world: ServiceWorld, header: str) -> None:
    @async_test
    async def scenario() -> None:
        async with running_bridge(world) as bridge:
            device = Device(DeviceIdentity(tenant=None, device=None))  # type: ignore[arg-type]
            headers = {"x-forwarded-client-cert": header} if header else {}
            with pytest.raises(WSHandshakeError) as refused:
                await connect_as_edge(bridge.socket, "/link", device, headers)
            assert refused.value.response is not None
            assert refused.value.response.status == 403
            problem = json.loads(refused.value.raw_body or b"")["error"]
            assert problem["code"] == "LINK_IDENTITY_MISSING"
            assert problem["remedy"]
            assert problem["trace_id"] in refused.value.response.headers["traceparent"]

    scenario()


@async_test
async def test_unknown_paths_do_not_exist(world: ServiceWorld, identity: DeviceIdentity) -> None:
    async with running_bridge(world) as bridge:
        with pytest.raises(WSHandshakeError) as refused:
            await connect_as_edge(
                bridge.socket, "/internal", Device(identity), forwarded(identity)
            )
        assert refused.value.response is not None
        assert refused.value.response.status == 404
        assert json.loads(refused.value.raw_body or b"")["error"]["code"] == "NOT_FOUND"


@async_test
async def test_a_device_that_breaks_the_protocol_is_kept_out_and_others_go_on(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    other = DeviceIdentity(tenant=identity.tenant, device=DeviceId(UUID(int=12)))
    async with running_bridge(world, settings={"bridge.faults_limit": "4"}) as bridge:
        bridge.devices.add(identity)
        bridge.devices.add(other)
        good = Device(other)
        await good.open(bridge.socket, declared())
        for garbage in MALFORMED:
            bad = Device(identity)
            await bad.open(bridge.socket, declared())
            bad.raw(garbage)
            assert await closed(bad) in FAULTS
            await good.until_acknowledged(good.send(ticks(10)))
        kept_out = Device(identity)
        await kept_out.connect(bridge.socket, declared())
        assert await closed(kept_out) == "LINK_DEVICE_REFUSED"
        await good.until_acknowledged(good.send(ticks(10)))
        assert bridge.errors.recovery_report()["bridge-device"].acts > 0
        report = bridge.health.report()["resilience"]["isolation"]["bridge-device"]
        assert list(report["isolated_keys"]) == [str(identity.device)]


@async_test
async def test_text_frames_are_not_a_link(world: ServiceWorld, identity: DeviceIdentity) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        assert device.transport is not None
        device.transport.send(WSMsgType.TEXT, b"hello")
        await device.ended.wait()


@async_test
async def test_ticks_in_doubt_are_acknowledged_and_stored_with_the_reason(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        rows = ticks(30)
        rows["event_ms"][10] += 10**10
        rows["ask"][15] = rows["bid"][15] - 1
        rows["bid"][20:22] //= 3
        await device.until_acknowledged(device.send_one_by_one(rows, apart_ns=2 * SAME_MOMENT_NS))
        await eventually(lambda: len(stored(bridge)) == 30)
        expected = rows.copy()
        expected["doubt"][[10, 15, 20, 21]] = 2, 8, 32, 32
        assert b"".join(stored(bridge)[one] for one in range(1, 31)) == expected.tobytes()
        assert not device.of(StreamRefused)
        told = (await bridge.get(Metrics)).render().decode()
        for reason, number in (("TIME_IMPOSSIBLE", 1), ("CROSSED", 1), ("ABSURD", 2)):
            assert f'{TICKS_QUARANTINED.name}{{reason="{reason}"}} {number}.0' in told


@async_test
async def test_a_device_cannot_say_what_is_in_doubt(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        rows = ticks(5)
        rows["doubt"] = 0xFFFF
        await device.until_acknowledged(device.send(rows))
        await eventually(lambda: len(stored(bridge)) == 5)
        rows["doubt"] = 0
        assert b"".join(stored(bridge)[one] for one in range(1, 6)) == rows.tobytes()


@async_test
async def test_many_ticks_each_in_its_own_message_are_stored_once_and_in_order(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        rows = ticks(2_000)
        await device.until_acknowledged(device.send_one_by_one(rows))
        await eventually(lambda: len(stored(bridge)) == len(rows))
        kept = b"".join(stored(bridge)[number] for number in range(1, len(rows) + 1))
        assert kept == rows.tobytes()


@async_test
async def test_other_digits_in_one_epoch_are_a_conflict(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        first = Device(identity)
        await first.open(bridge.socket, declared())
        again = Device(identity)
        await again.open(bridge.socket, declared(1, digits=3), declared(2, "GBPUSD"))
        refused = await eventually(lambda: again.of(StreamRefused))
        assert refused[0].code == "LINK_STREAM_CONFLICT"
        assert [event.declaration.handle for event in again.of(StreamOpened)] == [2]


@async_test
async def test_the_newer_link_of_a_device_takes_over(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        older, newer = Device(identity), Device(identity)
        await older.open(bridge.socket, declared())
        await older.until_acknowledged(older.send(ticks(10)))
        await newer.open(bridge.socket, declared())
        assert await closed(older) == "LINK_SUPERSEDED"
        await newer.until_acknowledged(newer.send(ticks(10, first=11)))
        assert len(await bridge.get(DeviceLinks)) == 1


@async_test
async def test_a_device_that_connects_too_often_has_to_wait_and_others_do_not(
    world: ServiceWorld, identity: DeviceIdentity, stranger: DeviceIdentity
) -> None:
    async with running_bridge(world, settings={"limits.connections_per_minute": "2"}) as bridge:
        for each in (identity, stranger):
            bridge.devices.add(each)
        for _ in range(2):
            device = Device(identity)
            await device.open(bridge.socket, declared())
        third = Device(identity)
        await third.connect(bridge.socket, declared())
        assert await closed(third) == "LINK_OVERLOADED"
        await device.until_acknowledged(device.send(ticks(10)))
        other = Device(stranger)
        await other.open(bridge.socket, declared())


@async_test
async def test_a_link_that_is_refused_after_its_greeting_replaces_no_good_one(
    world: ServiceWorld,
    identity: DeviceIdentity,
    stranger: DeviceIdentity,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running_bridge(world) as bridge:
        for each in (identity, stranger):
            bridge.devices.add(each)
        good = Device(identity)
        await good.open(bridge.socket, declared())
        counted = asyncio.Event()

        async def slowly_refused(asking: limit_levels.Device, *, address: str) -> None:
            del address
            if asking.device == identity.device:
                await counted.wait()
                raise RATE_LIMIT_EXCEEDED.error(limit=1, whom="in a test", retry_after_s=1)

        monkeypatch.setattr(await bridge.get(RateLimits), "admit_link", slowly_refused)
        again, other = Device(identity), Device(stranger)
        await again.connect(bridge.socket, declared())
        await other.open(bridge.socket, declared())  # the earlier greeting is read by now
        counted.set()
        assert await closed(again) == "LINK_OVERLOADED"
        await good.until_acknowledged(good.send(ticks(10)))


@async_test
async def test_a_link_is_a_trace_its_greeting_first_and_its_life_at_its_end(
    world: ServiceWorld, identity: DeviceIdentity, stranger: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        tracer = await bridge.get(RequestTracer)
        backlog = tracer.backlog = TraceBacklog()
        links = await bridge.get(DeviceLinks)
        device, refused = Device(identity), Device(stranger)
        await device.open(bridge.socket, declared())
        await refused.connect(bridge.socket, declared())
        await closed(refused)
        links.close_all(LINK_GOING_AWAY)
        await closed(device)
        parts: list[TracePart] = []

        def came() -> bool:
            parts.extend(backlog.take(100))
            return len(parts) == 3

        await eventually(came, what="both greetings and a life")
        life = next(each for each in parts if each.root.kind is SpanKind.CONNECTION)
        begun = next(each for each in parts if each.root.id == life.root.parent)
        (other,) = [each for each in parts if each not in (life, begun)]
        assert (begun.trace_id, begun.tenant) == (life.trace_id, str(identity.tenant))
        assert (begun.root.name, begun.outcome) == ("GET /link", Outcome.OK)
        assert [each.name for each in begun.spans if each.kind is SpanKind.LIMIT] == [
            "device links"
        ]
        assert (life.root.name, life.root.code) == ("/link", "LINK_GOING_AWAY")
        assert (other.outcome, other.root.code) == (Outcome.REFUSED, "LINK_DEVICE_REFUSED")
        assert other.tenant == str(stranger.tenant)


@async_test
async def test_a_device_may_connect_as_often_as_its_organisation_is_entitled_to(
    world: ServiceWorld, identity: DeviceIdentity, stranger: DeviceIdentity
) -> None:
    few = RateClaims(plan="basic", granted={"connections_per_minute": 2})
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity, rates=few)
        bridge.devices.add(stranger)
        for each in (identity, stranger):  # before identity told, they count as anybody
            await Device(each).open(bridge.socket, declared())
        await Device(identity).open(bridge.socket, declared())
        for _ in range(2):  # what the first one cost is paid back by now, or not yet
            refused = Device(identity)
            await refused.connect(bridge.socket, declared())
        assert await closed(refused) == "LINK_OVERLOADED"
        for _ in range(5):
            await Device(stranger).open(bridge.socket, declared())


@async_test
async def test_open_links_are_listed_for_their_organisation_and_can_be_ended(
    world: ServiceWorld, identity: DeviceIdentity, stranger: DeviceIdentity
) -> None:
    async with running_bridge(world, settings={"bridge.ping_interval_s": "1"}) as bridge:
        for each in (identity, stranger):
            bridge.devices.add(each)
        links = await bridge.get(DeviceLinks)
        device, other = Device(identity), Device(stranger)
        await device.open(bridge.socket, declared(1), declared(2, "GBPUSD"))
        await other.open(bridge.socket, declared())
        found = links.connections(identity.tenant)
        assert [(one.device, one.feeds) for one in found] == [(identity.device, 2)]
        await eventually(
            lambda: links.connections(identity.tenant)[0].round_trip_ms is not None,
            what="the answer to a ping",
        )
        assert not links.end(stranger.tenant, found[0].id), "nobody ends the link of another"
        assert links.end(identity.tenant, found[0].id)
        assert await closed(device) == "LINK_GOING_AWAY"
        await eventually(lambda: not links.connections(identity.tenant), what="its end")
        assert not links.end(identity.tenant, found[0].id)
        assert len(links.connections(stranger.tenant)) == 1


@async_test
async def test_a_revoked_device_is_cut_off_at_once(
    world: ServiceWorld, identity: DeviceIdentity, stranger: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        event = DeviceRevoked(device=identity.device, reason="lost", revoked_ns=1)
        await bridge.bus.publish(event, tenant=stranger.tenant)
        await device.until_acknowledged(device.send(ticks(10)))
        assert not device.ended.is_set(), "another tenant's event"
        await bridge.bus.publish(event, tenant=identity.tenant)
        assert await closed(device) == "LINK_DEVICE_REFUSED"


@async_test
async def test_without_the_setting_no_device_connects(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world, settings={"bridge.mt5_websocket_enabled": "false"}) as bridge:
        bridge.devices.add(identity)
        with pytest.raises(WSHandshakeError, match="503"):
            await Device(identity).open(bridge.socket, declared())


@async_test
async def test_a_revocation_in_the_middle_of_a_greeting_counts(
    world: ServiceWorld, identity: DeviceIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        asked, go_on, find = asyncio.Event(), asyncio.Event(), bridge.devices.find

        async def slow(identity: DeviceIdentity) -> DeviceStatus | None:
            status = await find(identity)
            asked.set()
            await go_on.wait()
            return status

        monkeypatch.setattr(bridge.devices, "find", slow)
        device = Device(identity)
        await device.connect(bridge.socket, declared())
        await asked.wait()
        bridge.devices.add(identity, state="revoked")
        event = DeviceRevoked(device=identity.device, reason="lost", revoked_ns=1)
        await bridge.bus.publish(event, tenant=identity.tenant)
        for _ in range(20):  # it is heard before the greeting goes on
            await asyncio.sleep(0)
        go_on.set()
        assert await closed(device) == "LINK_DEVICE_REFUSED"


@async_test
async def test_a_connected_device_is_checked_again(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world, settings={"bridge.device_recheck_s": "1"}) as bridge:
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket, declared())
        bridge.devices.failure = PEER_UNREACHABLE.error(peer="api-gateway", reason="test")
        await asyncio.sleep(1.2)
        assert not device.ended.is_set(), "identity being away ends no link"
        bridge.devices.failure = None
        bridge.devices.add(identity, state="revoked")
        assert await closed(device) == "LINK_DEVICE_REFUSED"


@async_test
async def test_a_device_that_cannot_be_checked_is_held_and_goes_on_by_itself(
    world: ServiceWorld, identity: DeviceIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rights, "UNCHECKED_NS", 1)
    async with running_bridge(world, settings={"bridge.device_recheck_s": "1"}) as bridge:
        other = DeviceIdentity(tenant=identity.tenant, device=DeviceId(UUID(int=12)))
        for each in (identity, other):
            bridge.devices.add(each)
        device, older = Device(identity), Device(other, features=(FEATURE_HOLD,))
        for each in (device, older):
            await each.open(bridge.socket, declared())
            await each.until_acknowledged(each.send(ticks(10)))
        bridge.devices.failure = PEER_UNREACHABLE.error(peer="api-gateway", reason="test")
        refused = await eventually(lambda: device.of(StreamRefused), what="the hold")
        assert refused[0].code == "LINK_UNCHECKED"
        assert await closed(older) == "LINK_OVERLOADED"
        device.session.open_streams([declared(2, "GBPUSD")])
        device.flush()
        await eventually(lambda: len(device.of(StreamRefused)) == 2, what="another stream")
        assert not device.ended.is_set()
        bridge.devices.failure = None
        assert await closed(device) == "LINK_GOING_AWAY"
        again = Device(identity)
        await again.open(bridge.socket, declared())
        assert again.durable() == 10
        await again.until_acknowledged(again.send(ticks(3)))


@async_test
async def test_what_cannot_be_checked_is_refused_for_now(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        bridge.devices.failure = PEER_UNREACHABLE.error(peer="api-gateway", reason="test")
        for _ in range(5):
            device = Device(identity)
            await device.connect(bridge.socket, declared())
            assert await closed(device) == "LINK_OVERLOADED"
        bridge.devices.failure = None
        bridge.store.failure = PEER_UNREACHABLE.error(peer="database-service", reason="test")
        device = Device(identity)
        await device.connect(bridge.socket, declared())
        assert await closed(device) == "LINK_OVERLOADED"
        bridge.store.failure = None
        device = Device(identity)
        await device.open(bridge.socket, declared())
        assert bridge.errors.recovery_report()["bridge-device"].acts == 0, "not the device's fault"


@async_test
async def test_further_streams_can_be_opened_on_a_link(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        device = Device(identity)
        await device.open(bridge.socket)
        device.session.open_streams([declared(7, "XAUUSD")])
        device.flush()
        await eventually(lambda: device.of(StreamOpened))
        last = device.send(ticks(3), handle=7)
        await device.until_acknowledged(last, handle=7)
        await eventually(lambda: len(stored(bridge)) == 3)
        assert len(stored(bridge)[1]) == ROW_BYTES


@async_test
async def test_a_lapsed_plan_stops_ticks_alone_and_its_renewal_makes_the_link_anew(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    changed = SubscriptionChanged(user=None, version=2)
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity, subscription="active")
        device = Device(identity)
        await device.open(bridge.socket, declared())
        await device.until_acknowledged(device.send(ticks(10)))
        bridge.devices.add(identity, subscription="paused")
        device.send(ticks(5))  # on its way when the plan ends: taken or not, never half
        await bridge.bus.publish(changed, tenant=identity.tenant)
        refused = await eventually(lambda: device.of(StreamRefused), what="the hold")
        assert refused[0].code == "LINK_SUBSCRIPTION_INACTIVE"
        device.session.open_streams([declared(2, "GBPUSD")])
        device.flush()
        await eventually(lambda: len(device.of(StreamRefused)) == 2, what="another stream")
        assert not device.ended.is_set()
        again = Device(identity)
        await again.open(bridge.socket, declared())
        assert await closed(device) == "LINK_SUPERSEDED"
        assert [one.code for one in again.of(StreamRefused)] == ["LINK_SUBSCRIPTION_INACTIVE"]
        bridge.devices.add(identity, subscription="active")
        await bridge.bus.publish(changed, tenant=identity.tenant)
        assert await closed(again) == "LINK_GOING_AWAY"
        renewed = Device(identity)
        await renewed.open(bridge.socket, declared())
        assert renewed.durable() in {10, 15}
        await renewed.until_acknowledged(renewed.send(ticks(3)))


@async_test
async def test_what_cannot_keep_ticks_and_what_is_suspended_is_cut_off(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    changed = SubscriptionChanged(user=None, version=2)
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity, subscription="active")
        older = Device(identity, features=(FEATURE_TRUTH,))
        await older.open(bridge.socket, declared())
        bridge.devices.add(identity, subscription="paused")
        await bridge.bus.publish(changed, tenant=identity.tenant)
        assert await closed(older) == "LINK_SUBSCRIPTION_INACTIVE"
        bridge.devices.add(identity, subscription="suspended")
        device = Device(identity)
        await device.connect(bridge.socket, declared())
        assert await closed(device) == "LINK_SUBSCRIPTION_INACTIVE"
        bridge.devices.add(identity, subscription="active")
        renewed = Device(identity)
        await renewed.open(bridge.socket, declared())
