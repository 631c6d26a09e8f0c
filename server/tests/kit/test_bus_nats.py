"""What only a real server can show: losses, restarts, refusals and what others publish."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import msgspec
import pytest
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import (
    EVERYWHERE,
    Event,
    EventEnvelope,
    seal,
    subject_of,
)
from aitrading.core.infrastructure.events import ALL_EVENTS
from aitrading.core.infrastructure.health import HealthRegistry
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry, RetryPolicy
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory, TenantId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.engines.nats import SubjectRights
from aitrading.server.kit.bundle import NatsAccess
from aitrading.server.kit.bus_nats import NatsBus
from aitrading.server.kit.bus_nats_routes import STREAM, consumer_name
from aitrading.server.kit.nats_connection import BUS_RECONNECT, NatsConnection
from aitrading.server.policy import inbox_of
from aitrading.server.testing.engines import RunningNats, ThrowawayAuthority, running_nats

pytestmark = pytest.mark.integration
CLOCK = SystemClock()
USERS = {
    "data-bridge": SubjectRights(),
    "trading-engine": SubjectRights(),
    "api-gateway": SubjectRights(publish=("ait.platform.>",)),
}
ALPHA, BETA = TenantId(UUID(int=1)), TenantId(UUID(int=2))


class Passing(Event, frozen=True, kw_only=True):
    NAME: ClassVar[str] = "test.passing"

    number: int


class Kept(Event, frozen=True, kw_only=True):
    NAME: ClassVar[str] = "test.kept"
    DURABLE: ClassVar[bool] = True

    number: int


AGAIN_SOON = RetryPolicy(
    first_s=0.05, max_s=0.2, attempts=None, retryable=lambda exc: isinstance(exc, Exception)
)
"""A server that refuses may hang up before it is heard why: one of many attempts hears it."""


class Node:
    """One service's side: connection, bus, errors and health."""

    def __init__(
        self, server: RunningNats, service: str, *, access: NatsAccess | None = None
    ) -> None:
        self.metrics = Metrics()
        self.resilience = ResilienceRegistry()
        self.errors = ErrorHandler(
            clock=CLOCK,
            randomness=SystemRandomness(),
            metrics=self.metrics,
            resilience=self.resilience,
        )
        self.connection = NatsConnection(
            access or server.access(service),
            server.tls(service),
            clock=CLOCK,
            errors=self.errors,
            policy=AGAIN_SOON,
        )
        self.bus = NatsBus(
            self.connection,
            clock=CLOCK,
            ids=SystemIdFactory(CLOCK, SystemRandomness()),
            errors=self.errors,
            events=(*ALL_EVENTS, Kept),
        )
        self.health = HealthRegistry(
            service=service,
            instance="1",
            version="0",
            clock=CLOCK,
            resilience=self.resilience,
            errors=self.errors,
        )
        self.health.watch(self.bus, critical=False)

    async def publish_when_possible(self, event: Event) -> None:
        async def attempt() -> bool:
            await self.bus.publish(event, event_id=UUID(int=event.number))  # type: ignore[attr-defined]
            return True

        await eventually(attempt, what="a publication")


class Seen:
    def __init__(self) -> None:
        self.numbers: list[int] = []

    async def __call__(self, event: Passing | Kept, _: EventEnvelope) -> None:
        self.numbers.append(event.number)

    async def until(self, *numbers: int) -> None:
        await eventually(lambda: self.numbers == list(numbers), what=f"events {numbers}")


@asynccontextmanager
async def joined(server: RunningNats, service: str) -> AsyncIterator[Node]:
    node = Node(server, service)
    await node.connection.start()
    try:
        await node.bus.start()
        yield node
    finally:
        await node.bus.stop()
        await node.connection.stop()


@async_test
async def test_resil_04_after_the_server_is_killed_everything_comes_back(tmp_path: Path) -> None:
    async with running_nats(tmp_path, USERS) as server, joined(server, "data-bridge") as node:
        passing, kept = Seen(), Seen()
        await node.bus.subscribe(Passing, passing)
        await node.bus.subscribe(Kept, kept, durable="journal")
        await node.bus.publish(Kept(number=1))
        await kept.until(1)

        await server.kill()
        await eventually(lambda: node.bus.state is ComponentState.DEGRADED)
        assert node.health.state() is ComponentState.DEGRADED
        assert node.health.ready()
        async with asyncio.timeout(15):
            with pytest.raises(AitradingError, match="BUS_UNAVAILABLE"):
                await node.bus.publish(Passing(number=0))
        late = Seen()
        await node.bus.subscribe(Passing, late)

        await server.start()
        await node.publish_when_possible(Passing(number=2))
        await node.publish_when_possible(Kept(number=3))
        await passing.until(2)
        await late.until(2)
        await kept.until(1, 3)
        assert node.bus.state is ComponentState.HEALTHY
        assert node.bus.statistics().reconnects == 1
        report: Any = node.health.report()
        assert report["resilience"]["recovery"][BUS_RECONNECT.name]["acts"] >= 1
        assert report["errors"][0]["code"] == "BUS_UNAVAILABLE"
        assert b'aitrading_recovery_acts_total{site="bus.reconnect"' in node.metrics.render()


