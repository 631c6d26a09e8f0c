"""The spool: what it called durable is there afterwards, in order, once."""

import asyncio
import errno
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitrading.core.infrastructure.files import sync_data
from aitrading.core.infrastructure.spool import Spool, SpoolLimits
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.secret import Secret
from aitrading.core.protocol.sealed_segment import (
    SEALED_HEADER_BYTES,
    SEALED_SEAL_BYTES,
)
from aitrading.core.protocol.segment import read_segment
from aitrading.core.security.file_sealing import FileKeys
from aitrading.core.testing.campaign import first_seed, points, report
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.core.testing.seeded import SeededRandomness

T = TypeVar("T")
CHILD = Path(__file__).with_name("spool_child.py")
QUICK_KILLS = 8
CLOCK = ManualClock()
IDS = SystemIdFactory(CLOCK, SeededRandomness(1))
KEYS = FileKeys(lambda: [Secret(bytes(range(32)))])
SMALL = SpoolLimits(segment_bytes=1_000, segment_age_ms=1_000)


def run(work: Coroutine[object, object, T]) -> T:
    return asyncio.run(work)


async def open_spool(
    folder: Path, limits: SpoolLimits = SMALL, clock: ManualClock = CLOCK, sync: object = sync_data
) -> Spool:
    return await Spool.open(folder, limits=limits, clock=clock, ids=IDS, keys=KEYS, sync=sync)


async def read_all(spool: Spool, start: int | None = None) -> list[tuple[int, int, bytes]]:
    position = spool.first_position if start is None else start
    found: list[tuple[int, int, bytes]] = []
    while records := await spool.read(position):
        found += [(one.position, one.kind, bytes(one.payload)) for one in records]
        position = found[-1][0] + 1
    return found


def segment_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.seg"))


def test_what_became_durable_last_is_read_from_memory_and_the_rest_from_the_disk(
    tmp_path: Path,
) -> None:
    async def go() -> None:
        async with await open_spool(tmp_path) as spool:
            await spool.append([b"old"])
            await spool.append([b"one", b"two", b"three"], kind=9)
            for file in segment_files(tmp_path):
                file.write_bytes(bytes(file.stat().st_size))
            assert await read_all(spool, 2) == [(2, 9, b"one"), (3, 9, b"two"), (4, 9, b"three")]
            [least] = await spool.read(3, max_bytes=1)
            assert least.position == 3
            with pytest.raises(AitradingError):
                await spool.read(1)

    run(go())


def test_records_survive_a_restart(tmp_path: Path) -> None:
    async def go() -> None:
        async with await open_spool(tmp_path) as spool:
            assert await spool.append([b"one", b"", bytearray(b"two")]) == 3
            assert await spool.append([memoryview(b"three")], kind=9) == 4
            await spool.seal()
            assert await spool.append([b"four"]) == 5
            token = spool.sealed()[0].token
        async with await open_spool(tmp_path) as spool:
            assert (spool.durable_position, spool.next_position) == (5, 6)
            assert spool.sealed()[0].token == token
            assert await spool.append([b"five"]) == 6
            assert await read_all(spool) == [
                (1, 1, b"one"),
                (2, 1, b""),
                (3, 1, b"two"),
                (4, 9, b"three"),
                (5, 1, b"four"),
                (6, 1, b"five"),
            ]

    run(go())


def test_many_appends_share_few_syncs(tmp_path: Path) -> None:
    syncs = 0

    def counted(descriptor: int) -> None:
        nonlocal syncs
        syncs += 1
        sync_data(descriptor)

    async def go() -> None:
        async with await open_spool(tmp_path, SpoolLimits(), sync=counted) as spool:
            for _ in range(1_000):
                spool.append_nowait([b"x" * 100])
            await spool.wait_durable(1_000)
            statistics = spool.statistics()
            assert statistics.durable_position == 1_000
            assert statistics.groups <= 3
            assert statistics.pending_bytes == 0

    run(go())
    assert syncs <= 5


