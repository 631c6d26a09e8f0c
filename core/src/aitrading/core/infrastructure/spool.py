"""The spool: records that must survive a crash until their reader has taken them.

Appends are collected and written with one `fdatasync` per group by a single worker thread, so
the event loop never waits for the disk and a faster disk or a busier hour makes larger groups.
What `durable_position` covers survives a power cut; what it does not cover was never promised.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self, TypeVar

from aitrading.core.infrastructure.files import make_private_folder, sync_data, try_lock
from aitrading.core.infrastructure.segment_codecs import open_segment
from aitrading.core.infrastructure.segment_files import (
    Recovery,
    SealedSegment,
    Sync,
    recover,
)
from aitrading.core.infrastructure.spool_errors import (
    SPOOL_BACKLOG,
    SPOOL_CLOSED,
    SPOOL_DISK_FULL,
    SPOOL_FAILED,
    SPOOL_FULL,
    SPOOL_IN_USE,
    SPOOL_POSITION_UNKNOWN,
)
from aitrading.core.infrastructure.spool_parts import (
    DurabilityWaiters,
    NewestGroup,
    SealedShelf,
    SpoolLimits,
    SpoolStatistics,
)
from aitrading.core.infrastructure.spool_store import Committed, SpoolStore
from aitrading.core.kit.clock import NS_PER_MS, Clock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import IdFactory
from aitrading.core.protocol.error_codes import SEGMENT_CORRUPT, SEGMENT_RECORD_TOO_LARGE
from aitrading.core.protocol.segment import (
    KIND_TICKS,
    RECORD_BYTES_MAX,
    Buffer,
    Record,
    record_bytes,
)
from aitrading.core.security.file_sealing import FileKeys

LOCK_NAME: Final = "spool.lock"
__all__ = ["SealedSegment", "Spool", "SpoolLimits", "SpoolStatistics"]

READ_BYTES: Final = 1024**2
SEAL_CHECKS_PER_AGE: Final = 4
MS_PER_S: Final = 1_000
T = TypeVar("T")


class Spool:
    """Append on the event loop, durable by group; sealed segments leave oldest first.

    Everything but the callbacks belongs to one event loop. Use it as an async context manager,
    or call `close`.
    """

    def __init__(
        self,
        store: SpoolStore,
        recovery: Recovery,
        limits: SpoolLimits,
        clock: Clock,
        lock: int,
        keys: FileKeys,
    ) -> None:
        self.on_durable: Callable[[int], None] = _ignore
        """Called with the new `durable_position` after each group."""
        self.on_failure: Callable[[AitradingError], None] = _ignore
        """Called when records behind `durable_position` were not stored and are forgotten."""
        self._store = store
        self._recovery = recovery
        self._limits = limits
        self._clock = clock
        self._lock = lock
        self._keys = keys
        self._loop = asyncio.get_running_loop()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._shelf = SealedShelf(recovery.sealed)
        self._open_bytes, self._open_records = store.open_bytes, store.open_records
        self._open_first = recovery.next_position - store.open_records
        self._open_since_ns = clock.monotonic_ns()
        self._pending: list[tuple[int, Buffer]] = []
        self._pending_bytes = self._writing_bytes = 0
        self._writing: list[tuple[int, Buffer]] = []
        self._newest = NewestGroup()
        self._next = recovery.next_position
        self._durable = recovery.next_position - 1
        self._waiters = DurabilityWaiters()
        self._busy = False
        self._closing = False
        self._group_done = asyncio.Event()
        self._failure: AitradingError | None = None
        self._groups = self._synced_bytes = self._sync_ns_last = self._sync_ns_max = 0
        self._disk_full = 0

    @classmethod
    async def open(
        cls,
        folder: Path,
        *,
        limits: SpoolLimits,
        clock: Clock,
        ids: IdFactory,
        keys: FileKeys,
        sync: Sync = sync_data,
    ) -> Self:
        """Recover what the folder holds and go on after it.

        Raises `SPOOL_IN_USE`, or `FILE_KEY_MISSING` when segments here were sealed under a file
        key that `keys` has not; nothing is changed then.

        `sync` is how a file's bytes reach the disk; only a test that wants to lose data changes it.
        """
        make_private_folder(folder)
        lock = try_lock(folder / LOCK_NAME)
        if lock is None:
            raise SPOOL_IN_USE.error(folder=str(folder))
        try:
            recovery = await asyncio.to_thread(
                recover, folder, keys, sync=sync, now_ns=clock.now_ns()
            )
            store = SpoolStore(
                folder=folder,
                spool=recovery.spool or ids.new(),
                recovery=recovery,
                segment_bytes=limits.segment_bytes,
                preallocate=limits.preallocate,
                clock=clock,
                sync=sync,
                keys=keys,
            )
            return cls(store, recovery, limits, clock, lock, keys)
        except BaseException:
            os.close(lock)
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def recovery(self) -> Recovery:
        """What opening found: torn bytes, quarantined files, segments left from before."""
        return self._recovery

    @property
    def durable_position(self) -> int:
        """Every record up to here survives a power cut; 0 before the first."""
        return self._durable

    @property
    def next_position(self) -> int:
        """What the next appended record gets."""
        return self._next

    @property
    def first_position(self) -> int:
        """The oldest record still here; equals `next_position` in an empty spool."""
        oldest = self._shelf.first_after(0)
        return oldest.first_position if oldest else self._open_first

    @property
    def used_bytes(self) -> int:
        """What counts against the limit."""
        unwritten = self._pending_bytes + self._writing_bytes
        return self._shelf.size_bytes + self._open_bytes + unwritten

    def append_nowait(self, payloads: Sequence[Buffer], *, kind: int = KIND_TICKS) -> int:
        """Take records; returns the position of the last one. Never blocks.

        Payloads must not change any more. Raises `SPOOL_FULL` or `SPOOL_BACKLOG`
        without taking any; a later failure of the disk is told by `on_failure`.
        """
        self._require_usable()
        size = sum(record_bytes(len(payload)) for payload in payloads)
        if size > RECORD_BYTES_MAX:
            _require_small(payloads)
        self._require_room(size)
        self._pending += [(kind, payload) for payload in payloads]
        self._pending_bytes += size
        self._next += len(payloads)
        self._kick()
        return self._next - 1

    async def append(self, payloads: Sequence[Buffer], *, kind: int = KIND_TICKS) -> int:
        """Take records and return when they are durable; raises when not all of them are.

        After an error `durable_position` tells which of them were stored nevertheless.
        """
        position = self.append_nowait(payloads, kind=kind)
        await self.wait_durable(position)
        return position

    async def wait_durable(self, position: int) -> None:
        """Return when everything up to a position is durable; raises when it will not be."""
        if position <= self._durable:
            return
        self._require_usable()
        if position >= self._next:
            raise SPOOL_POSITION_UNKNOWN.error(position=position)
        await self._waiters.wait_for(position)

    async def seal(self) -> None:
        """Complete the open segment, with everything appended before this call."""
        await self.wait_durable(self._next - 1)
        self._require_usable()
        outcome = await self._run(self._store.seal)
        self._apply(outcome)
        if outcome.error is not None:
            raise outcome.error

    async def maintain(self) -> None:
        """Seal by age for ever; run it as a task. A full disk is waited out, a failed one ends it."""
        pause_s = self._limits.segment_age_ms / MS_PER_S / SEAL_CHECKS_PER_AGE
        while self._failure is None and not self._closing:
            await self._clock.sleep(pause_s)
            age_ms = (self._clock.monotonic_ns() - self._open_since_ns) // NS_PER_MS
            if self._open_records and age_ms >= self._limits.age_limit_ms(self._open_bytes):
                with contextlib.suppress(AitradingError):
                    await self.seal()

    def sealed(self) -> list[SealedSegment]:
        """Complete segments that were not deleted, oldest first."""
        return self._shelf.segments

    async def next_sealed(self, after: int = 0) -> SealedSegment:
        """The oldest complete segment with an id above `after`; waits for one to be sealed."""
        while True:
            segment = self._shelf.first_after(after)
            if segment is not None:
                return segment
            self._require_usable()
            await self._shelf.changed()

    async def read_segment(self, segment: SealedSegment) -> bytes:
        """A complete segment, opened and checked, as a v1 segment: always the same bytes.

        Raises `SEGMENT_CORRUPT`, or `FILE_KEY_MISSING` when its file key is gone.
        """
        return await asyncio.to_thread(_read_checked, segment, self._keys)

    async def read(self, position: int, max_bytes: int = READ_BYTES) -> list[Record]:
        """Durable records from a position on (some, at least one); empty when there are none.

        Raises `SPOOL_POSITION_UNKNOWN` for a position that was deleted.
        """
        if self.first_position <= position and position in self._newest:
            return self._newest.read(position, max_bytes)
        return await self._run(self._store.read, position, max_bytes)

    def readable_from(self, position: int) -> int:
        """The first position at or behind the given one that was not deleted or set aside."""
        segment = self._shelf.first_reaching(position)
        return max(position, segment.first_position if segment else self._open_first)

    async def delete(self, segment: SealedSegment) -> None:
        """Forget a segment that its reader has stored."""
        await self._delete([segment])

    async def delete_through(self, position: int) -> None:
        """Forget every complete segment that ends at or before a position."""
        await self._delete([one for one in self._shelf.segments if one.last_position <= position])

    async def quarantine(self, segment: SealedSegment) -> Path:
        """Put a damaged segment aside; it no longer counts and is not handed out again."""
        path = await self._run(self._store.quarantine, segment)
        self._shelf.remove([segment])
        return path

    def statistics(self) -> SpoolStatistics:
        """A snapshot."""
        return SpoolStatistics(
            next_position=self._next,
            durable_position=self._durable,
            used_bytes=self.used_bytes,
            limit_bytes=self._limits.limit_bytes,
            pending_bytes=self._pending_bytes + self._writing_bytes,
            sealed_segments=len(self._shelf),
            sealed_bytes=self._shelf.size_bytes,
            groups=self._groups,
            synced_bytes=self._synced_bytes,
            sync_ns_last=self._sync_ns_last,
            sync_ns_max=self._sync_ns_max,
            disk_full=self._disk_full,
            failed=self._failure is not None,
        )

    async def close(self) -> None:
        """Write what was appended, then let go of the folder; harmless when repeated."""
        if self._closing:
            return
        self._closing = True
        self._shelf.wake()
        with contextlib.suppress(AitradingError):
            while self._busy:
                await self._group_done.wait()
        await self._run(self._store.close)
        self._worker.shutdown(wait=False)
        self._waiters.fail(SPOOL_CLOSED.error())
        os.close(self._lock)

    def _kick(self) -> None:
        if self._busy or not self._pending:
            return
        self._writing, self._pending = self._pending, []
        self._writing_bytes, self._pending_bytes = self._pending_bytes, 0
        self._busy = True
        future = self._loop.run_in_executor(self._worker, self._store.commit, self._writing)
        future.add_done_callback(self._committed)

    def _committed(self, future: asyncio.Future[Committed]) -> None:
        self._busy = False
        written, self._writing, self._writing_bytes = self._writing, [], 0
        self._groups += 1
        error = future.exception()
        if error is None:
            outcome = future.result()
            stored = written[: outcome.durable_position - self._durable]
            self._newest = NewestGroup(self._durable + 1, stored)
            self._apply(outcome)
        else:  # a defect of ours; nothing of the group may count as stored
            self._lose(SPOOL_FAILED.error(folder=str(self._store.folder), reason=repr(error)))
        self._kick()
        self._group_done.set()
        self._group_done.clear()

    def _apply(self, outcome: Committed) -> None:
        if not self._open_records or outcome.sealed:
            self._open_since_ns = self._clock.monotonic_ns()
        self._open_bytes, self._open_records = outcome.open_bytes, outcome.open_records
        self._open_first = outcome.durable_position + 1 - outcome.open_records
        self._synced_bytes += outcome.written_bytes
        self._sync_ns_last = outcome.took_ns
        self._sync_ns_max = max(self._sync_ns_max, outcome.took_ns)
        if outcome.sealed:
            self._shelf.add(outcome.sealed)
        if outcome.durable_position > self._durable:
            self._durable = outcome.durable_position
            self._tell(self.on_durable, self._durable)
            self._waiters.settle(self._durable)
        if outcome.error is not None:
            self._lose(outcome.error)

    def _lose(self, error: AitradingError) -> None:
        """Forget what was appended and is not durable; its waiters and the owner are told."""
        if error.spec is SPOOL_DISK_FULL:
            self._disk_full += 1
        else:
            self._failure = error
            self._shelf.wake()
        self._pending.clear()
        self._pending_bytes = 0
        self._next = self._durable + 1
        self._waiters.fail(error)
        self._tell(self.on_failure, error)

    def _tell(self, callback: Callable[[T], None], news: T) -> None:
        """Call the owner; a defect there is reported by the loop and must not stop the spool."""
        try:
            callback(news)
        except Exception as exc:  # noqa: BLE001 - whatever the owner did, the spool goes on
            self._loop.call_exception_handler(
                {"message": "a listener of the spool failed", "exception": exc}
            )

    async def _delete(self, segments: list[SealedSegment]) -> None:
        if segments:
            await self._run(self._store.delete, segments)
            self._shelf.remove(segments)

    async def _run(self, work: Callable[..., T], *arguments: object) -> T:
        return await self._loop.run_in_executor(self._worker, work, *arguments)

    def _require_usable(self) -> None:
        if self._closing:
            raise SPOOL_CLOSED.error()
        if self._failure is not None:
            raise self._failure.spec.error(**self._failure.fields)

    def _require_room(self, size: int) -> None:
        if self.used_bytes + size > self._limits.limit_bytes:
            raise SPOOL_FULL.error(
                used_bytes=self.used_bytes, limit_bytes=self._limits.limit_bytes, wanted_bytes=size
            )
        pending = self._pending_bytes + self._writing_bytes + size
        if pending > self._limits.pending_bytes:
            raise SPOOL_BACKLOG.error(
                pending_bytes=pending, limit_bytes=self._limits.pending_bytes
            )


def _require_small(payloads: Sequence[Buffer]) -> None:
    largest = max(len(payload) for payload in payloads)
    if largest > RECORD_BYTES_MAX:
        raise SEGMENT_RECORD_TOO_LARGE.error(size_bytes=largest, limit_bytes=RECORD_BYTES_MAX)


def _read_checked(segment: SealedSegment, keys: FileKeys) -> bytes:
    try:
        data = segment.path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise SEGMENT_CORRUPT.error(offset=0, reason=reason) from error
    return open_segment(data, keys)


def _ignore(_: object) -> None:
    """What an owner that does not listen hears."""
