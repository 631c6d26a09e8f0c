"""People and programs listen to quotes."""

import asyncio
import json
from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock
from uuid import UUID

import pytest
from picows import WSFrame, WSHandshakeError, WSListener, WSMsgType, WSTransport
from typing_extensions import override

from aitrading.core.infrastructure.events import RaisedEpoch, SubscriptionChanged
from aitrading.core.kit.ids import TenantId, UserId
from aitrading.core.protocol.tracecontext import TraceContext
from aitrading.core.security.certificates import DeviceIdentity
from aitrading.core.security.claims import Confirmation, Scope
from aitrading.core.security.crypto import SigningKey
from aitrading.core.security.possession import ProofMaker
from aitrading.core.security.subscription import SubscriptionState
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.server.data_bridge import fanout
from aitrading.server.data_bridge import viewers as viewers_module
from aitrading.server.data_bridge.fanout import FanOut
from aitrading.server.data_bridge.subscriber import (
    HEARD_MAX,
    WAITING_MESSAGES_MAX,
    Subscriber,
)
from aitrading.server.data_bridge.viewers import ASKED_AT_ONCE, Viewers
from aitrading.server.kit.both_clocks import AtMost
from aitrading.server.kit.peer_errors import PEER_UNREACHABLE
from aitrading.server.kit.refusal_headers import SECURITY_HEADERS
from aitrading.server.kit.revoked_tokens import Revocation, RevokedTokens
from aitrading.server.kit.user_subscriptions import SUBSCRIBER_UNKNOWN, SubscriptionAnswer
from aitrading.server.testing.bridge import RunningBridge, connect_as_edge, running_bridge
from aitrading.server.testing.probe_device import Device, declared, ticks
from aitrading.server.testing.probe_person import (
    IN_A_BROWSER,
    LIFETIME_S,
    SESSION,
    USER,
    browser_cookies,
)
from aitrading.server.testing.probe_person import access_token as token
from aitrading.server.testing.services import ServiceWorld

ORIGIN = {"host": "localhost:8000", "origin": "https://localhost:8000"}