def test_the_callback_tells_each_advance_in_order(tmp_path: Path) -> None:
    async def go() -> None:
        seen: list[int] = []
        async with await open_spool(tmp_path) as spool:
            spool.on_durable = seen.append
            for _ in range(20):
                await spool.append([b"x"])
        assert seen == list(range(1, 21))

    run(go())


def test_segments_roll_by_size_and_keep_their_boundaries(tmp_path: Path) -> None:
    async def go() -> None:
        async with await open_spool(tmp_path) as spool:
            await spool.append([bytes(100)] * 50)
            sealed = spool.sealed()
            assert all(one.size_bytes <= 1_000 for one in sealed)
            assert [one.first_position for one in sealed] == list(range(1, 49, 6))
            data = await spool.read_segment(sealed[2])
            segment = read_segment(data)
            assert [record.position for record in segment.records] == list(range(13, 19))
            assert segment.header.spool == sealed[2].spool
            assert len(await read_all(spool, 20)) == 31
        assert len(segment_files(tmp_path)) == 9

    run(go())


def test_a_record_larger_than_a_segment_gets_its_own(tmp_path: Path) -> None:
    async def go() -> None:
        async with await open_spool(tmp_path) as spool:
            await spool.append([b"a", bytes(5_000), b"b"])
            assert [one.records for one in spool.sealed()] == [1, 1]
            assert [len(payload) for _, _, payload in await read_all(spool)] == [1, 5_000, 1]
            with pytest.raises(AitradingError) as caught:
                spool.append_nowait([bytes(17 << 20)])
            assert caught.value.code == "SEGMENT_RECORD_TOO_LARGE"

    run(go())


def test_segments_are_sealed_by_age(tmp_path: Path) -> None:
    async def go() -> None:
        clock = ManualClock()
        async with await open_spool(tmp_path, clock=clock) as spool, asyncio.TaskGroup() as tasks:
            task = tasks.create_task(spool.maintain())
            await clock.advance(5)
            assert spool.sealed() == []
            await spool.append([b"x"])
            await clock.advance(0.75)
            assert spool.sealed() == []
            waiting = tasks.create_task(spool.next_sealed())
            await clock.advance(0.5)
            segment = await waiting
            assert (segment.first_position, segment.records) == (1, 1)
            task.cancel()

    run(go())


def test_a_small_segment_may_become_older(tmp_path: Path) -> None:
    limits = SpoolLimits(segment_age_ms=200, small_bytes=1_000, small_age_ms=1_000)

    async def go() -> None:
        clock = ManualClock()
        opened = await open_spool(tmp_path, clock=clock, limits=limits)
        async with opened as spool, asyncio.TaskGroup() as tasks:
            task = tasks.create_task(spool.maintain())
            await spool.append([b"x"])
            await clock.advance(0.8)
            assert spool.sealed() == []
            await spool.append([bytes(1_000)])
            waiting = tasks.create_task(spool.next_sealed())
            await clock.advance(0.1)
            segment = await waiting
            assert segment.records == 2
            task.cancel()

    run(go())


def test_the_reader_takes_segments_in_order_and_deletes_them(tmp_path: Path) -> None:
    async def go() -> None:
        async with await open_spool(tmp_path) as spool:
            taken, last = [], 0
            for round_ in range(3):
                await spool.append([bytes([round_])])
                await spool.seal()
                segment = await spool.next_sealed(after=last)
                taken.append(segment.first_position)
                last = segment.segment_id
                await spool.delete(segment)
                await spool.delete(segment)
            assert taken == [1, 2, 3]
            assert spool.first_position == spool.next_position == 4
            with pytest.raises(AitradingError) as caught:
                await spool.read(2)
            assert caught.value.code == "SPOOL_POSITION_UNKNOWN"
        [path] = segment_files(tmp_path)
        assert path.stat().st_size == SEALED_HEADER_BYTES
        async with await open_spool(tmp_path) as spool:
            assert spool.first_position == spool.next_position == 4
            assert await spool.append([b"x"]) == 4

    run(go())


