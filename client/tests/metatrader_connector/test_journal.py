"""The journal loses nothing and counts nothing twice, whenever the process ends."""

import asyncio
import json
import os
from pathlib import Path
from unittest.mock import MagicMock
from uuid import UUID

import numpy as np
import pytest

from aitrading.client.metatrader_connector import gap_ledger
from aitrading.client.metatrader_connector.broker_clock import BrokerOffset
from aitrading.client.metatrader_connector.cursor import TickCursor
from aitrading.client.metatrader_connector.feed_truth import WHY_CHARS_MAX, FeedTruth
from aitrading.client.metatrader_connector.gap_ledger import GapLedger, GapRecord
from aitrading.client.metatrader_connector.journal import JournalIdentity, TickJournal
from aitrading.client.metatrader_connector.journal_records import (
    BATCH_TICKS_MAX,
    Taken,
    in_groups,
)
from aitrading.client.metatrader_connector.stream_state import TickStream
from aitrading.core.domain.market import TICK_DTYPE, TickArray
from aitrading.core.infrastructure.spool import SpoolLimits
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import DeviceId, SystemIdFactory, TenantId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.security.file_sealing import is_sealed
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.file_keys import some_file_keys
from aitrading.core.testing.manual_clock import ManualClock

CLOCK = SystemClock()
IDS = SystemIdFactory(CLOCK, SystemRandomness())
KEYS = some_file_keys()
IDENTITY = JournalIdentity(tenant=TenantId(UUID(int=1)), device=DeviceId(UUID(int=2)))
START_MS = 1_700_000_000_000


async def opened(folder: Path, **limits: int) -> TickJournal:
    return await TickJournal.open(
        folder, identity=IDENTITY, limits=SpoolLimits(**limits), clock=CLOCK, ids=IDS, keys=KEYS
    )


def contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


async def crash(journal: TickJournal) -> None:
    """End without writing the state file, as a killed process does."""
    await journal.spool.close()


async def stream_of(journal: TickJournal, symbol: str = "EURUSD") -> TickStream:
    return await journal.open_stream(
        broker="B", login=1, symbol=symbol, digits=5, second=START_MS // 1_000
    )


def rows(count: int, first: int = 0) -> TickArray:
    made = np.zeros(count, TICK_DTYPE)
    made["event_ms"] = START_MS + np.arange(first, first + count) // 3
    made["bid"] = np.arange(first + 1, first + count + 1)
    return made


def taken(stream: TickStream, part: TickArray) -> Taken:
    return Taken(stream=stream, rows=part, receive_ns=CLOCK.now_ns(), broker_offset_s=7_200)


async def everything(journal: TickJournal) -> list[tuple[int, int]]:
    """Sequence and bid of every stored row."""
    found: list[tuple[int, int]] = []
    position = 0
    while entries := await journal.read(position, 1 << 20):
        for entry in entries:
            first = entry.batch.first_sequence
            bids = entry.batch.array()["bid"].tolist()
            found += [(first + index, bid) for index, bid in enumerate(bids)]
        position = entries[-1].position + 1
    return found


@async_test
async def test_a_crash_at_any_moment_keeps_sequence_and_cursor(home: Path) -> None:
    journal = await opened(home)
    stream = await stream_of(journal)
    done = 0
    for count, saves in ((5, False), (3, True), (BATCH_TICKS_MAX + 7, False), (1, False)):
        assert await journal.append([taken(stream, rows(count, done))]) == count
        done += count
        if saves:
            await journal.save()
        await crash(journal)
        journal = await opened(home)
        stream = journal.streams[0]
        assert stream.next_sequence == done + 1
        assert journal.offset == BrokerOffset(offset_s=7_200), (
            "known without a fresh tick, as on a weekend"
        )
        assert stream.cursor.advance(rows(0)) == stream.cursor
        assert stream.cursor.last_ms == int(rows(done)["event_ms"][-1])
        seen = rows(done + 2)
        asked = seen[seen["event_ms"] >= stream.cursor.second * 1_000]
        fresh = stream.cursor.fresh(asked)
        assert fresh is not None
        assert len(fresh) == 2
    assert await everything(journal) == [(one, one) for one in range(1, done + 1)]
    await journal.close()


