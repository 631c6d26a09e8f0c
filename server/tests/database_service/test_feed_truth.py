"""Gaps are kept until they are repaired, and a certificate tells what is not as it was counted."""

from datetime import date
from typing import Any
from uuid import UUID, uuid5

import msgspec
import numpy as np
import pytest

from aitrading.core.domain.market import TICK_DTYPE, TickArray
from aitrading.core.domain.stream_days import DayTotal, days_of, mark_of
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.ids import TenantId
from aitrading.core.security.crypto import SigningKey
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.segments import ingest_payload
from aitrading.server.cli.feed import verified
from aitrading.server.database_service.clickhouse.absent import AbsentClickHouse
from aitrading.server.database_service.feed_truth.book import GapBook, GapsPage
from aitrading.server.database_service.feed_truth.certificates import (
    Certificate,
    Certificates,
    SignedCertificate,
)
from aitrading.server.database_service.feed_truth.ordering import ANOTHER_FIRST, NOT_YET
from aitrading.server.database_service.ticks.blocks import Piece
from aitrading.server.database_service.ticks.segments import decode_segment
from aitrading.server.database_service.ticks.store import ClickHouseTickStore
from aitrading.server.database_service.ticks.streams import StreamBook
from aitrading.server.kit.feed_truth_api import (
    HOLE,
    DayTold,
    FeedTruth,
    GapTold,
    RepairTold,
    gap_id,
)
from aitrading.server.kit.ingest_api import OpenStreams, StreamOpening

pytestmark = pytest.mark.integration
Tenants = tuple[TenantId, TenantId]
DAY = date(2023, 11, 14)
KEY = SigningKey.generate()


def rows_of(first: int, number: int) -> TickArray:
    """The rows that a world's `send` stores under the same sequences."""
    rows = np.zeros(number, TICK_DTYPE)
    sequences = np.arange(first, first + number)
    rows["event_ms"] = 1_700_000_000_000 + sequences * 1_000
    rows["bid"], rows["ask"], rows["flags"] = 108_345 + sequences % 7, 108_351 + sequences % 7, 6
    return rows


def truth(tenant: TenantId, device: UUID | None = None, **news: Any) -> FeedTruth:
    return FeedTruth(tenant=tenant, device=device or uuid5(tenant, "device"), **news)


def counted(
    stream: UUID, rows: TickArray, *, last: int | None = None, over: bool = True
) -> DayTold:
    [(day, total)] = days_of(1, rows, 0).items()
    return DayTold(
        stream=stream, day=day, ticks=total.ticks, digest=total.digest,
        last_sequence=last or len(rows), counted_from=1, is_over=over,
    )  # fmt: skip


async def certificate(w: Any, tenant: TenantId, key: SigningKey = KEY) -> SignedCertificate:
    maker = Certificates(w.pool, w.store, w.guards, key, SystemClock())
    return await maker.of(tenant, "EURUSD", DAY, None)


async def gaps(book: GapBook, tenant: TenantId, *, only_open: bool = False) -> GapsPage:
    return await book.page(tenant, symbol=None, only_open=only_open, after=None, limit=10)


async def send(w: Any, tenant: TenantId, stream: UUID, rows: TickArray, first: int = 1) -> None:
    payload = ingest_payload(rows, tenant=tenant, stream=stream, first_sequence=first)
    await w.intake.take(*w.segment(payload))


def told(signed: SignedCertificate) -> tuple[str, str, list[tuple[str, int, Any]]]:
    found: Certificate = signed.certificate
    [one] = found.streams
    return (
        str(found.state), found.text,
        [(each.what, each.ticks, each.sequences) for each in one.findings],
    )  # fmt: skip


