"""The three ways a message comes in from NATS: passing by, asking for an answer, durable.

A route outlives connections: it is attached to each new one, and its worker goes on with what
already arrived. Handlers therefore never see a connection break.
"""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Any, Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription
from nats.errors import NotJSMessageError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from typing_extensions import override

from aitrading.core.infrastructure.bus_intake import (
    Answering,
    BusCounters,
    Inbox,
    Intake,
    Outcome,
    Worker,
    redelivery_delay_s,
)
from aitrading.core.infrastructure.event_bus import MAX_DELIVERIES
from aitrading.server.kit.nats_connection import NATS_ERRORS

STREAM: Final = "EVENTS"
ACK_WAIT_S: Final = 6.0
"""After this silence of the handling process an event goes to the next one."""
HEARTBEAT_S: Final = 2.0
MAX_PENDING_BYTES: Final = 64 << 20
RESPONDERS: Final = "responders"


class Route(ABC):
    """One subject on its way to one handler."""

    def __init__(self, subject: str, counters: BusCounters) -> None:
        self._subject = subject
        self._counters = counters
        self._inbox = Inbox[Msg]()
        self._worker = Worker(self._inbox.take, self._work)
        self._client: Client | None = None
        self._subscription: NatsSubscription | None = None

    def background(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        """What has to run while the route is open, by name."""
        return [(f"handle {self._subject}", self._worker.run())]

    async def attach(self, client: Client) -> None:
        """Subscribe on this connection; again on the same one changes nothing."""
        if self._client is client:
            return
        self._subscription = await self._subscribe(client)
        self._client = client

    async def close(self) -> None:
        """Unsubscribe and let the running handler finish."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            with contextlib.suppress(*NATS_ERRORS):  # without a connection nothing is left to end
                await subscription.unsubscribe()
        await self._worker.close()

    async def _arrived(self, message: Msg) -> None:
        self._counters.dropped += not self._inbox.put(message)

    async def _listen(self, client: Client, subject: str, queue: str = "") -> NatsSubscription:
        return await client.subscribe(
            subject, queue=queue, cb=self._arrived, pending_bytes_limit=MAX_PENDING_BYTES
        )

    @abstractmethod
    async def _subscribe(self, client: Client) -> NatsSubscription: ...

    @abstractmethod
    async def _work(self, message: Msg) -> None: ...


class PassingRoute(Route):
    """Facts for whoever listens now."""

    def __init__(self, subject: str, intake: Intake[Any], counters: BusCounters) -> None:
        super().__init__(subject, counters)
        self._intake = intake

    @override
    async def _subscribe(self, client: Client) -> NatsSubscription:
        return await self._listen(client, self._subject)

    @override
    async def _work(self, message: Msg) -> None:
        await self._intake.take(message.subject, message.data)


class RespondingRoute(Route):
    """Requests; one of all responders gets each."""

    def __init__(
        self, subject: str, answering: Answering[Any, Any], counters: BusCounters
    ) -> None:
        super().__init__(subject, counters)
        self._answering = answering

    @override
    async def _subscribe(self, client: Client) -> NatsSubscription:
        return await self._listen(client, self._subject, RESPONDERS)

    @override
    async def _work(self, message: Msg) -> None:
        reply = await self._answering.answer(message.subject, message.data)
        with contextlib.suppress(*NATS_ERRORS):  # the asker has its own time limit
            await message.respond(reply)


class DurableRoute(Route):
    """Stored events from a named position."""

    def __init__(
        self, subject: str, durable: str, intake: Intake[Any], counters: BusCounters
    ) -> None:
        super().__init__(subject, counters)
        self._intake = intake
        self._consumer = consumer_name(durable, subject)
        self._current: Msg | None = None
        self._closed = asyncio.Event()

    @override
    def background(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        return [*super().background(), (f"keep {self._consumer}", self._keep_current())]

    @override
    async def close(self) -> None:
        self._closed.set()
        await super().close()

    @override
    async def _subscribe(self, client: Client) -> NatsSubscription:
        own = client.new_inbox().rpartition(".")[0]
        inbox = f"{own}.durable.{self._consumer}"
        await client.jetstream().add_consumer(
            STREAM,
            ConsumerConfig(
                durable_name=self._consumer,
                filter_subject=self._subject,
                deliver_subject=inbox,
                deliver_group=self._consumer,
                deliver_policy=DeliverPolicy.NEW,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT_S,
                max_ack_pending=1,
            ),
        )
        return await self._listen(client, inbox, self._consumer)

    @override
    async def _work(self, message: Msg) -> None:
        try:
            deliveries = message.metadata.num_delivered
        except NotJSMessageError:  # published to our inbox by somebody, not by the stream
            self._counters.rejected += 1
            return
        self._counters.redelivered += deliveries > 1
        self._current = message
        try:
            outcome = await self._outcome(message, deliveries)
        finally:
            self._current = None
        with contextlib.suppress(*NATS_ERRORS):  # unacknowledged, it comes again and is known
            await self._settle(message, outcome, deliveries)

    async def _outcome(self, message: Msg, deliveries: int) -> Outcome:
        if deliveries > MAX_DELIVERIES:
            return Outcome.FAILED
        return await self._intake.take(message.subject, message.data)

    async def _settle(self, message: Msg, outcome: Outcome, deliveries: int) -> None:
        match outcome:
            case Outcome.HANDLED:
                await message.ack()
            case Outcome.FAILED if deliveries < MAX_DELIVERIES:
                await message.nak(delay=redelivery_delay_s(deliveries))
            case Outcome.FAILED:
                self._counters.given_up += 1
                await message.term()
            case Outcome.REJECTED:
                await message.term()

    async def _keep_current(self) -> None:
        """Tell the server that the running handler is alive, so that nobody else gets its event."""
        while not self._closed.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._closed.wait()
            if self._current is not None:
                with contextlib.suppress(*NATS_ERRORS):
                    await self._current.in_progress()


def consumer_name(durable: str, subject: str) -> str:
    """A name the server accepts: one position per name and subject."""
    return f"{durable}--{subject}".replace(".", "-").replace("*", "all")
