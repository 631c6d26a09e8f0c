"""Who may see market data: quotes stop with a subscription that does not count, and nothing else."""

import asyncio
from contextlib import suppress
from typing import Final

import msgspec

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.subscription import SUBSCRIPTION_INACTIVE, SubscriptionState
from aitrading.server.data_bridge.call_sites import VIEWER_PLAN
from aitrading.server.kit.subscription_gate import (
    Person,
    SubscriptionGate,
    counts,
)

HELD: Final = "held"
"""The source of quotes that are not shown."""
ASKED_AT_ONCE: Final = 16
ANSWER_S: Final = 1.0
"""How long prices wait for an answer; without one, what was known last counts …"""
ASK_AGAIN_NS: Final = 5 * NS_PER_S
"""… and nobody is asked again for so long: quotes do not become slow because a database is away."""


class Held(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="held"):
    """Quotes are not shown now, and why; `null`s on a stream say that they are shown again."""

    code: str | None = None
    message: str | None = None
    remedy: str | None = None


SHOWN_AGAIN: Final = Held()


class Viewers:
    """Asks the gate, a few persons at once; while nobody can tell, what was known last counts.

    After a restart everybody comes back in one moment: asked about all of them at once, the database
    service would answer late, and what the same breaker guards, ticks on their way, would wait for it.
    """

    def __init__(self, gate: SubscriptionGate, errors: ErrorHandler, clock: Clock) -> None:
        self._gate = gate
        self._errors = errors
        self._clock = clock
        self._ask_again_ns = 0
        self._untold: Person | None = None
        """Somebody of whom nobody could tell."""
        self._asking = asyncio.Semaphore(ASKED_AT_ONCE)

    async def held(self, person: Person) -> Held | None:
        """Why the person sees no market data; None when nothing is in the way."""
        state = self._gate.remembered(person) if self._untold is None else None
        if state is None:
            state = await self._asked(person)
        if counts(state):
            return None
        error = SUBSCRIPTION_INACTIVE.error(state=str(state))
        return Held(code=error.code, message=error.message, remedy=error.spec.remedy)

    async def _asked(self, person: Person) -> SubscriptionState:
        async def last_known(_: Exception) -> SubscriptionState:
            self._untold = person
            return self._gate.last_known(person)

        async with self._asking:
            return await self._errors.degrade(
                VIEWER_PLAN, lambda: self._state_of(person), last_known
            )

    async def look_again(self) -> None:
        """Find out that answers come again, also when nobody looks at quotes any more."""
        if self._untold is not None:
            person, self._untold = self._untold, None
            with suppress(
                AitradingError
            ):  # who was removed meanwhile is refused, and was answered
                await self.held(person)

    async def _state_of(self, person: Person) -> SubscriptionState:
        """Raises `TimeoutError` when nobody tells in time, or did not a moment ago."""
        known = self._gate.remembered(person)
        if known is not None:
            return known
        if self._clock.monotonic_ns() < self._ask_again_ns:
            raise TimeoutError("nobody could tell a moment ago")
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._gate.state_of(person)
        except TimeoutError:
            self._ask_again_ns = self._clock.monotonic_ns() + ASK_AGAIN_NS
            raise