def test_positions_and_tokens_never_repeat(tmp_path: Path) -> None:
    async def go() -> None:
        tokens: set[str] = set()
        for round_ in range(4):
            async with await open_spool(tmp_path) as spool:
                for step in range(2):
                    assert await spool.append([b"x"]) == 2 * round_ + step + 1
                    await spool.seal()
                    tokens.add(spool.sealed()[-1].token)
                await spool.delete_through(spool.durable_position)
        assert len(tokens) == 8

    run(go())


def test_a_disk_too_full_for_a_new_file_keeps_the_counters(tmp_path: Path) -> None:
    async def go() -> None:
        disk = Disk()
        async with await open_spool(tmp_path, sync=disk.sync) as spool:
            for _ in range(3):
                await spool.append([b"x"])
                await spool.seal()
            disk.refuse = errno.ENOSPC
            await spool.delete_through(3)
            assert spool.sealed() == []
            assert [path.name for path in segment_files(tmp_path)] == ["0000000000000003.seg"]
        disk.refuse = None
        async with await open_spool(tmp_path, sync=disk.sync) as spool:
            assert [one.first_position for one in spool.sealed()] == [3]
            await spool.delete_through(3)
            assert await spool.append([b"y"]) == 4
        assert len(segment_files(tmp_path)) == 1

    run(go())


def test_limits_are_refusals_that_take_nothing(tmp_path: Path) -> None:
    async def go() -> None:
        limits = SpoolLimits(limit_bytes=3_000, segment_bytes=1_000, pending_bytes=1_500)
        async with await open_spool(tmp_path, limits) as spool:
            with pytest.raises(AitradingError) as caught:
                spool.append_nowait([bytes(1_600)])
            assert caught.value.code == "SPOOL_BACKLOG"
            for _ in range(2):
                await spool.append([bytes(1_000)])
            with pytest.raises(AitradingError) as caught:
                spool.append_nowait([bytes(1_000)])
            assert caught.value.code == "SPOOL_FULL"
            assert caught.value.fields["limit_bytes"] == 3_000
            assert spool.next_position == 3
            await spool.seal()
            await spool.delete_through(1)
            assert await spool.append([bytes(1_000)]) == 3

    run(go())


def test_one_folder_has_one_owner(tmp_path: Path) -> None:
    async def go() -> None:
        async with await open_spool(tmp_path):
            with pytest.raises(AitradingError) as caught:
                await open_spool(tmp_path)
            assert caught.value.code == "SPOOL_IN_USE"
        async with await open_spool(tmp_path):
            pass

    run(go())


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    async def go() -> None:
        async with await open_spool(tmp_path / "spool") as spool:
            await spool.append([b"x"])

    run(go())
    for path in [tmp_path / "spool", *(tmp_path / "spool").iterdir()]:
        assert path.stat().st_mode & 0o077 == 0


def test_closing_writes_what_was_appended(tmp_path: Path) -> None:
    async def go() -> None:
        spool = await open_spool(tmp_path)
        for _ in range(30):
            spool.append_nowait([bytes(90)])
        await spool.close()
        await spool.close()
        with pytest.raises(AitradingError) as caught:
            spool.append_nowait([b"x"])
        assert caught.value.code == "SPOOL_CLOSED"
        async with await open_spool(tmp_path) as spool:
            assert spool.durable_position == 30

    run(go())


class Disk:
    """A disk that can be told to refuse."""

    def __init__(self) -> None:
        self.refuse: int | None = None

    def sync(self, descriptor: int) -> None:
        if self.refuse is not None:
            raise OSError(self.refuse, os.strerror(self.refuse))
        sync_data(descriptor)