@async_test
async def test_what_is_released_is_deleted_and_the_cursor_stays(home: Path) -> None:
    journal = await opened(home, segment_bytes=4_096)
    stream = await stream_of(journal)
    for first in range(0, 1_000, 50):
        await journal.append([taken(stream, rows(50, first))])
    files = len(journal.spool.sealed())
    assert files > 3
    await journal.release(journal.spool.durable_position)
    assert len(journal.spool.sealed()) == 0
    await crash(journal)
    journal = await opened(home, segment_bytes=4_096)
    assert journal.streams[0].next_sequence == 1_001
    assert (await everything(journal))[-1] == (1_000, 1_000)
    await journal.close()


@async_test
async def test_groups_hold_everything_in_order(home: Path) -> None:
    journal = await opened(home)
    streams = [await stream_of(journal, symbol) for symbol in ("A", "B", "C")]
    parts = [taken(stream, rows(count)) for stream, count in zip(streams, (5, 0, 9), strict=True)]
    groups = list(in_groups(parts, 4))
    assert [sum(len(part.rows) for part in group) for group in groups] == [4, 4, 4, 2]
    for stream, part in zip(streams, parts, strict=True):
        again = [one.rows for group in groups for one in group if one.stream is stream]
        assert b"".join(one.tobytes() for one in again) == part.rows.tobytes()
    await journal.close()


@async_test
async def test_a_full_spool_counts_nothing(home: Path) -> None:
    journal = await opened(home, limit_bytes=20_000)
    stream = await stream_of(journal)
    await journal.append([taken(stream, rows(100))])
    before = stream.cursor
    with pytest.raises(AitradingError) as full:
        await journal.append([taken(stream, rows(5_000, 100))])
    assert full.value.code == "SPOOL_FULL"
    assert (stream.cursor, stream.next_sequence) == (before, 101)
    await journal.close()


@async_test
async def test_a_later_epoch_goes_on_at_the_same_place(home: Path) -> None:
    journal = await opened(home)
    old = await stream_of(journal)
    await journal.append([taken(old, rows(10))])
    new = await journal.reopen_stream(old, 3)
    assert new.key.epoch > old.key.epoch
    assert (new.next_sequence, new.cursor, new.digits) == (1, old.cursor, 3)
    assert journal.active("B", 1, "EURUSD") is new
    await crash(journal)
    journal = await opened(home)
    active = journal.active("B", 1, "EURUSD")
    assert active is not None
    assert (active.key, active.digits) == (new.key, 3)
    finished = journal.find(old.id)
    assert finished is not None
    assert not finished.active
    await journal.forget_stream(finished)
    await journal.forget_stream(active)
    assert journal.streams == (active,), "only a finished epoch is forgotten"
    await journal.close()


