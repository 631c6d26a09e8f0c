"""Learning from the bus whose tokens are refused before they end."""

from aitrading.core.infrastructure.event_bus import EventBus, EventEnvelope, Subscription
from aitrading.core.infrastructure.events import SessionsEnded
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.server.kit.ended_sessions import EndedSessions


class RevocationFeed:
    """Keeps `EndedSessions` of this process up to date; a component.

    Without the bus a token lives to its end, at most 15 minutes, as it says itself.
    """

    def __init__(self, bus: EventBus, ended: EndedSessions) -> None:
        self.name = "revocations"
        self.depends_on = ("bus",)
        self.critical = False
        self.state = ComponentState.NEW
        self._bus = bus
        self._ended = ended
        self._subscription: Subscription | None = None

    async def start(self) -> None:
        """Listen from now on."""
        self._subscription = await self._bus.subscribe(SessionsEnded, self._note, scope=None)
        self.state = ComponentState.HEALTHY

    async def stop(self) -> None:
        """Listen no more."""
        if self._subscription is not None:
            await self._subscription.close()
        self.state = ComponentState.STOPPED

    async def _note(self, event: SessionsEnded, envelope: EventEnvelope) -> None:
        del envelope
        self._ended.add(event.sessions)
