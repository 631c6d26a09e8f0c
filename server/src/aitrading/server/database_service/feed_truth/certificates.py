"""Certificates of complete days: made when asked for, signed, verifiable without the platform."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from aitrading.core.domain.stream_days import DAY_MS
from aitrading.core.kit.clock import Clock, now_utc
from aitrading.core.kit.errors import Category, ErrorSpec, Severity
from aitrading.core.kit.ids import TenantId
from aitrading.core.security.crypto import SigningKey
from aitrading.server.authority.tokens import sign_compact
from aitrading.server.database_service.clickhouse.native import uuid_of
from aitrading.server.database_service.errors import SYMBOL_UNKNOWN
from aitrading.server.database_service.feed_truth.book import SQL
from aitrading.server.database_service.feed_truth.certificate import (
    Completeness,
    Counted,
    Finding,
    Replaced,
    StoredDay,
    state_of,
)
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.ticks.port import PageQuestion, Position, TickStore, Which
from aitrading.server.database_service.ticks.ranges import SequenceRanges
from aitrading.server.kit.postgres import PostgresPool

PAGE_ROWS: Final = 100_000
DAY_TICKS_MAX: Final = 5_000_000
CERTIFICATE_TYPE: Final = "feed-certificate"
FEED_DAY_TOO_LARGE: Final = ErrorSpec(
    code="FEED_DAY_TOO_LARGE",
    category=Category.DENIED,
    message="The day has more than {limit} ticks of {symbol}.",
    why="A certificate is made by reading the whole day.",
    remedy="Ask for one device at a time with `device`.",
    http_status=422,
    severity=Severity.INFO,
)


class StreamCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """One stream on one day."""

    stream: UUID
    device: UUID
    broker: str
    epoch: int
    state: Completeness
    stored: int
    quarantined: int
    """How many of them the server does not believe: stored, and left out of quotes and bars."""
    counted: int | None
    digest_stored: str
    digest_counted: str | None
    through_sequence: int | None
    """The device counted sequences up to here."""
    findings: tuple[Finding, ...]
    open_gaps: tuple[UUID, ...]


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored of a symbol and day, against what its devices counted."""

    type: str
    tenant: UUID
    symbol: str
    day: str
    state: Completeness
    text: str
    stored: int
    quarantined: int
    counted: int
    streams: tuple[StreamCertificate, ...]
    made_at: str


class SignedCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate, and the same as a signed text (RFC 7515, EdDSA) to be kept."""

    certificate: Certificate
    signed: str


class _Header(msgspec.Struct, frozen=True, kw_only=True):
    alg: str
    typ: str
    kid: str


class Certificates:
    """Reads a day page by page and compares."""

    def __init__(
        self,
        pool: PostgresPool,
        store: TickStore,
        guards: Guards,
        key: SigningKey,
        clock: Clock,
    ) -> None:
        self._pool = pool
        self._store = store
        self._guards = guards
        self._key = key
        self._clock = clock

    async def of(
        self, tenant: TenantId, symbol: str, day: date, device: UUID | None
    ) -> SignedCertificate:
        """Raises `SYMBOL_UNKNOWN`, `FEED_DAY_TOO_LARGE`, or that a store is away."""
        with self._guards.postgres.guard():
            async with self._pool.tenant_read(tenant) as tx:
                rows = await tx.fetch(SQL["day_streams"], symbol, day, device)
                ids = [row["id"] for row in rows]
                gaps = await tx.fetch(SQL["gaps_of_streams"], ids)
        if not rows:
            raise SYMBOL_UNKNOWN.error(symbol=symbol)
        days = {row["id"]: StoredDay(_counted(row)) for row in rows}
        replaced = [one for one in map(Replaced.of, gaps) if one is not None]
        await self._read(tenant, symbol, day, days, replaced)
        streams = [
            made
            for row in rows
            for made in [_stream(row, days[row["id"]], _of_day(gaps, row["id"], day))]
            if made.counted is not None or made.stored
        ]
        certificate = self._certificate(tenant, symbol, day, streams)
        header = _Header(
            alg="EdDSA", typ=f"{CERTIFICATE_TYPE}+jws", kid=self._key.public.thumbprint()
        )
        return SignedCertificate(
            certificate=certificate, signed=sign_compact(self._key, header, certificate)
        )

    async def _read(
        self,
        tenant: TenantId,
        symbol: str,
        day: date,
        days: dict[UUID, StoredDay],
        replaced: list[Replaced],
    ) -> None:
        start_ms = round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000
        total = 0
        for stream, stored in days.items():
            after: Position | None = None
            while True:
                asked = PageQuestion(
                    tenant=tenant,
                    streams=[stream],
                    from_ms=start_ms,
                    to_ms=start_ms + DAY_MS,
                    limit=PAGE_ROWS,
                    which=Which.ALL,
                    after=after,
                )
                async with self._guards.reads.slot():
                    rows = await self._guards.clickhouse_reads.run(
                        lambda asked=asked: self._store.page(asked)
                    )
                total += len(rows)
                if total > DAY_TICKS_MAX:
                    raise FEED_DAY_TOO_LARGE.error(symbol=symbol, limit=DAY_TICKS_MAX)
                is_last = len(rows) < PAGE_ROWS
                if not is_last:  # copies of the last tick must not be split over two pages
                    rows = rows[rows["sequence"] != rows["sequence"][-1]]
                await asyncio.to_thread(stored.add, rows)
                for gap in replaced:
                    if gap.repair_stream == stream and gap.stream in days:
                        came = (rows["sequence"] >= gap.repair_first) & (
                            rows["sequence"] <= gap.repair_last
                        )
                        days[gap.stream].replace(rows[came], gap)
                if is_last:
                    break
                last = rows[-1]
                after = Position(
                    event_ms=int(last["event_ms"]),
                    stream=uuid_of(last["stream"]),
                    sequence=int(last["sequence"]),
                )

    def _certificate(
        self, tenant: TenantId, symbol: str, day: date, streams: list[StreamCertificate]
    ) -> Certificate:
        stored = sum(one.stored for one in streams)
        counted = sum(one.counted or 0 for one in streams)
        states = {one.state for one in streams}
        worst = next(
            (one for one in (Completeness.INCOMPLETE, Completeness.OPEN) if one in states),
            Completeness.COMPLETE if streams else Completeness.OPEN,
        )
        return Certificate(
            type=CERTIFICATE_TYPE,
            tenant=tenant,
            symbol=symbol,
            day=day.isoformat(),
            state=worst,
            text=f"{stored:,} of {counted:,}",
            stored=stored,
            quarantined=sum(one.quarantined for one in streams),
            counted=counted,
            streams=tuple(streams),
            made_at=now_utc(self._clock).isoformat(),
        )


def _counted(row: Any) -> Counted | None:
    if row["ticks"] is None:
        return None
    return Counted(
        ticks=row["ticks"],
        digest=row["digest"],
        last_sequence=row["last_sequence"],
        counted_from=row["counted_from"],
        is_over=row["is_over"],
    )


def _stream(row: Any, day: StoredDay, open_gaps: list[UUID]) -> StreamCertificate:
    counted = day.counted
    ranges = SequenceRanges.parse(row["stored"])
    findings = day.findings(ranges.holes(), ranges.last)
    return StreamCertificate(
        stream=row["id"],
        device=row["device_id"],
        broker=row["broker"],
        epoch=row["epoch"],
        state=state_of(counted, findings, open_gaps=len(open_gaps)),
        stored=day.stored,
        quarantined=day.quarantined,
        counted=day.counted_once,
        digest_stored=day.total.digest,
        digest_counted=counted.digest if counted else None,
        through_sequence=counted.last_sequence if counted else None,
        findings=tuple(findings),
        open_gaps=tuple(open_gaps),
    )


def _of_day(gaps: list[Any], stream: UUID, day: date) -> list[UUID]:
    """Open gaps of the stream in time that touch the day; sequences are told by the count."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    start_ms = round(start.timestamp() * 1_000)
    end_ms = round((start + timedelta(days=1)).timestamp() * 1_000)
    return [
        gap["id"]
        for gap in gaps
        if gap["stream_id"] == stream
        and gap["repaired_at"] is None
        and gap["from_ms"] is not None
        and gap["from_ms"] < end_ms
        and (gap["until_ms"] is None or gap["until_ms"] >= start_ms)
    ]
