"""The door for segments: readable ones are stored, hopeless ones are set aside."""

import asyncio
from typing import Final, NoReturn

from aitrading.core.infrastructure.error_handler import ErrorHandler, IsolationPolicy
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience.errors import ISOLATED
from aitrading.core.kit.errors import AitradingError
from aitrading.core.protocol.error_codes import SEGMENT_CORRUPT, SEGMENT_VERSION_UNSUPPORTED
from aitrading.core.protocol.ingest import INGEST_RECORD_MALFORMED
from aitrading.server.database_service.call_sites import SEGMENT_ISOLATION
from aitrading.server.database_service.errors import (
    SEGMENT_CONFLICT,
    SEGMENT_MISNAMED,
    SEGMENT_QUARANTINED,
    SEGMENT_RECORD_UNKNOWN,
    STREAM_UNKNOWN,
)
from aitrading.server.database_service.metrics import SEGMENTS_QUARANTINED
from aitrading.server.database_service.ticks.quarantine import Quarantine
from aitrading.server.database_service.ticks.segments import TickSegment, decode_segment
from aitrading.server.database_service.ticks.writer import Outcome, TickWriter
from aitrading.server.kit.http_errors import REQUEST_INVALID
from aitrading.server.kit.ingest_api import SEGMENT_NAME

HOPELESS: Final = frozenset(
    {
        SEGMENT_CORRUPT,
        SEGMENT_VERSION_UNSUPPORTED,
        SEGMENT_MISNAMED,
        SEGMENT_RECORD_UNKNOWN,
        SEGMENT_CONFLICT,
        INGEST_RECORD_MALFORMED,
        STREAM_UNKNOWN,
    }
)
"""What no repeat of the same bytes makes better."""
_AT_ONCE: Final = IsolationPolicy(faults_limit=1, isolate_s=60.0)


class SegmentIntake:
    """Takes segments from bridges."""

    def __init__(
        self,
        writer: TickWriter,
        quarantine: Quarantine,
        errors: ErrorHandler,
        metrics: Metrics,
    ) -> None:
        self._writer = writer
        self._quarantine = quarantine
        self._errors = errors
        self._metrics = metrics

    async def take(self, name: str, body: bytes) -> tuple[TickSegment, Outcome]:
        """Store the segment, or raise `SEGMENT_QUARANTINED` when it can never be stored.

        Any other error is worth a repeat with the same bytes.
        """
        if not SEGMENT_NAME.fullmatch(name):
            raise REQUEST_INVALID.error(reason="this is not the name of a segment")

        try:
            answer = await self._errors.isolate(
                SEGMENT_ISOLATION, name, lambda: self._attempt(name, body), _AT_ONCE
            )
        except AitradingError as exc:
            if exc.spec is not ISOLATED:
                raise
            raise SEGMENT_QUARANTINED.error(segment=name, cause=exc.code, kept=True) from exc
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _attempt(self, name: str, body: bytes) -> tuple[TickSegment, Outcome] | Exception:
        """Only a hopeless segment counts against its name; other errors are handed through."""
        try:
            segment = await asyncio.to_thread(decode_segment, name, body)
            return segment, await self._writer.store(segment)
        except AitradingError as exc:
            if exc.spec in HOPELESS:
                await self._set_aside(name, body, exc)
            return exc
        except Exception as exc:  # noqa: BLE001 - whatever it is, the segment is not to blame
            return exc

    async def _set_aside(self, name: str, body: bytes, cause: AitradingError) -> NoReturn:
        kept = await self._quarantine.keep(name, body, cause)
        self._errors.classify(cause)
        self._metrics.increment(SEGMENTS_QUARANTINED, cause=cause.code)
        raise SEGMENT_QUARANTINED.error(segment=name, cause=cause.code, kept=kept) from cause