def test_a_full_disk_loses_nothing_and_is_over_when_space_is_free(tmp_path: Path) -> None:
    async def go() -> None:
        disk = Disk()
        failures: list[str] = []
        async with await open_spool(tmp_path, sync=disk.sync) as spool:
            spool.on_failure = lambda error: failures.append(error.code)
            await spool.append([b"before"])
            disk.refuse = errno.ENOSPC
            with pytest.raises(AitradingError) as caught:
                await spool.append([b"refused"])
            assert caught.value.code == "SPOOL_DISK_FULL"
            assert (spool.durable_position, spool.next_position) == (1, 2)
            disk.refuse = None
            assert await spool.append([b"after"]) == 2
            assert [payload for _, _, payload in await read_all(spool)] == [b"before", b"after"]
            assert failures == ["SPOOL_DISK_FULL"]
            assert spool.statistics().disk_full == 1

    run(go())


def test_what_waited_behind_a_refused_group_is_forgotten_with_it(tmp_path: Path) -> None:
    async def go() -> None:
        disk = Disk()
        async with await open_spool(tmp_path, sync=disk.sync) as spool:
            await spool.append([b"before"])
            disk.refuse = errno.ENOSPC
            refused = [spool.append_nowait([name]) for name in (b"in flight", b"behind it")]
            waiting = [asyncio.ensure_future(spool.wait_durable(place)) for place in refused]
            outcomes = [await asyncio.wait({one}) and one.exception() for one in waiting]
            assert [one.code for one in outcomes] == ["SPOOL_DISK_FULL"] * 2
            disk.refuse = None
            assert spool.statistics().pending_bytes == 0
            assert await spool.append([b"after"]) == 2
            assert [payload for _, _, payload in await read_all(spool)] == [b"before", b"after"]

    run(go())


def test_a_whole_record_behind_a_torn_one_does_not_come_back_later(tmp_path: Path) -> None:
    async def go() -> None:
        async with await open_spool(tmp_path) as spool:
            await spool.append([b"acknowledged"])
            whole = segment_files(tmp_path)[0].stat().st_size
            await spool.append([b"torn........"])
            await spool.append([b"whole......."])
        [path] = segment_files(tmp_path)
        data = bytearray(path.read_bytes())
        data[whole + 40] ^= 1
        path.write_bytes(data)
        async with await open_spool(tmp_path) as spool:
            assert await spool.append([b"new........."]) == 2
        async with await open_spool(tmp_path) as spool:
            found = [payload for _, _, payload in await read_all(spool)]
            assert found == [b"acknowledged", b"new........."]

    run(go())


def test_a_failed_sync_stops_the_spool_and_leaves_no_doubt(tmp_path: Path) -> None:
    async def go() -> None:
        disk = Disk()
        async with await open_spool(tmp_path, sync=disk.sync) as spool:
            await spool.append([b"durable"])
            disk.refuse = errno.EIO
            waiting = asyncio.ensure_future(spool.next_sealed())
            with pytest.raises(AitradingError) as caught:
                await spool.append([b"doubtful"])
            assert caught.value.code == "SPOOL_FAILED"
            disk.refuse = None
            with pytest.raises(AitradingError) as caught:
                spool.append_nowait([b"more"])
            assert caught.value.code == "SPOOL_FAILED"
            with pytest.raises(AitradingError):
                await waiting
            assert spool.statistics().failed
        async with await open_spool(tmp_path) as spool:
            assert [payload for _, _, payload in await read_all(spool)] == [b"durable"]

    run(go())


def test_a_torn_tail_is_cut_and_kept_aside(tmp_path: Path) -> None:
    async def go() -> None:
        async with await open_spool(tmp_path) as spool:
            await spool.append([b"whole"])
        [path] = segment_files(tmp_path)
        with path.open("ab") as file:
            file.write(b"half a record")
        async with await open_spool(tmp_path) as spool:
            assert spool.recovery.torn_bytes == len(b"half a record")
            assert await spool.append([b"next"]) == 2
            await spool.seal()
            await spool.read_segment(spool.sealed()[0])
            assert [payload for _, _, payload in await read_all(spool)] == [b"whole", b"next"]
        assert path.with_suffix(".torn").read_bytes() == b"half a record"

    run(go())