class Listener(WSListener):
    """A browser that remembers what it heard."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.close_code: int | None = None
        self.ended = asyncio.Event()
        self.transport: WSTransport | None = None

    async def open(self, bridge: RunningBridge, **headers: str) -> "Listener":
        await connect_as_edge(bridge.socket, "/api/v1/stream", self, headers)
        return self

    def say(self, text: str) -> None:
        assert self.transport is not None
        self.transport.send(WSMsgType.TEXT, text)

    def quotes(self, symbol: str = "EURUSD") -> list[dict[str, Any]]:
        return [one for one in self.heard if (one["type"], one.get("symbol")) == ("quote", symbol)]

    @override
    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    @override
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.TEXT:
            self.heard.append(json.loads(frame.get_payload_as_bytes()))
        elif frame.msg_type is WSMsgType.CLOSE:
            self.close_code = int(frame.get_close_code())  # type: ignore[call-overload]
            transport.disconnect()

    @override
    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.ended.set()


def problem_of(refused: WSHandshakeError) -> dict[str, Any]:
    """The body of a refused upgrade."""
    problem: dict[str, Any] = json.loads(refused.raw_body or b"")["error"]
    return problem


async def feeding(bridge: RunningBridge, identity: DeviceIdentity) -> Device:
    bridge.devices.add(identity)
    device = Device(identity)
    await device.open(bridge.socket, declared(1), declared(2, "GBPUSD"))
    return device


@async_test
async def test_quotes_arrive_and_are_provisional_before_they_are_durable(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        device = await feeding(bridge, identity)
        bearer = {"authorization": f"Bearer {token(world, identity.tenant)}"}
        listener = await Listener().open(bridge, **bearer)
        device.send(ticks(3))
        quote = (await eventually(listener.quotes))[0]
        assert (quote["bid"], quote["ask"]) == ("1.08003", "1.08010")
        assert (quote["sequence"], quote["state"]) == (3, "LIVE")
        assert quote["time"].endswith("Z")
        assert [
            one for one in listener.heard if one["type"] == "feed" and one["state"] == "LIVE"
        ], "what makes a feed LIVE is told before its quote"
        listener.say('{"type":"ping"}')
        await eventually(lambda: {"type": "pong"} in listener.heard)
        await device.until_acknowledged(3)
        late = await Listener().open(bridge, **bearer)
        await eventually(late.quotes, what="the newest quote at once")
        assert late.quotes()[0]["provisional"] is False


@async_test
async def test_a_tenant_sees_its_own_feeds_only(
    world: ServiceWorld, identity: DeviceIdentity, stranger: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        mine = await feeding(bridge, identity)
        theirs = await feeding(bridge, stranger)
        listener = await Listener().open(
            bridge, authorization=f"Bearer {token(world, stranger.tenant)}"
        )
        mine.send(ticks(5))
        theirs.send(ticks(1, first=100))
        await eventually(listener.quotes)
        mine.send(ticks(5))
        theirs.send(ticks(1, first=200))
        await eventually(lambda: listener.quotes()[-1]["bid"] == "1.08200")
        assert {one["bid"] for one in listener.quotes()} <= {"1.08100", "1.08200"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer x.y.z"}, 401),
        ({"cookie": "__Host-aitrading=TOKEN"}, 403),
        ({"cookie": "__Host-aitrading=TOKEN", **ORIGIN, "origin": "https://evil.example"}, 403),
        ({"authorization": "Bearer EXPIRED"}, 401),
        ({"authorization": "Bearer KILLONLY"}, 403),
    ],
)
def test_who_may_not_listen(
    world: ServiceWorld, identity: DeviceIdentity, headers: dict[str, str], status: int
) -> None:
    texts = {
        "TOKEN": token(world, identity.tenant),
        "EXPIRED": token(world, identity.tenant, age_s=LIFETIME_S + 60),
        "KILLONLY": token(world, identity.tenant, scopes=frozenset({Scope.KILL})),
    }
    for name, text in texts.items():
        headers = {key: value.replace(name, text) for key, value in headers.items()}

    @async_test
    async def scenario() -> None:
        async with running_bridge(world) as bridge:
            with pytest.raises(WSHandshakeError) as refused:
                await Listener().open(bridge, **headers)
            assert refused.value.response is not None
            assert refused.value.response.status == status
            problem = problem_of(refused.value)
            assert problem["message"]
            assert problem["category"] == "denied"

    scenario()


@async_test
async def test_a_refused_stream_says_what_every_refusal_says(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    bearer = {"authorization": f"Bearer {token(world, identity.tenant)}"}
    trace = TraceContext.start(world.ids)
    asked = {"x-request-id": "a-request-of-mine", "traceparent": str(trace)}
    async with running_bridge(world, settings={"stream.subscribers_max": "1"}) as bridge:
        await Listener().open(bridge, **bearer)
        with pytest.raises(WSHandshakeError) as refused:
            await Listener().open(bridge, **bearer, **asked)
        assert refused.value.response is not None
        assert refused.value.response.status == 503
        problem, headers = problem_of(refused.value), refused.value.response.headers
        assert (problem["code"], problem["category"]) == ("STREAM_SUBSCRIBERS_FULL", "retryable")
        assert problem["message"] == "1 subscribers are connected; the limit is 1."
        assert problem["remedy"]
        assert problem["trace_id"] == trace.trace_id
        assert headers["traceparent"].split("-")[1] == trace.trace_id
        assert problem["request_id"] == headers["x-request-id"] == "a-request-of-mine"
        assert headers["content-type"] == "application/json"
        assert SECURITY_HEADERS.items() <= dict(headers).items()
        with pytest.raises(WSHandshakeError) as nobody:
            await Listener().open(bridge)
        assert nobody.value.response is not None
        assert nobody.value.response.headers["www-authenticate"] == "Bearer"


@async_test
async def test_two_proofs_open_no_stream(world: ServiceWorld, identity: DeviceIdentity) -> None:
    key = SigningKey.generate()
    maker = ProofMaker(key, clock=world.clock, ids=world.ids)
    bound = token(world, identity.tenant, binding=Confirmation(jkt=key.public.thumbprint()))

    def proven(*proofs: str) -> dict[str, str]:
        lines = dict(zip(("dpop", "DPoP"), proofs, strict=False))
        return {"host": "localhost:8000", "authorization": f"DPoP {bound}", **lines}

    def proof() -> str:
        return maker.make("GET", "https://localhost:8000/api/v1/stream", bound)

    async with running_bridge(world) as bridge:
        for two in ((proof(), "x"), ("x", proof()), (proof(), proof())):
            with pytest.raises(WSHandshakeError) as refused:
                await Listener().open(bridge, **proven(*two))
            assert refused.value.response is not None
            assert refused.value.response.status == 401
        await Listener().open(bridge, **proven(proof()))


@async_test
async def test_a_browser_with_our_origin_listens(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        device = await feeding(bridge, identity)
        cookie = browser_cookies(token(world, identity.tenant, binding=IN_A_BROWSER))
        listener = await Listener().open(bridge, cookie=cookie, **ORIGIN)
        device.send(ticks(1))
        await eventually(listener.quotes)


@async_test
async def test_a_stream_ends_with_its_token_unless_it_gets_a_new_one(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        almost = token(world, identity.tenant, age_s=LIFETIME_S - 5)
        ends = await Listener().open(bridge, authorization=f"Bearer {almost}")
        lives = await Listener().open(bridge, authorization=f"Bearer {almost}")
        thief = await Listener().open(bridge, authorization=f"Bearer {almost}")
        lives.say(json.dumps({"type": "token", "token": token(world, identity.tenant)}))
        other = token(world, identity.tenant, user=UserId(UUID(int=8)))
        thief.say(json.dumps({"type": "token", "token": other}))
        await eventually(thief.ended.is_set)
        assert thief.close_code == 4401
        await eventually(ends.ended.is_set)
        assert ends.close_code == 4401
        assert not lives.ended.is_set()


@pytest.mark.parametrize("back_s", [3_600, 86_400])
def test_a_stream_does_not_outlive_its_token_when_the_clock_is_set_back(
    world: ServiceWorld, identity: DeviceIdentity, back_s: int
) -> None:
    @async_test
    async def scenario() -> None:
        clock = ManualClock(world.clock.now_ns())
        patient = {"stream.heartbeat_s": "600"}
        async with running_bridge(world, clock=clock, settings=patient) as bridge:
            bridge.devices.add(identity)
            listener = await Listener().open(
                bridge, authorization=f"Bearer {token(world, identity.tenant)}"
            )
            fan_out = await bridge.get(FanOut)
            await eventually(lambda: len(fan_out), what="the stream")
            clock.step_wall(-back_s)
            await clock.advance(fanout.EXPIRY_CHECK_S)
            assert not listener.ended.is_set(), "a step alone ends nothing"

            async def is_over() -> bool:
                await clock.advance(60)
                return listener.ended.is_set()

            began_ns = clock.monotonic_ns()
            await eventually(is_over, what="the end of the stream")
            assert listener.close_code == 4401
            assert (clock.monotonic_ns() - began_ns) / 1e9 < back_s, "not by the wall clock"

    scenario()


@async_test
async def test_a_logout_ends_an_open_stream(world: ServiceWorld, identity: DeviceIdentity) -> None:
    async with running_bridge(world) as bridge:
        bridge.devices.add(identity)
        bearer = {"authorization": f"Bearer {token(world, identity.tenant)}"}
        listener = await Listener().open(bridge, **bearer)
        ended = await bridge.container.get(RevokedTokens)
        ended.add([SESSION])
        await eventually(listener.ended.is_set)
        assert listener.close_code == 4401
        with pytest.raises(WSHandshakeError):
            await Listener().open(bridge, **bearer)


@async_test
async def test_the_word_of_a_revocation_ends_a_stream_and_no_look_at_the_clock(
    world: ServiceWorld,
    identity: DeviceIdentity,
    stranger: DeviceIdentity,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fanout, "EXPIRY_CHECK_S", 3_600.0)
    async with running_bridge(world) as bridge:
        by_epoch, by_session = [
            await Listener().open(bridge, authorization=f"Bearer {token(world, each.tenant)}")
            for each in (identity, stranger)
        ]
        ended = await bridge.container.get(RevokedTokens)
        raised = RaisedEpoch(id=identity.tenant, epoch=1)
        ended.apply(Revocation(organisations=(raised,)))
        await eventually(by_epoch.ended.is_set)
        assert not by_session.ended.is_set()
        ended.add([SESSION])
        await eventually(by_session.ended.is_set)
        assert (by_epoch.close_code, by_session.close_code) == (4401, 4401)


@async_test
async def test_a_stream_is_for_the_networks_of_its_tokens(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        walled = token(world, identity.tenant, networks=(ip_network("10.0.0.0/8"),))
        inside, outside = {"x-forwarded-for": "10.1.1.1"}, {"x-forwarded-for": "192.0.2.7"}
        bearer = {"authorization": f"Bearer {walled}"}
        with pytest.raises(WSHandshakeError):
            await Listener().open(bridge, **bearer, **outside)
        stays = await Listener().open(bridge, **bearer, **inside)
        free = {"authorization": f"Bearer {token(world, identity.tenant)}"}
        ends = await Listener().open(bridge, **free, **outside)
        for listener in (stays, ends):
            listener.say(json.dumps({"type": "token", "token": walled}))
        await eventually(ends.ended.is_set)
        assert ends.close_code == 4401
        assert not stays.ended.is_set()


@async_test
async def test_a_person_who_connects_too_often_has_to_wait(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world, settings={"limits.connections_per_minute": "2"}) as bridge:
        bridge.devices.add(identity)
        bearer = {"authorization": f"Bearer {token(world, identity.tenant)}"}
        listeners = [await Listener().open(bridge, **bearer) for _ in range(3)]
        await eventually(lambda: sum(each.ended.is_set() for each in listeners) == 1)
        assert [each.close_code for each in listeners if each.ended.is_set()] == [4429]


@async_test
async def test_open_streams_are_listed_for_their_organisation_and_can_be_ended(
    world: ServiceWorld, identity: DeviceIdentity, stranger: DeviceIdentity
) -> None:
    async with running_bridge(world, settings={"stream.heartbeat_s": "1"}) as bridge:
        fan_out = await bridge.get(FanOut)
        ours, theirs = [
            await Listener().open(bridge, authorization=f"Bearer {token(world, tenant)}")
            for tenant in (identity.tenant, stranger.tenant)
        ]
        found = await eventually(lambda: fan_out.connections(identity.tenant), what="the stream")
        assert [one.user is not None for one in found] == [True]
        await eventually(
            lambda: fan_out.connections(identity.tenant)[0].round_trip_ms is not None,
            what="the answer to a ping",
        )
        assert not fan_out.end(stranger.tenant, found[0].id), "nobody ends the stream of another"
        assert fan_out.end(identity.tenant, found[0].id)
        await ours.ended.wait()
        assert ours.close_code == 4409
        assert not theirs.ended.is_set()


@async_test
async def test_chosen_symbols_and_every_tick(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        device = await feeding(bridge, identity)
        bearer = {"authorization": f"Bearer {token(world, identity.tenant)}"}
        one = await Listener().open(bridge, **bearer)
        every = await Listener().open(bridge, **bearer)
        one.say('{"type":"subscribe","symbols":["GBPUSD"]}')
        every.say('{"type":"subscribe","every_tick":true}')
        for listener in (one, every):
            listener.say('{"type":"ping"}')
            await eventually(lambda one=listener: {"type": "pong"} in one.heard)
        device.send(ticks(20))
        device.send(ticks(20), handle=2)
        await eventually(lambda: len(every.quotes()) == len(every.quotes("GBPUSD")) == 20)
        assert [quote["sequence"] for quote in every.quotes()] == list(range(1, 21))
        await eventually(lambda: one.quotes("GBPUSD"))
        assert not one.quotes()


@async_test
async def test_nonsense_ends_the_stream(world: ServiceWorld, identity: DeviceIdentity) -> None:
    async with running_bridge(world) as bridge:
        bearer = f"Bearer {token(world, identity.tenant)}"
        for text in ("", "[]", '{"type":"what"}', '{"type":"subscribe","symbols":[1]}', "\x00"):
            listener = await Listener().open(bridge, authorization=bearer)
            listener.say(text)
            await eventually(listener.ended.is_set)
            assert listener.close_code == 4400


@async_test
async def test_who_talks_and_never_reads_is_closed_and_costs_little(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bearer = f"Bearer {token(world, identity.tenant)}"
        chatty = await Listener().open(bridge, authorization=bearer)
        for _ in range(HEARD_MAX + 1):
            chatty.say('{"type":"ping"}')
        await eventually(chatty.ended.is_set)
        assert chatty.close_code == 4429
        pinging = await Listener().open(bridge, authorization=bearer)
        assert pinging.transport is not None
        for _ in range(HEARD_MAX + 1):
            pinging.transport.send_ping(b"x")
        await eventually(pinging.ended.is_set)
        assert pinging.close_code == 4429


@async_test
async def test_who_answers_no_ping_is_closed(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world, settings={"stream.heartbeat_s": "1"}) as bridge:
        bearer = f"Bearer {token(world, identity.tenant)}"
        gone, alive = Listener(), Listener()
        for listener in (gone, alive):
            await listener.open(bridge, authorization=bearer)
        assert gone.transport is not None
        gone.transport.underlying_transport.pause_reading()
        fan_out = await bridge.get(FanOut)
        assert len(fan_out.connections(identity.tenant)) == 2
        await eventually(lambda: len(fan_out.connections(identity.tenant)) == 1)
        assert not alive.ended.is_set()
        gone.transport.disconnect(graceful=False)


def test_what_waits_for_who_does_not_read_is_bounded() -> None:
    nobody, hub, socket = MagicMock(), MagicMock(), MagicMock(is_disconnected=False)
    subscriber = Subscriber(
        nobody, hub, nobody, connection=UUID(int=1), since_ns=0, ends=AtMost(1, 1)
    )
    subscriber.on_ws_connected(socket)
    subscriber.pause_writing()
    for _ in range(WAITING_MESSAGES_MAX):
        subscriber.send(b"{}")
    assert not socket.send.called
    subscriber.resume_writing()
    assert socket.send.call_count == WAITING_MESSAGES_MAX
    subscriber.pause_writing()
    for _ in range(WAITING_MESSAGES_MAX + 1):
        subscriber.send(b"{}")
    assert subscriber.closed_by == "STREAM_NOT_READ"


@async_test
async def test_a_slow_subscriber_gets_the_newest_and_slows_nobody_down(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world, settings={"stream.conflation_ms": "0"}) as bridge:
        device = await feeding(bridge, identity)
        bearer = {"authorization": f"Bearer {token(world, identity.tenant)}"}
        slow = await Listener().open(bridge, **bearer)
        fast = await Listener().open(bridge, **bearer)
        for listener in (slow, fast):
            listener.say('{"type":"subscribe","every_tick":true}')
            listener.say('{"type":"ping"}')
            await eventually(lambda one=listener: {"type": "pong"} in one.heard)
        assert slow.transport is not None
        slow.transport.underlying_transport.pause_reading()
        last = 0
        for first in range(1, 20_001, 500):
            last = device.send(ticks(500, first=first))
            await device.until_acknowledged(last)
            await eventually(
                lambda last=last: fast.quotes() and fast.quotes()[-1]["sequence"] == last
            )
        slow.transport.underlying_transport.resume_reading()
        await eventually(lambda: slow.quotes() and slow.quotes()[-1]["sequence"] == last)
        assert len(fast.quotes()) == 20_000
        assert len(slow.quotes()) < 18_000
        sequences = [quote["sequence"] for quote in slow.quotes()]
        assert sequences == sorted(sequences), "never an old quote after a newer one"


def of_type(listener: Listener, kind: str) -> list[dict[str, Any]]:
    return [one for one in listener.heard if one["type"] == kind]


@async_test
async def test_a_subscription_that_ends_stops_quotes_alone_and_its_renewal_shows_them_again(
    world: ServiceWorld, identity: DeviceIdentity, stranger: DeviceIdentity
) -> None:
    changed = SubscriptionChanged(user=None, version=2)
    key = (identity.tenant, USER)
    async with running_bridge(world) as bridge:
        mine, theirs = await feeding(bridge, identity), await feeding(bridge, stranger)
        listener = await listening(bridge, world, identity)
        every = await listening(bridge, world, identity)
        every.say('{"type":"subscribe","every_tick":true}')
        other = await listening(bridge, world, stranger)
        mine.send(ticks(3))
        theirs.send(ticks(3))
        for each in (listener, every, other):
            await eventually(each.quotes)
        bridge.store.subscriptions[key] = SubscriptionState.PAUSED
        await bridge.bus.publish(changed, tenant=identity.tenant)
        for each in (listener, every):
            told = (await eventually(lambda each=each: of_type(each, "held")))[0]
            assert told["code"] == "SUBSCRIPTION_INACTIVE"
            assert "paused" in told["message"]
            assert told["remedy"]
        before = len(listener.quotes()), len(every.quotes()), len(other.quotes())
        mine.send(ticks(3))
        theirs.send(ticks(3))
        mine.cut()  # the states of feeds are told all the same
        await eventually(lambda: "STALE" in {one["state"] for one in of_type(listener, "feed")})
        await eventually(lambda: len(other.quotes()) > before[2])
        assert (len(listener.quotes()), len(every.quotes())) == before[:2]
        late = await listening(bridge, world, identity)
        await eventually(lambda: of_type(late, "held") and of_type(late, "feed"))
        bridge.store.subscriptions[key] = SubscriptionState.ACTIVE
        await bridge.bus.publish(changed, tenant=identity.tenant)
        await eventually(lambda: late.quotes() and len(listener.quotes()) > before[0])
        assert of_type(listener, "held")[-1]["code"] is None
        assert not of_type(other, "held")


@async_test
async def test_a_person_that_is_not_entitled_sees_no_quote_whose_stream_opens(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        bridge.store.subscriptions[identity.tenant, USER] = SubscriptionState.EXPIRED
        device = await feeding(bridge, identity)
        await device.until_acknowledged(device.send(ticks(3)))
        listener = await listening(bridge, world, identity)
        await eventually(lambda: of_type(listener, "held"))
        listener.say('{"type":"subscribe","symbols":["EURUSD"]}')
        listener.say('{"type":"ping"}')
        device.send(ticks(3))
        await eventually(lambda: of_type(listener, "pong"))
        assert not listener.quotes()


async def listening(
    bridge: RunningBridge, world: ServiceWorld, identity: DeviceIdentity
) -> Listener:
    headers = {"authorization": f"Bearer {token(world, identity.tenant)}"}
    return await Listener().open(bridge, **headers)


@async_test
async def test_of_many_who_come_at_once_a_few_are_asked_about_at_a_time(
    world: ServiceWorld, identity: DeviceIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, most = 0, 0

    async def slow(tenant: TenantId, user: UUID) -> SubscriptionAnswer:
        nonlocal asked, most
        asked += 1
        most = max(most, asked)
        await asyncio.sleep(0)
        asked -= 1
        return await answer(tenant, user)

    async with running_bridge(world) as bridge:
        answer = bridge.store.of_user
        monkeypatch.setattr(bridge.store, "of_user", slow)
        viewers = await bridge.get(Viewers)
        people = [SimpleNamespace(tenant=identity.tenant, user=UUID(int=n)) for n in range(100)]
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(viewers.held(one)) for one in people]
        assert {task.result() for task in asking} == {None}
        assert 1 < most <= ASKED_AT_ONCE


@async_test
async def test_prices_do_not_wait_for_who_cannot_tell(
    world: ServiceWorld, identity: DeviceIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question hangs: what was known last counts, and the next ones are not even asked."""
    asked = 0

    async def hanging(_tenant: TenantId, _user: UUID) -> SubscriptionAnswer:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(viewers_module, "ANSWER_S", 0.05)
    async with running_bridge(world) as bridge:
        monkeypatch.setattr(bridge.store, "of_user", hanging)
        viewers = await bridge.get(Viewers)
        for number in range(20):
            person = SimpleNamespace(tenant=identity.tenant, user=UUID(int=number))
            assert await viewers.held(person) is None
        assert asked == 1


@async_test
async def test_that_plans_are_known_again_is_found_out_without_a_viewer(
    world: ServiceWorld, identity: DeviceIdentity
) -> None:
    async with running_bridge(world) as bridge:
        viewers = await bridge.get(Viewers)
        bridge.store.failure = PEER_UNREACHABLE.error(peer="database-service", reason="test")
        person = SimpleNamespace(tenant=identity.tenant, user=UUID(int=1))
        assert await viewers.held(person) is None
        assert bridge.errors.recovery_report()["bridge-viewer-plan"].active
        bridge.store.failure = None
        await eventually(lambda: not bridge.errors.recovery_report()["bridge-viewer-plan"].active)


@async_test
async def test_who_was_removed_meanwhile_does_not_end_the_looking(
    world: ServiceWorld, identity: DeviceIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def removed(_tenant: TenantId, user: UUID) -> SubscriptionAnswer:
        raise SUBSCRIBER_UNKNOWN.error(user=str(user))

    async with running_bridge(world) as bridge:
        viewers = await bridge.get(Viewers)
        viewers._untold = SimpleNamespace(tenant=identity.tenant, user=UUID(int=1))
        monkeypatch.setattr(bridge.store, "of_user", removed)
        await viewers.look_again()
        assert viewers._untold is None