@async_test
async def test_a_complete_day_and_each_planted_fault_are_told(
    every_world: Any, tenants: Tenants
) -> None:
    alpha, beta = tenants
    rows = rows_of(1, 3_000)
    assert set(days_of(1, rows, 0)) == {(DAY - date(1970, 1, 1)).days}
    async with every_world() as w:
        stream = await w.open(alpha)
        book = GapBook(w.pool, w.store, w.guards)
        await send(w, alpha, stream, rows[:2_000])
        await book.take(truth(alpha, days=(counted(stream, rows[:2_000], over=False),)))
        assert told(await certificate(w, alpha)) == ("OPEN", "2,000 of 2,000", [])
        await book.take(truth(alpha, days=(counted(stream, rows, over=False),)))
        assert told(await certificate(w, alpha)) == ("OPEN", "2,000 of 3,000", [])
        await book.take(truth(alpha, days=(counted(stream, rows),)))
        assert told(await certificate(w, alpha)) == (
            "INCOMPLETE", "2,000 of 3,000", [("missing", 1_000, ())],
        )  # fmt: skip
        await send(w, alpha, stream, rows[2_000:2_500], first=2_001)
        await send(w, alpha, stream, rows[2_501:], first=2_502)
        assert told(await certificate(w, alpha)) == (
            "INCOMPLETE", "2,999 of 3,000", [("missing", 1, ((2_501, 2_501),))],
        )  # fmt: skip
        await send(w, alpha, stream, rows[2_500:2_501], first=2_501)
        whole = await certificate(w, alpha)
        assert told(whole) == ("COMPLETE", "3,000 of 3,000", [])
        wrong = rows.copy()
        wrong["ask"][1_234] += 1
        await book.take(truth(alpha, days=(counted(stream, wrong),)))
        state, text, [(what, _, _)] = told(await certificate(w, alpha))
        assert (state, text, what) == ("INCOMPLETE", "3,000 of 3,000", "altered")
        await book.take(truth(beta, days=(counted(stream, rows),)))  # nobody else's stream
        assert told(await certificate(w, alpha))[0] == "INCOMPLETE"


@async_test
async def test_a_doubled_tick_is_found(world: Any, tenants: Tenants) -> None:
    alpha, _ = tenants
    rows = rows_of(1, 1_000)
    async with world() as w:
        stream = await w.open(alpha)
        book = GapBook(w.pool, w.store, w.guards)
        await send(w, alpha, stream, rows)
        await book.take(truth(alpha, days=(counted(stream, rows),)))
        assert told(await certificate(w, alpha))[0] == "COMPLETE"
        payload = ingest_payload(rows[500:501], tenant=alpha, stream=stream, first_sequence=501)
        name, body = w.segment(payload)
        [record] = decode_segment(name, body).records
        await w.store.insert([Piece(record, 501, 501)], label="planted")
        assert told(await certificate(w, alpha)) == (
            "INCOMPLETE", "1,001 of 1,000", [("doubled", 1, ((501, 501),))],
        )  # fmt: skip


@async_test
async def test_a_certificate_is_verified_without_the_platform(
    world: Any, tenants: Tenants
) -> None:
    alpha, _ = tenants
    rows = rows_of(1, 10)
    async with world(alone=True) as w:
        stream = await w.open(alpha)
        await send(w, alpha, stream, rows)
        await GapBook(w.pool, w.store, w.guards).take(truth(alpha, days=(counted(stream, rows),)))
        signed = (await certificate(w, alpha)).signed
    jwks = msgspec.json.encode({"keys": [KEY.public.public_jwk(KEY.public.thumbprint())]})
    found = verified(signed, jwks)
    assert found is not None
    assert (found.state, found.text) == ("COMPLETE", "10 of 10")
    header, body, signature = signed.split(".")
    other = SigningKey.generate().public
    for forged, keys in (
        (f"{header}.{body[:-2]}AA.{signature}", jwks),
        (f"{header}.{body}", jwks),
        ("nonsense", jwks),
        (signed, msgspec.json.encode({"keys": [other.public_jwk(KEY.public.thumbprint())]})),
    ):
        assert verified(forged, keys) is None


@async_test
async def test_a_stream_is_opened_with_its_newest_tick(every_world: Any, tenants: Tenants) -> None:
    """As the device knows it; without it while the store of ticks is away."""
    alpha, _ = tenants
    async with every_world() as w:
        await w.send(alpha, await w.open(alpha), 1, 30)
        opening = StreamOpening(broker="Demo", login=7, symbol="EURUSD", epoch=1, digits=5)
        request = OpenStreams(tenant=alpha, device=uuid5(alpha, "device"), streams=(opening,))
        [mark] = (await w.book.open(request)).marks
        assert (mark.last_sequence, mark.last_ms, mark.last_digest) == mark_of(
            30, rows_of(30, 1), 0
        )
        away = StreamBook(w.pool, ClickHouseTickStore(AbsentClickHouse()), w.guards)
        [mark] = (await away.open(request)).marks
        assert (mark.last_sequence, mark.last_ms, mark.last_digest) == (30, 0, "")