@pytest.mark.parametrize("left", [b"", bytes(64), bytes(4_096)])
def test_a_segment_that_was_only_created_is_removed(tmp_path: Path, left: bytes) -> None:
    async def go() -> None:
        async with await open_spool(tmp_path) as spool:
            await spool.append([b"x"])
            await spool.seal()
        (tmp_path / "0000000000000002.seg").write_bytes(left)
        async with await open_spool(tmp_path) as spool:
            assert await spool.append([b"y"]) == 2
            assert len(await read_all(spool)) == 2

    run(go())


def test_a_damaged_segment_is_quarantined_and_the_others_go_on(tmp_path: Path) -> None:
    async def go() -> None:
        async with await open_spool(tmp_path) as spool:
            await spool.append([bytes(100)] * 20)
            await spool.seal()
            first, second, *_ = spool.sealed()
            damaged = bytearray(first.path.read_bytes())
            damaged[100] ^= 1
            first.path.write_bytes(damaged)
            with pytest.raises(AitradingError) as caught:
                await spool.read_segment(first)
            assert caught.value.code == "SEGMENT_CORRUPT"
            await spool.quarantine(first)
            assert await spool.next_sealed() == second
            await spool.read_segment(second)

    run(go())
    assert [path.suffix for path in tmp_path.glob("*.corrupt")] == [".corrupt"]


def test_losing_the_newest_segment_gives_a_new_identity_and_new_positions(tmp_path: Path) -> None:
    async def go() -> None:
        async with await open_spool(tmp_path) as spool:
            await spool.append([b"x"])
            await spool.seal()
            await spool.append([b"y"])
            before = spool.sealed()[0]
        damage_header(segment_files(tmp_path)[-1])
        async with await open_spool(tmp_path) as spool:
            assert [one.suffix for one in spool.recovery.quarantined] == [".corrupt"]
            assert await spool.append([b"z"]) > 1 << 32
            await spool.seal()
            kept, fresh = spool.sealed()
            assert kept == before
            assert (fresh.segment_id, fresh.spool == kept.spool) == (3, False)

    run(go())


def test_losing_an_older_segment_leaves_a_hole(tmp_path: Path) -> None:
    async def go() -> None:
        async with await open_spool(tmp_path) as spool:
            for payload in (b"x", b"y", b"z"):
                await spool.append([payload])
                await spool.seal()
            spool_id = spool.sealed()[0].spool
        damage_header(segment_files(tmp_path)[1])
        async with await open_spool(tmp_path) as spool:
            assert len(spool.recovery.quarantined) == 1
            assert [one.first_position for one in spool.sealed()] == [1, 3]
            with pytest.raises(AitradingError) as caught:
                await spool.read(2)
            assert caught.value.code == "SPOOL_POSITION_UNKNOWN"
            assert [spool.readable_from(place) for place in range(6)] == [1, 1, 3, 3, 4, 5]
            assert await spool.append([b"!"]) == 4
            await spool.seal()
            assert spool.sealed()[-1].spool == spool_id

    run(go())


def damage_header(path: Path) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[20] ^= 1
    path.write_bytes(damaged)


def test_a_listener_that_fails_does_not_stop_the_spool(tmp_path: Path) -> None:
    async def go() -> None:
        reported: list[dict] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: reported.append(what))
        async with await open_spool(tmp_path) as spool:
            spool.on_durable = lambda _: 1 / 0
            assert await spool.append([b"x"]) == 1
            assert await spool.append([b"y"]) == 2
        assert [type(one["exception"]) for one in reported] == [ZeroDivisionError] * 2

    run(go())


def test_reading_follows_the_writer(tmp_path: Path) -> None:
    async def go() -> None:
        async with await open_spool(tmp_path, SpoolLimits()) as spool:
            assert await spool.read(1) == []
            for position in range(1, 30):
                await spool.append([bytes([position])])
                [record] = await spool.read(position)
                assert (record.position, bytes(record.payload)) == (position, bytes([position]))
            assert [one.position for one in await spool.read(7, max_bytes=160)] == [7, 8]
            assert [one.position for one in await spool.read(9, max_bytes=1)] == [9]

    run(go())


