"""Learning whose tokens are refused before they end: from the bus, and from the source itself.

The source tells each revocation at once and, once a second, the number of the newest. Who misses a
number, restarts, or hears nothing - the bus is down - asks the source for everything that counts.
Who can reach neither for `UNCERTAIN_AFTER_S` does not know any more, and says so: trading and
administration are refused meanwhile (`REVOCATIONS_UNKNOWN`), reading and the kill switch go on.
"""

import asyncio
from contextlib import suppress
from functools import partial
from typing import Final
from uuid import UUID

from aitrading.core.infrastructure.event_bus import EventBus, EventEnvelope, Subscription
from aitrading.core.infrastructure.events import TokensRevoked
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.infrastructure.metrics import Metric, MetricKind, Metrics
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.server.kit.internal_client import InternalClient
from aitrading.server.kit.revoked_tokens import (
    REVOCATIONS_PATH,
    Revocation,
    RevocationState,
    RevokedTokens,
)

LOOK_EVERY_S: Final = 1.0
SILENCE_S: Final = 2.5
"""After so long without a word the source is asked, before anything becomes uncertain."""
ASK_TIMEOUT_S: Final = 2.0
CERTAIN: Final = Metric(
    name="aitrading_revocations_certain",
    kind=MetricKind.GAUGE,
    help="1 while this process knows every revoked token; at 0 it refuses trading.",
)


class RevocationFeed:
    """Keeps `RevokedTokens` of this process up to date; a component."""

    def __init__(
        self,
        bus: EventBus,
        revoked: RevokedTokens,
        source: InternalClient | None,
        *,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        """Without a source this process is it, or its installation has none."""
        self.name = "revocations"
        self.depends_on = ("bus",)
        self.critical = False
        self._started = ComponentState.NEW
        self._bus = bus
        self._revoked = revoked
        self._source = source
        self._clock = clock
        self._metrics = metrics
        self._subscription: Subscription | None = None
        self._tasks = TaskSet(self.name)
        self._missed = asyncio.Event()
        self._feed: UUID | None = None
        self._number = 0
        self._heard_ns = 0

    @property
    def state(self) -> ComponentState:
        """DEGRADED while it cannot be told whether something was missed."""
        if self._started is ComponentState.HEALTHY and not self._revoked.is_certain:
            return ComponentState.DEGRADED
        return self._tasks.judged(self._started)

    async def start(self) -> None:
        """Listen from now on, and ask for what was told before."""
        if self._source is not None:
            self._revoked.watch()
        self._subscription = await self._bus.subscribe(TokensRevoked, self._note, scope=None)
        if self._source is not None:
            self._missed.set()
            self._tasks.keep(
                partial(self._keep_up, self._source), name="keep-up", clock=self._clock
            )
        self._started = ComponentState.HEALTHY

    async def stop(self) -> None:
        """Listen no more."""
        await self._tasks.close()
        if self._subscription is not None:
            await self._subscription.close()
        if self._source is not None:
            await self._source.close()
        self._started = ComponentState.STOPPED

    async def _note(self, event: TokensRevoked, envelope: EventEnvelope) -> None:
        del envelope
        told = Revocation(
            sessions=event.sessions, users=event.users, organisations=event.organisations
        )
        self._revoked.apply(told)
        if self._source is None:
            return
        is_next = event.number == self._number + 1 and bool(told)
        if event.feed == self._feed and (event.number == self._number or is_next):
            self._number = event.number
            self._heard()
        elif event.feed != self._feed or event.number > self._number:
            self._revoked.doubt()
            self._missed.set()

    async def _keep_up(self, source: InternalClient) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._missed.wait()
            silent_ns = self._clock.monotonic_ns() - self._heard_ns
            if self._missed.is_set() or silent_ns > SILENCE_S * NS_PER_S:
                self._missed.clear()
                await self._ask(source)
            self._metrics.set(CERTAIN, int(self._revoked.is_certain))

    async def _ask(self, source: InternalClient) -> None:
        try:
            told = await source.get(
                REVOCATIONS_PATH, answer=RevocationState, timeout_s=ASK_TIMEOUT_S
            )
        except AitradingError:
            self._heard_ns = 0  # asked again at the next look
            return
        self._revoked.apply(told.revoked)
        self._feed, self._number = told.feed, told.number
        self._heard()

    def _heard(self) -> None:
        self._heard_ns = self._clock.monotonic_ns()
        self._revoked.confirm()
