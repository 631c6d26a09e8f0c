"""The tables of alerts and news."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from aitrading.core.kit.ids import TenantId
from aitrading.core.protocol.device_notes import AlertNote, NewsNote, Note, NotesTaken
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.settings import SourceSettings
from aitrading.server.kit.device_notes_api import DeviceNotes
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.time_cursors import TimePlace, cursor_of
from aitrading.server.kit.transactions import TenantTransaction

KEPT_MAX: Final = 100_000
"""Alerts, and news, that one organisation keeps; the oldest go first."""
QUEUES_MAX: Final = 16
"""Of one device: a client that is installed again begins a new one."""
TIDY_EVERY: Final = 256
"""Positions between two looks at how many there are."""
_MS_PER_S: Final = 1_000
_SQL: Final = Queries.load(__package__ or "", "notes.sql")


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that was broken, and until when."""

    id: UUID
    device: UUID
    symbol: str
    rule: str
    what: str
    value: str
    raised_at: datetime
    cleared_at: datetime | None
    cleared_value: str | None


class AlertsPage(msgspec.Struct, frozen=True, kw_only=True):
    """The newest first."""

    items: list[Alert]
    next_cursor: str | None


class News(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of news, or one entry of an economic calendar."""

    id: UUID
    device: UUID
    kind: str
    source: str
    happens_at: datetime
    title: str
    body: str
    url: str
    currency: str
    importance: int
    actual: str
    forecast: str
    previous: str
    recorded_at: datetime


class NewsPage(msgspec.Struct, frozen=True, kw_only=True):
    """By the time at which it happens or was published, the latest first."""

    items: list[News]
    next_cursor: str | None


class NoteBook:
    """Under the tenant's row security."""

    def __init__(self, pool: PostgresPool, guards: Guards, sources: SourceSettings) -> None:
        self._pool = pool
        self._guards = guards
        self._sources = sources

    async def take(self, told: DeviceNotes) -> NotesTaken:
        """Store what lies behind the known position of the queue; the rest was stored before.

        News of an installation that takes ticks alone counts as given up, and the device is told.
        """
        device, queue = told.device, told.notes.queue
        with self._guards.postgres.guard():
            async with self._pool.tenant_tx(TenantId(told.tenant)) as tx:
                await tx.execute(_SQL["begin_queue"], device, queue)
                known = int(await tx.fetch_value(_SQL["hold_queue"], device, queue))
                fresh = [note for note in told.notes.notes if note.position > known]
                last = max((note.position for note in fresh), default=known)
                refused = 0
                if not self._sources.multi_source_enabled:
                    refused = sum(note.news is not None for note in fresh)
                    fresh = [_without_news(note) for note in fresh]
                await _store(tx, device, fresh)
                shed = sum(note.shed for note in fresh)
                await tx.execute(_SQL["move_queue"], device, queue, last, shed)
                if not known:
                    await tx.execute(_SQL["forget_queues"], device, QUEUES_MAX)
                if fresh and (not known or last // TIDY_EVERY > known // TIDY_EVERY):
                    await tx.execute(_SQL["forget_alerts"], KEPT_MAX)
                    await tx.execute(_SQL["forget_news"], KEPT_MAX)
        return NotesTaken(position=last, refused=refused)

    async def alerts(
        self,
        tenant: TenantId,
        *,
        symbol: str | None,
        only_open: bool,
        after: TimePlace | None,
        limit: int,
    ) -> AlertsPage:
        """One page."""
        at, alert = after or (None, None)
        with self._guards.postgres.guard():
            async with self._pool.tenant_read(tenant) as tx:
                rows = await tx.fetch(_SQL["alerts"], symbol, only_open, at, alert, limit + 1)
        shown = rows[:limit]
        return AlertsPage(
            items=[_alert(row) for row in shown],
            next_cursor=cursor_of(shown[-1]["raised_at"], shown[-1]["id"])
            if len(rows) > limit
            else None,
        )

    async def news(
        self,
        tenant: TenantId,
        *,
        kind: str | None,
        currency: str | None,
        after: TimePlace | None,
        limit: int,
    ) -> NewsPage:
        """One page."""
        at, news = after or (None, None)
        with self._guards.postgres.guard():
            async with self._pool.tenant_read(tenant) as tx:
                rows = await tx.fetch(_SQL["news"], kind, currency, at, news, limit + 1)
        shown = rows[:limit]
        return NewsPage(
            items=[_news(row) for row in shown],
            next_cursor=cursor_of(shown[-1]["happens_at"], shown[-1]["id"])
            if len(rows) > limit
            else None,
        )


def _without_news(note: Note) -> Note:
    if note.news is None:
        return note
    return msgspec.structs.replace(note, news=None, shed=note.shed + 1)


async def _store(tx: TenantTransaction, device: UUID, notes: Iterable[Note]) -> None:
    """In the order of the queue: an alert begins before it ends."""
    for note in notes:
        if note.alert is not None:
            await _store_alert(tx, device, note.alert)
        if note.news is not None:
            await tx.execute(_SQL["add_news"], *_columns(device, note.news))


async def _store_alert(tx: TenantTransaction, device: UUID, alert: AlertNote) -> None:
    at_s = alert.at_ms / _MS_PER_S
    if alert.raised:
        await tx.execute(
            _SQL["raise_alert"], alert.id, device, alert.symbol, alert.rule, alert.what,
            alert.number, at_s,
        )  # fmt: skip
    else:
        await tx.execute(_SQL["clear_alert"], alert.id, device, at_s, alert.number)


def _columns(device: UUID, news: NewsNote) -> tuple[Any, ...]:
    return (
        news.id, device, str(news.kind), news.source, news.happens_ms / _MS_PER_S, news.title,
        news.body, news.url, news.currency, news.importance, news.actual, news.forecast,
        news.previous,
    )  # fmt: skip


def _alert(row: Any) -> Alert:
    cleared = row["cleared_value"]
    return Alert(
        id=row["id"],
        device=row["device_id"],
        symbol=row["symbol"],
        rule=row["rule"],
        what=row["what"],
        value=format(row["value"], "f"),
        raised_at=row["raised_at"],
        cleared_at=row["cleared_at"],
        cleared_value=None if cleared is None else format(cleared, "f"),
    )


def _news(row: Any) -> News:
    return News(
        id=row["id"],
        device=row["device_id"],
        kind=row["kind"],
        source=row["source"],
        happens_at=row["happens_at"],
        title=row["title"],
        body=row["body"],
        url=row["url"],
        currency=row["currency"],
        importance=row["importance"],
        actual=row["actual"],
        forecast=row["forecast"],
        previous=row["previous"],
        recorded_at=row["recorded_at"],
    )
