"""A spool at rest tells nothing, moves nowhere, and goes on from what an older version left."""

import asyncio
import json
import struct
import zlib
from collections.abc import Coroutine
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitrading.core.infrastructure.segment_codecs import FRAME_BYTES, open_segment
from aitrading.core.infrastructure.spool import Spool, SpoolLimits
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.protocol.sealed_segment import (
    SEALED_HEADER_BYTES,
    SEALED_SEAL_BYTES,
    is_sealed_segment,
    scan_frames,
)
from aitrading.core.protocol.segment import read_segment, verify_segment
from aitrading.core.security.file_sealing import FileKeys
from aitrading.core.testing.file_keys import MemoryFileKeys, some_file_keys
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.core.testing.seeded import SeededRandomness

T = TypeVar("T")
OLD = json.loads((Path(__file__).parents[1] / "vectors" / "spool_v1.json").read_text())
"""Folders as the last version without sealing wrote them."""
CLOCK = ManualClock()
IDS = SystemIdFactory(CLOCK, SeededRandomness(1))
KEYS = some_file_keys()
CANARY = b"EURUSD of CanaryBroker-Live"


def run(work: Coroutine[object, object, T]) -> T:
    return asyncio.run(work)


async def open_spool(folder: Path, keys: FileKeys = KEYS) -> Spool:
    return await Spool.open(folder, limits=SpoolLimits(), clock=CLOCK, ids=IDS, keys=keys)


async def payloads(spool: Spool) -> list[bytes]:
    position, found = spool.first_position, list[bytes]()
    while records := await spool.read(position):
        found += [bytes(one.payload) for one in records]
        position = records[-1].position + 1
    return found


async def sealed_file(folder: Path, *groups: list[bytes]) -> Path:
    """A complete segment with one frame for each group."""
    async with await open_spool(folder) as spool:
        for group in groups:
            await spool.append(group)
        await spool.seal()
        return spool.sealed()[-1].path


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.seg"))


def tell_the_canary(folder: Path) -> list[str]:
    return [name for name, data in files(folder).items() if b"Canary" in data]


def cut(path: Path) -> None:
    """Take the end away, as a crash does."""
    with path.open("r+b") as file:
        file.truncate(file.seek(0, 2) - 9)


def exchange(one: Path, other: Path) -> None:
    kept = one.rename(one.with_name("kept"))
    other.rename(one)
    kept.rename(other)


def refusal(data: bytes, keys: FileKeys = KEYS) -> str:
    with pytest.raises(AitradingError) as caught:
        open_segment(data, keys)
    return caught.value.code


def test_nothing_in_the_folder_tells_what_was_appended(tmp_path: Path) -> None:
    async def go() -> None:
        async with await open_spool(tmp_path) as spool:
            await spool.append([CANARY, b"x" * FRAME_BYTES, CANARY])
            await spool.seal()
            await spool.append([CANARY])
        cut(segments(tmp_path)[-1])  # a torn tail is kept aside
        async with await open_spool(tmp_path) as spool:
            assert spool.recovery.torn_bytes
            assert len(await payloads(spool)) == 3

    run(go())
    assert {Path(name).suffix for name in files(tmp_path)} == {".seg", ".torn", ".lock"}
    assert not tell_the_canary(tmp_path)


def test_what_is_handed_over_is_a_v1_segment_and_the_same_each_time(tmp_path: Path) -> None:
    path = run(sealed_file(tmp_path, [b"a", b"b" * FRAME_BYTES, b"c"], [b"", b"d"]))
    data = path.read_bytes()
    assert is_sealed_segment(data)
    assert len(scan_frames(data).frames) == 4
    found = open_segment(data, KEYS)
    assert found == open_segment(data, KEYS)
    records = read_segment(found).records
    assert [bytes(one.payload)[:1] for one in records] == [b"a", b"b", b"c", b"", b"d"]
    assert [one.position for one in records] == [1, 2, 3, 4, 5]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_changed_bit_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("flipped")
    damaged = bytearray(run(sealed_file(folder, [b"a"], [CANARY] * 3)).read_bytes())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert refusal(bytes(damaged)).startswith("SEGMENT_")


def with_frames(data: bytes, frames: list[bytes]) -> bytes:
    return b"".join([data[:SEALED_HEADER_BYTES], *frames, data[-SEALED_SEAL_BYTES:]])


def frames_of(data: bytes) -> list[bytes]:
    """The frames as they lie in the file; all of one size here."""
    content = data[SEALED_HEADER_BYTES:-SEALED_SEAL_BYTES]
    size = len(content) // 3
    return [content[start : start + size] for start in range(0, len(content), size)]


def test_frames_cannot_be_swapped_dropped_or_doubled_even_with_right_checksums(
    tmp_path: Path,
) -> None:
    """Whoever can write can make checksums; what they cannot make is told by the key alone."""
    data = run(sealed_file(tmp_path, [b"1"], [b"2"], [b"3"])).read_bytes()
    one, two, three = frames_of(data)
    assert with_frames(data, [one, two, three]) == data
    for frames in ([two, one, three], [one, three], [one, one, three], [one, two]):
        assert refusal(reforged(with_frames(data, frames))) == "SEGMENT_CORRUPT"