@async_test
async def test_an_acknowledged_durable_event_survives_the_kill_of_the_server(
    tmp_path: Path,
) -> None:
    async with running_nats(tmp_path, USERS) as server, joined(server, "data-bridge") as node:
        kept = Seen()
        subscription = await node.bus.subscribe(Kept, kept, durable="journal")
        await subscription.close()
        for number in range(1, 21):
            await node.bus.publish(Kept(number=number), event_id=UUID(int=number))
        await server.kill()
        await server.start()
        await node.bus.subscribe(Kept, kept, durable="journal")
        await kept.until(*range(1, 21))


@async_test
async def test_an_event_whose_handler_died_with_its_process_goes_to_the_next(
    tmp_path: Path,
) -> None:
    async with running_nats(tmp_path, USERS) as server, joined(server, "data-bridge") as survivor:
        entered, never = asyncio.Event(), asyncio.Event()

        async def hang(_: Kept, __: EventEnvelope) -> None:
            entered.set()
            await never.wait()

        doomed = Node(server, "trading-engine")
        await doomed.connection.start()
        await doomed.bus.start()
        await doomed.bus.subscribe(Kept, hang, durable="journal")
        await survivor.bus.publish(Kept(number=1))
        await entered.wait()
        await doomed.connection.stop()
        seen = Seen()
        await survivor.bus.subscribe(Kept, seen, durable="journal")
        await eventually(lambda: seen.numbers == [1])
        never.set()
        await doomed.bus.stop()


@async_test
async def test_a_start_waits_for_the_server(tmp_path: Path) -> None:
    async with running_nats(tmp_path, USERS) as server:
        await server.stop()
        node = Node(server, "data-bridge")
        async with asyncio.TaskGroup() as group:
            starting = group.create_task(node.connection.start())
            await eventually(node.errors.latest)
            assert not starting.done()
            assert node.connection.state is ComponentState.STARTING
            await server.start()
        assert node.connection.state is ComponentState.HEALTHY
        await node.connection.stop()


@async_test
async def test_a_wrong_password_is_not_let_in(tmp_path: Path) -> None:
    async with running_nats(tmp_path, USERS) as server:
        access = msgspec.structs.replace(
            server.access("data-bridge"),
            password="guess",  # noqa: S106 - wrong on purpose
        )
        await _expect_refusal(Node(server, "data-bridge", access=access), "authorization")


@async_test
async def test_a_certificate_of_another_authority_is_not_let_in(tmp_path: Path) -> None:
    async with running_nats(tmp_path, USERS) as server:
        stranger = Node(server, "data-bridge")
        foreign = ThrowawayAuthority(tmp_path / "foreign").issue("data-bridge")
        trusted = server.tls("data-bridge")
        stranger.connection._tls = msgspec.structs.replace(foreign, ca=trusted.ca)
        await _expect_refusal(stranger, "")


@async_test
async def test_a_server_of_another_authority_is_not_trusted(tmp_path: Path) -> None:
    async with running_nats(tmp_path, USERS) as server:
        deceived = Node(server, "data-bridge")
        foreign = ThrowawayAuthority(tmp_path / "foreign").issue("data-bridge")
        deceived.connection._tls = foreign
        await _expect_refusal(deceived, "verify failed")


async def _expect_refusal(node: Node, words: str) -> None:
    async with asyncio.TaskGroup() as group:
        starting = group.create_task(node.connection.start())
        await eventually(
            lambda: any(words in record.message.lower() for record in node.errors.latest())
        )
        starting.cancel()
    assert {record.code for record in node.errors.latest()} == {"BUS_UNAVAILABLE"}
    assert not node.connection.is_connected
    await node.connection.stop()


