"""What devices tell is stored once each, whatever is sent again, and seen by their organisation."""

from typing import Any
from uuid import UUID, uuid5

import msgspec
import pytest

from aitrading.core.kit.ids import TenantId
from aitrading.core.protocol.device_notes import AlertNote, NewsKind, NewsNote, Note, Notes
from aitrading.core.testing.async_test import async_test
from aitrading.server.database_service.device_notes import book as book_module
from aitrading.server.database_service.device_notes.book import QUEUES_MAX, NoteBook
from aitrading.server.database_service.settings import SourceSettings
from aitrading.server.kit.device_notes_api import DeviceNotes

pytestmark = pytest.mark.integration
Tenants = tuple[TenantId, TenantId]
AT_MS = 1_790_000_000_000


def alert(number: int, *, raised: bool = True, at_ms: int = AT_MS) -> AlertNote:
    return AlertNote(
        id=UUID(int=number), symbol="EURUSD", rule="EURUSD spread>20", what="spread",
        value="25.5" if raised else "12", at_ms=at_ms, raised=raised,
    )  # fmt: skip


def news(title: str, **changes: Any) -> NewsNote:
    fields: dict[str, Any] = {
        "kind": NewsKind.ECONOMIC_CALENDAR, "source": "file", "happens_ms": AT_MS,
        "title": title, "currency": "USD", "importance": 3, "forecast": "0.2 %",
    }  # fmt: skip
    return NewsNote(**{**fields, **changes})


def told(tenant: TenantId, *notes: Note, queue: int = 1, device: str = "desk") -> DeviceNotes:
    return DeviceNotes(
        tenant=tenant,
        device=uuid5(tenant, device),
        notes=Notes(queue=UUID(int=queue), notes=notes),
    )


async def pages(book: NoteBook, tenant: TenantId) -> tuple[list[Any], list[Any]]:
    alerts = await book.alerts(tenant, symbol=None, only_open=False, after=None, limit=50)
    read = await book.news(tenant, kind=None, currency=None, after=None, limit=50)
    return alerts.items, read.items


@async_test
async def test_notes_are_stored_once_each_whatever_is_sent_again(
    world: Any, tenants: Tenants
) -> None:
    async with world() as w:
        book, (one, other) = NoteBook(w.pool, w.guards, SourceSettings()), tenants
        first = [Note(position=1, alert=alert(1)), Note(position=2, news=news("CPI"))]
        more = [Note(position=3, news=news("NFP"), shed=4), Note(position=4, alert=alert(1, raised=False, at_ms=AT_MS + 5))]  # fmt: skip
        assert (await book.take(told(one, *first))).position == 2
        assert (await book.take(told(one, *first))).position == 2
        assert (await book.take(told(one, *first, *more))).position == 4
        assert (await book.take(told(one, *more[:1]))).position == 4
        same = Note(position=1, news=news("CPI", source="https://calendar.example"))
        assert (await book.take(told(one, same, queue=2, device="other"))).position == 1
        [seen], read = await pages(book, one)
        assert (seen.value, seen.cleared_value) == ("25.5", "12")
        assert sorted(each.title for each in read) == ["CPI", "NFP"]
        assert await pages(book, other) == ([], [])
        async with w.pool.tenant_read(one) as tx:
            shed = await tx.fetch_value("SELECT sum(shed) FROM market.device_queues")
        assert shed == 4


@async_test
async def test_an_installation_that_takes_ticks_alone_says_what_it_refused(
    world: Any, tenants: Tenants
) -> None:
    async with world() as w:
        settings, (one, _) = SourceSettings(multi_source_enabled=False), tenants
        book = NoteBook(w.pool, w.guards, settings)
        notes = [Note(position=1, alert=alert(1)), Note(position=2, news=news("CPI"), shed=1)]
        assert (await book.take(told(one, *notes))).refused == 1
        assert (await book.take(told(one, *notes))).refused == 0, "refused once is refused"
        [seen], read = await pages(book, one)
        assert (seen.symbol, read) == ("EURUSD", [])
        async with w.pool.tenant_read(one) as tx:
            assert await tx.fetch_value("SELECT sum(shed) FROM market.device_queues") == 2


@async_test
async def test_pages_follow_each_other(world: Any, tenants: Tenants) -> None:
    async with world() as w:
        book, (one, _) = NoteBook(w.pool, w.guards, SourceSettings()), tenants
        notes = [
            Note(position=number, news=news(f"n{number}", currency="USD" if number % 2 else "EUR"))
            for number in range(1, 8)
        ]
        await book.take(told(one, *notes))
        seen: list[str] = []
        after: Any = None
        while True:
            page = await book.news(one, kind=None, currency="USD", after=after, limit=2)
            seen += [each.title for each in page.items]
            if page.next_cursor is None:
                break
            after = page.items[-1].happens_at, page.items[-1].id
        assert sorted(seen) == ["n1", "n3", "n5", "n7"]


@async_test
async def test_a_device_that_invents_queues_fills_no_table(
    world: Any, tenants: Tenants, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book_module, "KEPT_MAX", 5)
    async with world() as w:
        book, (one, _) = NoteBook(w.pool, w.guards, SourceSettings()), tenants
        for number in range(1, 3 * QUEUES_MAX):
            note = Note(position=1, news=news(f"invented {number}"))
            await book.take(told(one, note, queue=number))
        async with w.pool.tenant_read(one) as tx:
            assert await tx.fetch_value("SELECT count(*) FROM market.device_queues") <= QUEUES_MAX
            assert await tx.fetch_value("SELECT count(*) FROM market.news") == 5


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "a\0b"}, {"body": "\0"}, {"source": "\0"}, {"actual": "\0"},
        {"url": "https://a\0b"}, {"happens_ms": -1}, {"title": ""}, {"importance": 4},
    ],
)  # fmt: skip
def test_what_no_database_keeps_is_refused_at_the_door(changes: dict[str, Any]) -> None:
    good = msgspec.to_builtins(news("CPI"))
    msgspec.convert(good, NewsNote)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**good, **changes}, NewsNote)