@async_test
async def test_a_hole_is_a_gap_until_it_is_filled(every_world: Any, tenants: Tenants) -> None:
    alpha, beta = tenants
    async with every_world() as w:
        stream = await w.open(alpha)
        book = GapBook(w.pool, w.store, w.guards)
        await w.send(alpha, stream, 1, 10)
        await w.send(alpha, stream, 21, 10)
        [gap] = (await gaps(book, alpha)).items
        assert (gap.state, gap.first_sequence, gap.last_sequence) == ("OPEN", 11, 20)
        assert (gap.reason, gap.recorded_by) == (HOLE, "database")
        note = GapTold(
            stream=stream, reason="lost on this disk", recorded_by="device", noticed_ns=1,
            first=11, last=20,
        )  # fmt: skip
        for _ in range(2):
            await book.take(truth(alpha, gaps=(note,)))
        [gap] = (await gaps(book, alpha)).items
        assert (gap.reason, gap.recorded_by) == ("lost on this disk", "device")
        assert (await gaps(book, beta)).items == []
        await w.send(alpha, stream, 11, 5)
        assert (await gaps(book, alpha)).items[0].state == "OPEN"
        await w.send(alpha, stream, 16, 5)
        [gap] = (await gaps(book, alpha)).items
        assert (gap.state, gap.repaired_ticks) == ("REPAIRED", 10)
        assert (await gaps(book, alpha, only_open=True)).items == []


@async_test
async def test_an_order_names_both_ends_and_a_repair_counts_when_it_is_stored(
    every_world: Any, tenants: Tenants
) -> None:
    alpha, _ = tenants
    device = uuid5(alpha, "device")
    async with every_world() as w:
        stream = await w.open(alpha)
        book = GapBook(w.pool, w.store, w.guards)
        rows = rows_of(1, 30)
        rows["event_ms"][8:10] = rows["event_ms"][9]  # two ticks before the hole share a moment
        await send(w, alpha, stream, rows[:10])
        await send(w, alpha, stream, rows[20:], first=21)
        [order] = (await book.orders(alpha, device)).orders
        assert (order.from_ms, order.until_ms) == (
            int(rows["event_ms"][9]), int(rows["event_ms"][20]),
        )  # fmt: skip
        assert (order.has_first, order.has_last, order.expected) == (2, 1, 10)
        gap = gap_id(stream, 11, 20, None)
        assert order.gap == gap
        done = RepairTold(gap=gap, stream=stream, first=31, last=40)
        stranger = truth(alpha, device=UUID(int=5), repairs=(done,))
        await book.take(stranger)
        assert len((await book.orders(alpha, device)).orders) == 1
        await book.take(truth(alpha, repairs=(done,)))
        assert (await book.orders(alpha, device)).orders == ()
        assert (await gaps(book, alpha)).items[0].state == "REPAIRING"
        await send(w, alpha, stream, rows[10:20], first=31)
        [found] = (await gaps(book, alpha)).items
        assert (found.state, found.repaired_ticks) == ("REPAIRED", 10)


@async_test
async def test_a_day_is_whole_again_when_what_was_lost_came_under_later_numbers(
    every_world: Any, tenants: Tenants
) -> None:
    """The device counted the lost ticks when it took them, and again when it fetched them."""
    alpha, _ = tenants
    async with every_world() as w:
        stream = await w.open(alpha)
        book = GapBook(w.pool, w.store, w.guards)
        rows = rows_of(1, 60)
        await send(w, alpha, stream, rows[:20])
        await send(w, alpha, stream, rows[30:], first=31)
        told = counted(stream, rows)
        await book.take(truth(alpha, days=(told,)))
        found = (await certificate(w, alpha)).certificate
        assert (found.state, found.text) == ("INCOMPLETE", "50 of 60")
        [finding] = found.streams[0].findings
        assert (finding.what, finding.ticks, finding.sequences) == ("missing", 10, ((21, 30),))
        [again] = days_of(61, rows[20:30], 0).values()
        both = DayTotal.of(told.ticks, told.digest).plus(again)
        days = msgspec.structs.replace(
            told, ticks=both.ticks, digest=both.digest, last_sequence=70
        )
        done = RepairTold(gap=gap_id(stream, 21, 30, None), stream=stream, first=61, last=70)
        await book.take(truth(alpha, days=(days,), repairs=(done,)))
        await send(w, alpha, stream, rows[20:30], first=61)
        found = (await certificate(w, alpha)).certificate
        assert (found.state, found.text) == ("COMPLETE", "60 of 60")
        [told_stream] = found.streams
        assert told_stream.digest_stored == told_stream.digest_counted