def test_a_frame_of_another_segment_does_not_open_here(tmp_path: Path) -> None:
    mine = run(sealed_file(tmp_path / "a", [b"1"], [b"2"], [b"3"])).read_bytes()
    other = run(sealed_file(tmp_path / "b", [b"4"], [b"5"], [b"6"])).read_bytes()
    forged = with_frames(mine, [frames_of(mine)[0], frames_of(other)[1], frames_of(mine)[2]])
    assert refusal(reforged(forged)) == "SEGMENT_CORRUPT"
    swapped = mine[:64] + other[64:]  # another segment's key and frames under this one's name
    assert refusal(reforged(swapped)) == "SEGMENT_CORRUPT"


def reforged(data: bytes) -> bytes:
    """The same bytes with every number and checksum that needs no key put right."""
    head = data[: SEALED_HEADER_BYTES - 4]
    seed = zlib.crc32(head)
    made, offset, index = [head + struct.pack("<I", seed)], SEALED_HEADER_BYTES, 0
    while offset < len(data):
        size, kind, flags, _, records, rest = struct.unpack_from("<IHHIII", data, offset + 4)
        end = offset + 24 + size
        body = data[offset + 24 : end]
        if kind == 0xFFFF:
            body = struct.pack("<Q", offset) + body[8:]
        checked = struct.pack("<IHHIII", size, kind, flags, index, records, rest)
        checksum = zlib.crc32(body, zlib.crc32(checked, seed))
        made.append(struct.pack("<I", checksum) + checked + body + bytes(-size % 8))
        index, offset = index + records, end + -size % 8
    return b"".join(made)


def test_the_forger_forges_well(tmp_path: Path) -> None:
    data = run(sealed_file(tmp_path, [b"1"], [b"2"], [b"3"])).read_bytes()
    assert reforged(data) == data


def test_files_that_changed_their_names_are_set_aside(tmp_path: Path) -> None:
    async def go() -> None:
        async with await open_spool(tmp_path) as spool:
            for payload in (b"1", b"2", b"3"):
                await spool.append([payload])
                await spool.seal()
        exchange(*segments(tmp_path)[:2])
        async with await open_spool(tmp_path) as spool:
            assert len(spool.recovery.quarantined) == 2
            assert await payloads(spool) == [b"3"]

    run(go())


def test_a_foreign_key_is_no_damage(tmp_path: Path) -> None:
    async def go() -> None:
        async with await open_spool(tmp_path) as spool:
            await spool.append([b"complete"])
            await spool.seal()
            await spool.append([b"open"])
            await spool.append([b"torn"])
        cut(segments(tmp_path)[-1])
        before = files(tmp_path)
        with pytest.raises(AitradingError) as caught:
            await open_spool(tmp_path, some_file_keys())
        assert caught.value.code == "FILE_KEY_MISSING"
        assert files(tmp_path) == before
        async with await open_spool(tmp_path) as spool:
            assert await payloads(spool) == [b"complete", b"open"]

    run(go())


def test_a_rotation_counts_from_the_next_segment_and_old_ones_stay_readable(
    tmp_path: Path,
) -> None:
    home = MemoryFileKeys()
    keys = FileKeys(home.load)

    async def go() -> None:
        async with await open_spool(tmp_path, keys) as spool:
            await spool.append([b"old"])
            await spool.seal()
            home.rotate()
            await spool.append([b"new"])
            await spool.seal()
            assert await payloads(spool) == [b"old", b"new"]
            old, new = (scan_frames(one.path.read_bytes()).header for one in spool.sealed())
            assert old.key_id != new.key_id
        async with await open_spool(tmp_path, FileKeys(home.load)) as spool:
            assert await payloads(spool) == [b"old", b"new"]
        home.keys.pop(0)
        with pytest.raises(AitradingError) as caught:
            await open_spool(tmp_path, FileKeys(home.load))
        assert caught.value.code == "FILE_KEY_MISSING"

    run(go())


def left_by_the_old_version(folder: Path, state: str) -> None:
    for name, data in OLD[state].items():
        (folder / name).write_bytes(bytes.fromhex(data))


def test_the_first_start_after_an_upgrade_goes_on_without_loss(tmp_path: Path) -> None:
    left_by_the_old_version(tmp_path, "open")
    before = [b"one", b"", b"EURUSD", b"four", b"five"]

    async def go() -> None:
        async with await open_spool(tmp_path) as spool:
            assert not spool.recovery.quarantined
            identity = spool.sealed()[0].spool
            assert await payloads(spool) == before
            assert await spool.append([CANARY]) == 6
            await spool.seal()
            assert await payloads(spool) == [*before, CANARY]
            assert {one.spool for one in spool.sealed()} == {identity}
            for segment in spool.sealed():
                verify_segment(await spool.read_segment(segment))
            first = bytes.fromhex(OLD["open"]["0000000000000001.seg"])
            assert await spool.read_segment(spool.sealed()[0]) == first, (
                "its token names its bytes"
            )
        async with await open_spool(tmp_path) as spool:
            assert await payloads(spool) == [*before, CANARY]
        assert not tell_the_canary(tmp_path)

    run(go())


def test_an_old_spool_that_was_empty_keeps_its_counters(tmp_path: Path) -> None:
    left_by_the_old_version(tmp_path, "empty")

    async def go() -> None:
        async with await open_spool(tmp_path) as spool:
            assert await spool.append([b"six"]) == 6
            await spool.seal()
        assert [is_sealed_segment(data) for data in files(tmp_path).values() if data] == [True]
        async with await open_spool(tmp_path) as spool:
            assert (spool.first_position, spool.sealed()[0].segment_id) == (6, 4)

    run(go())
