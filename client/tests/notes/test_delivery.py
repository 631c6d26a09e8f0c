"""Notes arrive once each and in order, over refusals, restarts and a full queue."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from typing_extensions import override

from aitrading.client.data_collector.errors import SOURCE_MALFORMED, SOURCE_UNREACHABLE
from aitrading.client.notes.queue import LIMITS, NoteQueue
from aitrading.client.notes.sender import NoteSender
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.infrastructure.spool import SpoolLimits
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.protocol.device_notes import NewsKind, NewsNote, Notes, NotesTaken
from aitrading.core.security.device_requests import MAX_CONTENT_CHARS
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.file_keys import some_file_keys

CLOCK, KEYS = SystemClock(), some_file_keys()
POISON = "poison"
SMALL = SpoolLimits(limit_bytes=64 * 1024, segment_bytes=16 * 1024)


class NoWait(SystemRandomness):
    """Draws no pauses."""

    @override
    def uniform(self, low: float, high: float) -> float:
        del low, high
        return 0.0


@dataclass
class Store:
    """What the server does: takes what lies behind the known position of a queue, once."""

    known: dict[UUID, int] = field(default_factory=dict[UUID, int])
    titles: list[str] = field(default_factory=list[str])
    shed: int = 0
    refuse: int = 0
    lose: int = 0
    """Answers that get lost after the notes were stored."""

    def ask(self, purpose: Any, path: str, content: dict[str, Any], answer: type[Any]) -> Any:
        del purpose, path
        assert answer is NotesTaken
        assert len(msgspec.json.encode(content).decode()) <= MAX_CONTENT_CHARS
        notes = msgspec.convert(content, Notes)
        if self.refuse:
            self.refuse -= 1
            raise SOURCE_UNREACHABLE.error(source="server", reason="away")
        if any(note.news and note.news.title == POISON for note in notes.notes):
            raise AitradingError(replace(SOURCE_MALFORMED, code="REQUEST_INVALID"), {})
        position = self.known.get(notes.queue, 0)
        for note in notes.notes:
            if note.position > position and note.news:
                self.titles.append(note.news.title)
                self.shed += note.shed
                position = note.position
        self.known[notes.queue] = position
        if self.lose:
            self.lose -= 1
            raise SOURCE_UNREACHABLE.error(source="server", reason="the answer got lost")
        return NotesTaken(position=position)


def news(title: str, body: str = "") -> NewsNote:
    return NewsNote(kind=NewsKind.NEWS, source="file", happens_ms=1, title=title, body=body)


@asynccontextmanager
async def queue_in(
    home: Path, ids: SystemIdFactory, limits: SpoolLimits = LIMITS
) -> AsyncGenerator[NoteQueue]:
    queue = await NoteQueue.opened(
        home / "notes", clock=CLOCK, ids=ids, keys=KEYS, metrics=Metrics(), limits=limits
    )
    try:
        yield queue
    finally:
        await queue.close()


@asynccontextmanager
async def delivering(queue: NoteQueue, store: Store) -> AsyncGenerator[NoteSender]:
    errors = ErrorHandler(
        clock=CLOCK, randomness=NoWait(), metrics=Metrics(), resilience=ResilienceRegistry()
    )
    sender = NoteSender(queue, store, clock=CLOCK, randomness=NoWait(), errors=errors)
    await sender.start()
    try:
        yield sender
    finally:
        await sender.stop()


@async_test
async def test_each_arrives_once_over_refusals_lost_answers_and_restarts(
    home: Path, ids: SystemIdFactory
) -> None:
    store = Store(refuse=2, lose=1)
    async with queue_in(home, ids) as queue:
        for number in range(3):
            await queue.put(news(f"n{number}"))
        async with delivering(queue, store):
            await eventually(lambda: queue.pending == 0)
        await queue.put(news("n3"))
    async with queue_in(home, ids) as queue, delivering(queue, store):
        await queue.put(news("n4"))
        await eventually(lambda: queue.pending == 0)
    assert store.titles == [f"n{number}" for number in range(5)]
    assert len(store.known) == 1


@async_test
async def test_what_does_not_fit_is_given_up_and_told(home: Path, ids: SystemIdFactory) -> None:
    store = Store()
    async with queue_in(home, ids, SMALL) as queue:
        while await queue.put(news("full", "x" * 2_000)):
            pass
        before = queue.shed
        await queue.tell(news("lost", "x" * 2_000))
        assert (before, queue.shed) == (0, 1)
        async with delivering(queue, store):
            await eventually(lambda: queue.pending == 0)
        await queue.tell(news("after"))
        async with delivering(queue, store):
            await eventually(lambda: queue.pending == 0)
    assert store.titles[-1] == "after"
    assert "lost" not in store.titles
    assert store.shed == 1


@async_test
async def test_a_note_that_the_server_does_not_read_blocks_nobody(
    home: Path, ids: SystemIdFactory
) -> None:
    store = Store()
    async with queue_in(home, ids) as queue:
        for title in ("a", POISON, "b"):
            await queue.put(news(title))
        async with delivering(queue, store):
            await eventually(lambda: queue.pending == 0)
        assert (store.titles, queue.shed) == (["a", "b"], 1)