@async_test
async def test_an_outage_in_time_makes_a_day_incomplete_until_it_is_repaired(
    every_world: Any, tenants: Tenants
) -> None:
    alpha, _ = tenants
    async with every_world() as w:
        stream = await w.open(alpha)
        book = GapBook(w.pool, w.store, w.guards)
        rows = rows_of(1, 20)
        await send(w, alpha, stream, rows[:10])
        outage = GapTold(
            stream=stream, reason="the feed was DEAD", recorded_by="bridge", noticed_ns=1,
            from_ms=int(rows["event_ms"][9]),
        )  # fmt: skip
        await book.take(truth(alpha, gaps=(outage,), days=(counted(stream, rows[:10]),)))
        assert told(await certificate(w, alpha))[0] == "INCOMPLETE"
        ended = msgspec.structs.replace(
            outage, until_ms=int(rows["event_ms"][19]), repair_first=11, repair_last=20
        )
        await book.take(truth(alpha, gaps=(ended,)))
        assert (await gaps(book, alpha)).items[0].state == "REPAIRING"
        await send(w, alpha, stream, rows[10:], first=11)
        await book.take(truth(alpha, days=(counted(stream, rows),)))
        [gap] = (await gaps(book, alpha)).items
        assert (gap.state, gap.repaired_ticks) == ("REPAIRED", 10)
        assert told(await certificate(w, alpha)) == ("COMPLETE", "20 of 20", [])


@async_test
async def test_an_outage_in_which_ticks_were_lost_ends_with_their_repair(
    every_world: Any, tenants: Tenants
) -> None:
    """They come under later numbers, so what the outage waits for is never whole by itself."""
    alpha, _ = tenants
    async with every_world() as w:
        stream = await w.open(alpha)
        book = GapBook(w.pool, w.store, w.guards)
        rows = rows_of(1, 60)
        await send(w, alpha, stream, rows[:10])
        outage = GapTold(
            stream=stream, reason="the feed was STALE", recorded_by="bridge", noticed_ns=1,
            from_ms=int(rows["event_ms"][9]), until_ms=int(rows["event_ms"][59]),
            repair_first=11, repair_last=60,
        )  # fmt: skip
        await book.take(truth(alpha, gaps=(outage,)))
        await send(w, alpha, stream, rows[10:20], first=11)
        await send(w, alpha, stream, rows[30:], first=31)
        assert [one.state for one in (await gaps(book, alpha)).items] == ["OPEN", "REPAIRING"]
        done = RepairTold(gap=gap_id(stream, 21, 30, None), stream=stream, first=61, last=70)
        await book.take(truth(alpha, repairs=(done,)))
        assert {one.state for one in (await gaps(book, alpha)).items} == {"REPAIRING"}
        await send(w, alpha, stream, rows[20:30], first=61)
        assert {one.state for one in (await gaps(book, alpha)).items} == {"REPAIRED"}


@pytest.mark.parametrize("every_world", ["postgres"], indirect=True)
@async_test
async def test_gaps_that_cannot_be_ordered_say_why_and_hold_up_no_other(
    every_world: Any, tenants: Tenants
) -> None:
    alpha, _ = tenants
    async with every_world() as w:
        stream = await w.open(alpha)
        book = GapBook(w.pool, w.store, w.guards)
        rows = rows_of(1, 30)
        starts = rows["event_ms"].tolist()
        await send(w, alpha, stream, rows[:20])
        changed = tuple(
            GapTold(
                stream=stream, reason="the terminal's history changed", recorded_by="device",
                noticed_ns=1, from_ms=starts[0] + number, until_ms=starts[19],
            )
            for number in range(40)
        )  # fmt: skip
        await book.take(truth(alpha, gaps=changed))
        await send(w, alpha, stream, rows[25:], first=26)
        [order] = (await book.orders(alpha, uuid5(alpha, "device"))).orders
        assert (order.gap, order.expected) == (gap_id(stream, 21, 25, None), 5)
        found = await book.page(alpha, symbol=None, only_open=True, after=None, limit=100)
        assert {one.problem[:30] for one in found.items if one.id != order.gap} == {
            "ticks of that time are stored:"
        }
        refused = RepairTold(gap=order.gap, stream=stream, first=0, last=0, problem="no history")
        await book.take(truth(alpha, repairs=(refused,)))
        [hole] = [one for one in (await gaps(book, alpha)).items if one.id == order.gap]
        assert (hole.state, hole.problem) == ("OPEN", "no history")
        assert (await book.orders(alpha, uuid5(alpha, "device"))).orders == ()
        await send(w, alpha, stream, rows[20:25], first=21)
        [hole] = [one for one in (await gaps(book, alpha)).items if one.id == order.gap]
        assert (hole.state, hole.problem) == ("REPAIRED", "")