@async_test
async def test_a_message_that_lies_about_its_tenant_is_dropped_and_reported(
    tmp_path: Path,
) -> None:
    async with running_nats(tmp_path, USERS) as server, joined(server, "data-bridge") as node:
        seen = Seen()
        await node.bus.subscribe(Passing, seen)
        forged = seal(Passing(number=1), event_id=UUID(int=1), tenant=BETA, trace=None, now_ns=1)
        await node.connection.client.publish(subject_of(Passing, ALPHA), forged)
        await node.connection.client.publish(subject_of(Passing, ALPHA), b"not an envelope")
        await node.bus.publish(Passing(number=2), tenant=ALPHA)
        await seen.until(2)
        assert node.bus.statistics().rejected == 2
        assert {record.code for record in node.errors.latest()} == {
            "BUS_WRONG_TENANT",
            "BUS_BAD_ENVELOPE",
        }


@async_test
async def test_a_stored_message_that_is_no_event_does_not_block_the_others(
    tmp_path: Path,
) -> None:
    async with running_nats(tmp_path, USERS) as server, joined(server, "data-bridge") as node:
        seen = Seen()
        await node.bus.subscribe(Kept, seen, durable="journal")
        await node.connection.client.publish(subject_of(Kept, ALPHA), b"garbage")
        inbox = f"{inbox_of('data-bridge')}.durable.{consumer_name('journal', subject_of(Kept, EVERYWHERE))}"
        await node.connection.client.publish(inbox, b"not from the stream")
        await node.bus.publish(Kept(number=1), tenant=ALPHA)
        await seen.until(1)


@async_test
async def test_nobody_hears_what_is_answered_to_another(tmp_path: Path) -> None:
    async with (
        running_nats(tmp_path, USERS) as server,
        joined(server, "data-bridge") as asking,
        joined(server, "api-gateway") as curious,
    ):
        heard: list[bytes] = []

        async def note(message: Msg) -> None:
            heard.append(message.data)

        for subject in ("_INBOX.>", "_INBOX.*.>", f"{inbox_of('data-bridge')}.>"):
            await curious.connection.client.subscribe(subject, cb=note)
        await eventually(lambda: len(curious.errors.latest()) > 0)
        assert {record.code for record in curious.errors.latest()} == {"BUS_FORBIDDEN"}
        assert await asking.connection.client.jetstream().account_info()
        inbox = asking.connection.client.new_inbox()
        assert inbox.startswith(f"{inbox_of('data-bridge')}.")
        await curious.connection.client.publish(inbox, b"an answer")
        await curious.connection.client.flush()
        assert heard == []


@async_test
async def test_a_durable_subscription_of_an_earlier_release_moves_to_the_own_inbox(
    tmp_path: Path,
) -> None:
    async with running_nats(tmp_path, USERS) as server, joined(server, "data-bridge") as node:
        subject = subject_of(Kept, EVERYWHERE)
        consumer = consumer_name("journal", subject)
        await node.connection.client.jetstream().add_consumer(
            STREAM,
            ConsumerConfig(
                durable_name=consumer,
                filter_subject=subject,
                deliver_subject=f"_INBOX.durable.{consumer}",
                deliver_group=consumer,
                deliver_policy=DeliverPolicy.NEW,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=30,
                max_ack_pending=1,
            ),
        )
        seen = Seen()
        await node.bus.subscribe(Kept, seen, durable="journal")
        await node.bus.publish(Kept(number=1), tenant=ALPHA)
        await seen.until(1)


@async_test
async def test_a_service_without_the_right_to_a_subject_is_told(tmp_path: Path) -> None:
    async with running_nats(tmp_path, USERS) as server, joined(server, "api-gateway") as node:
        await node.bus.publish(Passing(number=1), tenant=ALPHA)
        await eventually(node.errors.latest)
        assert node.errors.latest()[0].code == "BUS_FORBIDDEN"


@async_test
async def test_the_stream_is_widened_and_never_narrowed(tmp_path: Path) -> None:
    async with running_nats(tmp_path, USERS) as server, joined(server, "data-bridge") as node:
        older = NatsBus(
            node.connection,
            clock=CLOCK,
            ids=SystemIdFactory(CLOCK, SystemRandomness()),
            errors=node.errors,
            events=ALL_EVENTS,
        )
        await older.start()
        info = await node.connection.client.jetstream().stream_info(STREAM)
        assert "ait.*.test.kept" in (info.config.subjects or [])
        assert "ait.*.trading.executed" in (info.config.subjects or [])
        await older.stop()