@async_test
async def test_an_ended_stream_goes_on_where_it_is_told_and_only_once(home: Path) -> None:
    journal = await opened(home)
    old = await stream_of(journal)
    await journal.append([taken(old, rows(10))])
    place = TickCursor(second=START_MS // 1_000, taken=3, last_ms=START_MS + 2)
    await journal.end_stream(old, place)
    await crash(journal)
    journal = await opened(home)
    fresh = await stream_of(journal)
    assert fresh.cursor == place
    assert await journal.reopen_stream(old, 5) is fresh, "it was opened meanwhile"
    assert [one for one in journal.streams if one.active] == [fresh]
    await journal.close()


@async_test
async def test_a_damaged_state_is_refused_and_never_guessed(home: Path) -> None:
    journal = await opened(home)
    await stream_of(journal)
    await journal.close()
    for damage in (b"", b"{}x", b'{"version": 9}', b"\xff"):
        (home / "streams.json").write_bytes(damage)
        with pytest.raises(AitradingError) as refused:
            await opened(home)
        assert refused.value.code == "JOURNAL_STATE_UNREADABLE"


@async_test
async def test_gaps_are_written_down(home: Path) -> None:
    journal = await opened(home)
    gap = GapRecord(
        stream=UUID(int=3), symbol="X", first_missing=5, last_missing=9, reason="r", noticed_ns=1
    )
    await journal.gaps.add(gap)
    await journal.gaps.add(gap)
    lines = (home / "gaps.jsonl").read_text().splitlines()
    assert [json.loads(line)["last_missing"] for line in lines] == [9, 9]
    await journal.close()


@async_test
async def test_nothing_in_the_folder_tells_broker_login_or_symbol(home: Path) -> None:
    journal = await opened(home)
    stream = await journal.open_stream(
        broker="CanaryBroker", login=73519924, symbol="CANARYUSD", digits=5, second=1
    )
    await journal.append([taken(stream, rows(10))])
    await journal.close()
    written = await asyncio.to_thread(contents, home)
    for text in (b"CanaryBroker", b"73519924", b"CANARYUSD", rows(1).tobytes()):
        assert not any(text in data for data in written)
    with pytest.raises(AitradingError) as refused:
        await TickJournal.open(
            home,
            identity=IDENTITY,
            limits=SpoolLimits(),
            clock=CLOCK,
            ids=IDS,
            keys=some_file_keys(),
        )
    assert refused.value.code == "FILE_KEY_MISSING"


@async_test
async def test_a_state_of_an_older_version_is_read_and_sealed(home: Path) -> None:
    journal = await opened(home)
    stream = await stream_of(journal)
    await journal.close()
    state = home / "streams.json"
    clear = KEYS.open(state.read_bytes(), name=f"{IDENTITY.device}/streams.json")
    state.write_bytes(clear)
    journal = await opened(home)
    assert [one.id for one in journal.streams] == [stream.id]
    await journal.close()
    assert is_sealed(state.read_bytes())


def lost(number: int) -> GapRecord:
    return GapRecord(
        stream=UUID(int=number), symbol="EURUSD", first_missing=1, last_missing=2, reason="test",
        noticed_ns=1,
    )  # fmt: skip


@async_test
async def test_a_gap_that_was_half_written_is_not_in_the_ledger(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(descriptor: int, data: bytes) -> None:
        os.write(descriptor, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    ledger = GapLedger(home)
    await ledger.add(lost(1))
    with monkeypatch.context() as full:
        full.setattr(gap_ledger, "write_all", half)
        with pytest.raises(OSError, match="No space"):
            await ledger.add(lost(2))
    assert list(ledger.newest) == [lost(1)]
    await ledger.add(lost(2))
    assert list(GapLedger(home).newest) == [lost(1), lost(2)]


@async_test
async def test_a_gap_behind_a_line_that_a_power_cut_tore_is_in_the_ledger(home: Path) -> None:
    ledger = GapLedger(home)
    await ledger.add(lost(1))
    await ledger.add(lost(2))
    file = home / gap_ledger.LEDGER_NAME
    file.write_bytes(file.read_bytes()[:-30])
    ledger = GapLedger(home)
    await ledger.add(lost(3))
    assert list(ledger.newest) == [lost(1), lost(3)]
    assert list(GapLedger(home).newest) == [lost(1), lost(3)]
    file.write_bytes(file.read_bytes()[:-1])
    await GapLedger(home).add(lost(4))
    assert list(GapLedger(home).newest) == [lost(1), lost(3), lost(4)]


@async_test
async def test_a_day_that_no_calendar_has_is_not_told(home: Path) -> None:
    journal = await opened(home)
    stream = await stream_of(journal)
    odd = rows(3)
    odd["event_ms"][:2] = -(1 << 60), 1 << 60
    await journal.append([taken(stream, odd)])
    truth, session = FeedTruth(journal, ManualClock()), MagicMock()
    truth.tell(session, {stream.id: 4})
    [call] = session.tell_days.call_args_list
    assert [day.day for day in call.args[0].days] == [START_MS // 86_400_000]
    await journal.close()


@async_test
async def test_every_gap_is_told_once_however_many_there_are(home: Path) -> None:
    journal = await opened(home)
    for number in range(200):
        await journal.gaps.add(lost(number))
    truth, session = FeedTruth(journal, ManualClock()), MagicMock()
    for _ in range(10):
        truth.tell(session, {})
    told = [
        note.stream.int for call in session.tell_gaps.call_args_list for note in call.args[0].gaps
    ]
    assert told == list(range(200))
    await journal.close()


@async_test
async def test_why_a_feed_is_silent_is_told_when_it_changes_and_after_a_new_connection(
    home: Path,
) -> None:
    journal = await opened(home)
    stream, other = UUID(int=1), UUID(int=2)
    truth, session = FeedTruth(journal, ManualClock()), MagicMock()
    silent = {stream: "hidden", UUID(int=3): "without a handle"}
    truth.silent = lambda: silent

    def told() -> list[tuple[int, str]]:
        session.reset_mock()
        truth.tell(session, {stream: 4, other: 5})
        calls = session.tell_gaps.call_args_list
        return [(one.handle, one.why) for call in calls for one in call.args[0].feeds]

    assert told() == [(4, "hidden")]
    assert told() == []
    truth.forget()
    assert told() == [(4, "hidden")]
    silent[stream] = "w" * 1_000
    [(_, why)] = told()
    assert len(why) == WHY_CHARS_MAX
    silent.clear()
    assert told() == [(4, "")]
    assert told() == []
    await journal.close()