def test_preallocation_is_given_back_at_the_seal(tmp_path: Path) -> None:
    async def go() -> None:
        limits = SpoolLimits(segment_bytes=100_000, preallocate=True)
        async with await open_spool(tmp_path, limits) as spool:
            await spool.append([b"x"])
            [path] = segment_files(tmp_path)
            assert path.stat().st_size == 100_000
            await spool.seal()
            assert path.stat().st_size == SEALED_HEADER_BYTES + 80 + SEALED_SEAL_BYTES
            await spool.append([b"y"])
        async with await open_spool(tmp_path, limits) as spool:
            assert spool.recovery.torn_bytes == 0
            assert len(await read_all(spool)) == 2

    run(go())


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    steps=st.lists(
        st.sampled_from(["append", "append", "append", "seal", "delete", "reopen", "tear"]),
        max_size=25,
    ),
)
def test_any_history_reads_like_its_model(
    tmp_path_factory: pytest.TempPathFactory, seed: int, steps: list[str]
) -> None:
    choose = random.Random(seed)  # noqa: S311 - replayable
    folder = tmp_path_factory.mktemp("spool")

    async def go() -> None:
        model: list[bytes] = []
        deleted = 0
        spool = await open_spool(folder)
        for step in [*steps, "reopen"]:
            if step == "append":
                payloads = [choose.randbytes(choose.randint(0, 400)) for _ in range(3)]
                assert await spool.append(payloads) == len(model) + 3
                model += payloads
            elif step == "seal":
                await spool.seal()
            elif step == "delete":
                await spool.delete_through(choose.randint(0, len(model)))
                deleted = spool.first_position - 1
            else:
                await spool.close()
                if step == "tear" and segment_files(folder):
                    with segment_files(folder)[-1].open("ab") as file:
                        file.write(choose.randbytes(choose.randint(1, 50)))
                spool = await open_spool(folder)
            found = [payload for _, _, payload in await read_all(spool)]
            assert found == model[deleted:]
        await spool.close()

    run(go())


@pytest.mark.integration
@pytest.mark.timeout(120 + 2 * points(QUICK_KILLS))
def test_kill_9_in_the_middle_of_appends_keeps_every_acknowledged_record(tmp_path: Path) -> None:
    acknowledged = 0
    choose = random.Random(first_seed(7))  # noqa: S311 - replayable
    for _ in range(points(QUICK_KILLS)):
        child = subprocess.Popen([sys.executable, str(CHILD), str(tmp_path)], stdout=-1)
        try:
            assert child.stdout is not None
            lines = [child.stdout.readline()]
            deadline = time.monotonic() + choose.uniform(0.01, 0.15)
            while time.monotonic() < deadline:
                lines.append(child.stdout.readline())
        finally:
            child.kill()
        lines += child.stdout.readlines()
        child.wait()
        child.stdout.close()
        acknowledged = max([acknowledged, *(int(line) for line in lines if line.endswith(b"\n"))])
        run(check_numbered(tmp_path, acknowledged))
    report({"kills": points(QUICK_KILLS), "acknowledged": acknowledged})
    assert acknowledged > 100


async def check_numbered(folder: Path, acknowledged: int) -> None:
    async with await open_spool(folder) as spool:
        found = await read_all(spool)
        assert spool.durable_position >= acknowledged
        assert [position for position, _, _ in found] == list(
            range(spool.first_position, spool.next_position)
        )
        assert all(
            payload == position.to_bytes(8, "little") * (1 + position % 97)
            for position, _, payload in found
        )
        for segment in spool.sealed():
            read_segment(await spool.read_segment(segment))


def test_the_loop_is_free_while_the_disk_works(tmp_path: Path) -> None:
    async def go() -> None:
        turned = threading.Event()
        async with await open_spool(
            tmp_path, sync=lambda descriptor: (turned.wait(20), sync_data(descriptor))
        ) as spool:
            spool.append_nowait([b"x"])
            turns = 0
            while spool.durable_position < 1:
                await asyncio.sleep(0.005)
                turns += 1
                if turns > 5:
                    turned.set()
            assert turned.is_set()

    run(go())
