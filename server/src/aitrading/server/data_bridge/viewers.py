"""Who may see market data: quotes stop with a subscription that does not count, and nothing else."""

import asyncio
from typing import Final

import msgspec

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.security.subscription import SUBSCRIPTION_INACTIVE, SubscriptionState
from aitrading.server.data_bridge.call_sites import VIEWER_PLAN
from aitrading.server.kit.subscription_gate import Person, SubscriptionGate, counts

HELD: Final = "held"
"""The source of quotes that are not shown."""
ASKED_AT_ONCE: Final = 16


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

    def __init__(self, gate: SubscriptionGate, errors: ErrorHandler) -> None:
        self._gate = gate
        self._errors = errors
        self._asking = asyncio.Semaphore(ASKED_AT_ONCE)

    async def held(self, person: Person) -> Held | None:
        """Why the person sees no market data; None when nothing is in the way."""

        async def last_known(_: Exception) -> SubscriptionState:
            return self._gate.last_known(person)

        async with self._asking:
            state = await self._errors.degrade(
                VIEWER_PLAN, lambda: self._gate.state_of(person), last_known
            )
        if counts(state):
            return None
        error = SUBSCRIPTION_INACTIVE.error(state=str(state))
        return Held(code=error.code, message=error.message, remedy=error.spec.remedy)
