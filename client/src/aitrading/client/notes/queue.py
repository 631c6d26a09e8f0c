"""Notes on disk until the server has them.

The position of a note in the queue is what the server recognises it by. The queue is bounded: what
does not fit is given up, and the next note that fits says how many were.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec

from aitrading.core.infrastructure.files import make_private_folder, write_atomically
from aitrading.core.infrastructure.metrics import Metric, MetricKind, Metrics
from aitrading.core.infrastructure.spool import Spool, SpoolLimits
from aitrading.core.infrastructure.spool_errors import SPOOL_BACKLOG, SPOOL_DISK_FULL, SPOOL_FULL
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import IdFactory
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.core.protocol.device_notes import AlertNote, NewsNote, Note
from aitrading.core.security.file_sealing import FileKeys

QUEUE_NAME: Final = "queue.json"
LIMITS: Final = SpoolLimits(
    limit_bytes=16 << 20, segment_bytes=1 << 20, segment_age_ms=30_000, pending_bytes=4 << 20
)
READ_BYTES: Final = 64 * 1024
_FULL: Final = (SPOOL_FULL, SPOOL_DISK_FULL, SPOOL_BACKLOG)
NOTES_SHED: Final = Metric(
    name="aitrading_client_notes_shed_total",
    kind=MetricKind.COUNTER,
    help="Alerts and news given up because their queue was full or the server refused them.",
)

_log = get_logger(__name__)


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    alert: AlertNote | None = None
    news: NewsNote | None = None
    shed: int = 0


class _QueueFile(msgspec.Struct, frozen=True, kw_only=True):
    queue: UUID


class NoteQueue:
    """One queue of one home, on one event loop; `opened` and `close`."""

    def __init__(self, spool: Spool, queue: UUID, metrics: Metrics) -> None:
        self.queue = queue
        self.shed = 0
        self.waiting = asyncio.Event()
        self._spool = spool
        self._metrics = metrics
        self._taken = spool.first_position - 1
        self._unsaid = 0

    @classmethod
    async def opened(
        cls,
        folder: Path,
        *,
        clock: Clock,
        ids: IdFactory,
        keys: FileKeys,
        metrics: Metrics,
        limits: SpoolLimits = LIMITS,
    ) -> "NoteQueue":
        """Go on where the last run stopped; raises what the spool raises."""
        make_private_folder(folder)
        queue = await asyncio.to_thread(_queue_of, folder / QUEUE_NAME, ids)
        spool = await Spool.open(folder / "spool", limits=limits, clock=clock, ids=ids, keys=keys)
        metrics.increment(NOTES_SHED, 0)
        made = cls(spool, queue, metrics)
        made.waiting.set()
        return made

    @property
    def pending(self) -> int:
        """Notes that the server has not confirmed in this run."""
        return self._spool.next_position - 1 - self._taken

    async def tell(self, note: AlertNote | NewsNote) -> None:
        """Return when it is on disk, or counted as given up because the queue is full."""
        if not await self.put(note):
            self.give_up("the queue is full")

    async def put(self, note: AlertNote | NewsNote) -> bool:
        """Return when it is on disk; False when the queue is full, for who comes again later."""
        kept = _Kept(
            alert=note if isinstance(note, AlertNote) else None,
            news=note if isinstance(note, NewsNote) else None,
            shed=self._unsaid,
        )
        try:
            await self._spool.append([msgspec.json.encode(kept)])
        except AitradingError as exc:
            if exc.spec not in _FULL:
                raise
            return False
        self._unsaid = 0
        self.waiting.set()
        return True

    def give_up(self, reason: str) -> None:
        """Count a note that will not be told."""
        self.shed += 1
        self._unsaid += 1
        self._metrics.increment(NOTES_SHED)
        if self.shed == 1 or self.shed % 100 == 0:
            _log.error("notes for the server are given up", reason=reason, given_up=self.shed)

    async def next_notes(self) -> Sequence[Note]:
        """The oldest notes that are not confirmed."""
        records = await self._spool.read(self._spool.readable_from(self._taken + 1), READ_BYTES)
        notes: list[Note] = []
        for record in records:
            kept = msgspec.json.decode(bytes(record.payload), type=_Kept)
            notes.append(
                Note(position=record.position, alert=kept.alert, news=kept.news, shed=kept.shed)
            )
        return notes

    async def confirm(self, position: int) -> None:
        """The server has everything up to here."""
        self._taken = max(self._taken, min(position, self._spool.next_position - 1))
        await self._spool.delete_through(self._taken)

    async def maintain(self) -> None:
        """Complete files by age, so that they can be deleted; for ever."""
        await self._spool.maintain()

    async def close(self) -> None:
        """What is not confirmed stays on disk."""
        await self._spool.close()


def _queue_of(path: Path, ids: IdFactory) -> UUID:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_QueueFile).queue
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        fresh = _QueueFile(
            queue=ids.new()
        )  # what the server has of the old one has ids of its own
        write_atomically(path, msgspec.json.encode(fresh))
        return fresh.queue