@pytest.mark.parametrize("every_world", ["postgres"], indirect=True)
@async_test
async def test_a_gap_whose_end_is_on_its_way_is_ordered_as_soon_as_that_is_stored(
    every_world: Any, tenants: Tenants
) -> None:
    alpha, _ = tenants
    device = uuid5(alpha, "device")
    async with every_world() as w:
        stream = await w.open(alpha)
        book = GapBook(w.pool, w.store, w.guards)
        rows = rows_of(1, 30)
        await send(w, alpha, stream, rows[:10])
        lost = GapTold(
            stream=stream, reason="lost", recorded_by="device", noticed_ns=1, first=11, last=20
        )
        await book.take(truth(alpha, gaps=(lost,)))
        assert (await book.orders(alpha, device)).orders == ()
        assert (await gaps(book, alpha)).items[0].problem == NOT_YET
        await send(w, alpha, stream, rows[20:], first=21)
        assert [one.gap for one in (await book.orders(alpha, device)).orders] == [lost.id]


def of_time(stream: UUID, from_ms: int, until_ms: int, reason: str = "history changed") -> GapTold:
    return GapTold(
        stream=stream, reason=reason, recorded_by="device", noticed_ns=1, from_ms=from_ms,
        until_ms=until_ms,
    )  # fmt: skip


async def problems(book: GapBook, tenant: TenantId) -> dict[UUID, str]:
    return {one.id: one.problem for one in (await gaps(book, tenant)).items}


@pytest.mark.parametrize("every_world", ["clickhouse", "postgres"], indirect=True)
@pytest.mark.parametrize("stored", [0, 10, 20, 21], ids=lambda stored: f"{stored} stored")
@async_test
async def test_a_stretch_of_time_is_ordered_when_nothing_of_it_is_on_its_way(
    every_world: Any, tenants: Tenants, stored: int
) -> None:
    """A tick behind the end tells so: a device sends its ticks in the order of time."""
    alpha, _ = tenants
    async with every_world() as w:
        stream = await w.open(alpha)
        book = GapBook(w.pool, w.store, w.guards)
        rows = rows_of(1, 22)
        rows["event_ms"][10:] += 60_000
        rows["event_ms"][20] = rows["event_ms"][10]  # the tick at its end is one of several
        rows["event_ms"][11:20] = rows["event_ms"][10]
        gap = of_time(stream, int(rows["event_ms"][9]), int(rows["event_ms"][10]))
        if stored:
            await send(w, alpha, stream, rows[:stored])
        await book.take(truth(alpha, gaps=(gap,)))
        device = uuid5(alpha, "device")
        assert (await book.orders(alpha, device)).orders == ()
        assert await problems(book, alpha) == {gap.id: NOT_YET}
        await send(w, alpha, stream, rows[stored:], first=stored + 1)
        [order] = (await book.orders(alpha, device)).orders
        assert (order.gap, order.has_first, order.has_last) == (gap.id, 1, 11)


@pytest.mark.parametrize("every_world", ["postgres"], indirect=True)
@async_test
async def test_of_two_gaps_of_one_time_one_is_repaired(every_world: Any, tenants: Tenants) -> None:
    """Two who tell of one silence: the bridge saw no ticks, the device lost its place."""
    alpha, _ = tenants
    device = uuid5(alpha, "device")
    async with every_world() as w:
        stream = await w.open(alpha)
        book = GapBook(w.pool, w.store, w.guards)
        rows = rows_of(1, 30)
        await send(w, alpha, stream, rows[:10])
        await send(w, alpha, stream, rows[20:], first=11)
        begins, ends = int(rows["event_ms"][9]), int(rows["event_ms"][20])
        outage, doubt = of_time(stream, begins, ends), of_time(stream, begins - 1, ends - 500)
        apart = of_time(stream, begins - 500, begins)
        await book.take(truth(alpha, gaps=(outage,)))
        await book.take(truth(alpha, gaps=(doubt,)))
        await book.take(truth(alpha, gaps=(apart,)))
        for _ in range(2):
            orders = (await book.orders(alpha, device)).orders
            assert [one.gap for one in orders] == [outage.id, apart.id]
        told = await problems(book, alpha)
        assert told[doubt.id].startswith("ticks of that time are stored")


