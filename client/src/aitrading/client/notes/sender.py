"""Delivers the queue of notes to the server, the oldest first."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Protocol, TypeVar

import msgspec
from typing_extensions import override

from aitrading.client.notes.queue import NoteQueue
from aitrading.core.infrastructure.error_handler import RECONNECT_FOREVER, ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.looping import LoopingComponent
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError, FieldValue
from aitrading.core.kit.randomness import Randomness
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.core.protocol.device_notes import NOTES_MAX, Note, Notes, NotesTaken
from aitrading.core.security.device_requests import MAX_CONTENT_CHARS, DevicePurpose

PATH: Final = "/api/v1/devices/notes"
PAUSE_S: Final = 0.25
"""Between two deliveries: what comes meanwhile travels together."""
POISONED: Final = "REQUEST_INVALID"
T = TypeVar("T")

_log = get_logger(__name__)


class Server(Protocol):
    """Signed questions to the server; `DeviceCalls` asks them."""

    def ask(
        self, purpose: DevicePurpose, path: str, content: dict[str, Any], answer: type[T]
    ) -> T:
        """The answer, or what the server or the way there raised; blocks."""
        ...


class NoteSender(LoopingComponent):
    """A component of the client; what is not delivered waits on disk."""

    def __init__(
        self,
        queue: NoteQueue,
        server: Server,
        *,
        clock: Clock,
        randomness: Randomness,
        errors: ErrorHandler,
    ) -> None:
        super().__init__("notes")
        self.delivered = 0
        self.not_wanted = 0
        self.refused_by: str | None = None
        self._queue = queue
        self._server = server
        self._clock = clock
        self._randomness = randomness
        self._errors = errors

    def statistics(self) -> dict[str, FieldValue]:
        """For health."""
        return {
            "pending": self._queue.pending,
            "delivered": self.delivered,
            "given_up": self._queue.shed,
            "not_wanted_by_the_server": self.not_wanted,
            "refused_by": self.refused_by,
        }

    @override
    async def start(self) -> None:
        """Deliver from now on."""
        self._state = ComponentState.HEALTHY
        self._tasks.start(self._run(), name="deliver")
        self._tasks.keep(self._queue.maintain, name="seal", clock=self._clock)

    async def _run(self) -> None:
        failures = 0
        while True:
            await self._queue.waiting.wait()
            self._queue.waiting.clear()
            try:
                while await self._deliver_some():
                    await self._clock.sleep(PAUSE_S)
            except Exception as exc:  # noqa: BLE001 - delivering never ends in silence
                failures += 1
                self.refused_by = self._errors.classify(exc).code
                self._state = ComponentState.DEGRADED
                self._queue.waiting.set()
                await self._clock.sleep(RECONNECT_FOREVER.delay_s(failures, self._randomness))
            else:
                failures, self.refused_by = 0, None
                self._state = ComponentState.HEALTHY

    async def _deliver_some(self) -> bool:
        """One request's worth; False when nothing is left."""
        notes = await self._queue.next_notes()
        if not notes:
            return False
        await self._deliver(_fitting(self._queue, notes))
        return True

    async def _deliver(self, notes: Sequence[Note]) -> None:
        content = Notes(queue=self._queue.queue, notes=tuple(notes))
        try:
            taken = await asyncio.to_thread(
                self._server.ask,
                DevicePurpose.NOTES,
                PATH,
                msgspec.to_builtins(content),
                NotesTaken,
            )
        except AitradingError as exc:
            if exc.code != POISONED:
                raise
            await self._without_poison(notes, exc)
            return
        self.delivered += len(notes) - taken.refused
        if taken.refused and not self.not_wanted:
            _log.warning("the server takes no news: MULTI_SOURCE_ENABLED is off there")
        self.not_wanted += taken.refused
        await self._queue.confirm(max(taken.position, notes[-1].position))

    async def _without_poison(self, notes: Sequence[Note], exc: AitradingError) -> None:
        """The server does not read them: one by one, and the unreadable one is given up."""
        if len(notes) > 1:
            for note in notes:
                await self._deliver([note])
            return
        _log.error("the server does not read a note", error=exc)
        self._queue.give_up(exc.code)
        await self._queue.confirm(notes[0].position)


def _fitting(queue: NoteQueue, notes: Sequence[Note]) -> Sequence[Note]:
    """As many as one request takes, at least one."""
    room = MAX_CONTENT_CHARS - len(msgspec.json.encode(Notes(queue=queue.queue, notes=())))
    count = 0
    for note in notes[:NOTES_MAX]:
        room -= len(msgspec.json.encode(note).decode()) + 1
        if room < 0 and count:
            break
        count += 1
    return notes[:count]