@pytest.mark.parametrize("every_world", ["postgres"], indirect=True)
@async_test
async def test_a_gap_waits_for_another_of_its_time(every_world: Any, tenants: Tenants) -> None:
    alpha, _ = tenants
    device = uuid5(alpha, "device")
    async with every_world() as w:
        stream = await w.open(alpha)
        book = GapBook(w.pool, w.store, w.guards)
        rows = rows_of(1, 30)
        await send(w, alpha, stream, rows[:10])
        await send(w, alpha, stream, rows[20:], first=11)
        begins, ends = int(rows["event_ms"][9]), int(rows["event_ms"][20])
        outage, doubt = of_time(stream, begins, ends), of_time(stream, begins + 1, ends)
        await book.take(truth(alpha, gaps=(outage,)))
        await book.take(truth(alpha, gaps=(doubt,)))
        assert [one.gap for one in (await book.orders(alpha, device)).orders] == [outage.id]
        assert (await problems(book, alpha))[doubt.id] == ANOTHER_FIRST
        done = RepairTold(gap=outage.id, stream=stream, first=21, last=30)
        await book.take(truth(alpha, repairs=(done,)))
        assert (await book.orders(alpha, device)).orders == (), "its ticks are on their way"
        assert (await problems(book, alpha))[doubt.id] == ANOTHER_FIRST
        await send(w, alpha, stream, rows[10:20], first=21)
        assert (await book.orders(alpha, device)).orders == ()
        assert (await problems(book, alpha))[doubt.id].startswith("ticks of that time are stored")


@pytest.mark.parametrize("every_world", ["postgres"], indirect=True)
@async_test
async def test_a_stretch_of_time_waits_for_sequences_that_another_bridge_may_bring(
    every_world: Any, tenants: Tenants
) -> None:
    """After a change of bridges a device's later ticks may be stored before its earlier ones."""
    alpha, _ = tenants
    device = uuid5(alpha, "device")
    async with every_world() as w:
        stream = await w.open(alpha)
        book = GapBook(w.pool, w.store, w.guards)
        rows = rows_of(1, 40)
        await send(w, alpha, stream, rows[:10])
        silence = of_time(stream, int(rows["event_ms"][9]), int(rows["event_ms"][19]))
        await book.take(truth(alpha, gaps=(silence,)))
        await send(w, alpha, stream, rows[29:], first=20)
        hole = gap_id(stream, 11, 19, None)
        assert [one.gap for one in (await book.orders(alpha, device)).orders] == [hole]
        assert (await problems(book, alpha))[silence.id] == ANOTHER_FIRST
        await send(w, alpha, stream, rows[20:29], first=11)
        assert [one.gap for one in (await book.orders(alpha, device)).orders] == [silence.id]


@pytest.mark.parametrize("every_world", ["postgres"], indirect=True)
@async_test
async def test_a_gap_is_looked_at_again_within_an_hour_of_a_clock_that_was_set_back(
    every_world: Any, tenants: Tenants
) -> None:
    alpha, _ = tenants
    device = uuid5(alpha, "device")
    async with every_world() as w:
        stream = await w.open(alpha)
        book = GapBook(w.pool, w.store, w.guards)
        rows = rows_of(1, 30)
        await send(w, alpha, stream, rows[:20])
        await send(w, alpha, stream, rows[25:], first=26)
        [order] = (await book.orders(alpha, device)).orders
        refused = RepairTold(gap=order.gap, stream=stream, first=0, last=0, problem="no history")
        await book.take(truth(alpha, repairs=(refused,)))
        assert (await book.orders(alpha, device)).orders == ()
        for back in ("1 hour", "1 day"):
            async with w.pool.tenant_tx(alpha) as tx:
                await tx.execute(
                    f"UPDATE market.gaps SET answered_at = now() + interval '{back}'"  # noqa: S608
                )
            assert [one.gap for one in (await book.orders(alpha, device)).orders] == [order.gap]
        await book.take(truth(alpha, repairs=(refused,)))
        assert (await book.orders(alpha, device)).orders == (), "answered by the clock of now"
