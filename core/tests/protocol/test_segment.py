"""Spool segment v1: what was sealed is read to the bit, what a crash left is read to the record."""

import hashlib
import json
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.kit.errors import AitradingError
from aitrading.core.protocol import segment

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "segment_v1.json").read_text())
HEADER = segment.SegmentHeader(
    spool=UUID("0190a1b2-0000-7000-8000-0000000000aa"),
    segment_id=7,
    first_position=101,
    created_ns=1_700_000_000_000_000_000,
)
payloads_of = st.lists(
    st.tuples(st.integers(1, segment.KIND_OWNER_MAX), st.binary(max_size=60)), max_size=12
)


def build(records: list[tuple[int, bytes]], *, sealed: bool) -> bytes:
    data = HEADER.encode()
    for index, (kind, payload) in enumerate(records):
        data += b"".join(segment.encode_record(payload, kind=kind, index=index, seed=HEADER.seed))
    if sealed:
        seal = segment.Seal(
            records=len(records),
            content_bytes=len(data),
            sealed_ns=1_700_000_001_000_000_000,
            sha256=hashlib.sha256(data).digest(),
        )
        data += segment.encode_seal(seal, seed=HEADER.seed)
    return data


def plain(records: list[segment.Record]) -> list[tuple[int, bytes]]:
    return [(record.kind, bytes(record.payload)) for record in records]


@pytest.mark.parametrize("vector", VECTORS["good"], ids=lambda vector: vector["name"])
def test_good_vectors_are_read(vector: dict) -> None:
    data = bytes.fromhex(vector["hex"])
    found = segment.scan(data)
    expected = [(one["kind"], bytes.fromhex(one["payload_hex"])) for one in vector["records"]]
    assert plain(found.records) == expected
    assert [record.position for record in found.records] == list(range(101, 101 + len(expected)))
    assert (str(found.header.spool), found.header.segment_id) == (vector["spool"], 7)
    assert (found.end, found.seal is not None) == (vector["end"], vector["sealed"])
    assert bool(found.damage) == vector["damaged"]
    if vector["sealed"]:
        assert plain(segment.read_segment(data).records) == expected
        assert build(expected, sealed=True) == data
    elif found.end == len(data) and vector["name"] != "ignorable segment flags":
        assert build(expected, sealed=False) == data


@pytest.mark.parametrize("vector", VECTORS["bad"], ids=lambda vector: vector["name"])
def test_the_zoo_of_bad_segments_is_refused(vector: dict) -> None:
    data = bytes.fromhex(vector["hex"])
    with pytest.raises(AitradingError) as caught:
        segment.read_segment(data)
    assert caught.value.code == vector["code"]
    if vector["header"]:
        with pytest.raises(AitradingError):
            segment.scan(data)


@given(payloads_of)
def test_what_is_sealed_is_read(records: list[tuple[int, bytes]]) -> None:
    data = build(records, sealed=True)
    found = segment.read_segment(data)
    assert plain(found.records) == records
    assert found.header == HEADER
    tail = data[-segment.SEAL_BYTES :]
    assert segment.read_seal(HEADER, tail, len(data)) == found.seal == segment.verify_segment(data)


@given(records=payloads_of, data=st.data())
def test_a_crash_anywhere_keeps_every_whole_record(
    records: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    whole = build(records, sealed=data.draw(st.booleans()))
    cut = data.draw(st.integers(segment.HEADER_BYTES, len(whole)))
    zeros = data.draw(st.sampled_from([0, 8, 4096]))
    found = segment.scan(whole[:cut] + bytes(zeros))
    assert plain(found.records) == records[: len(found.records)]
    ends = [len(build(records[:count], sealed=False)) for count in range(len(records) + 1)]
    whole_records = max(count for count, end in enumerate(ends) if end <= cut)
    # zeros that follow may happen to complete a record that ends in zeros
    assert len(found.records) >= whole_records if zeros else len(found.records) == whole_records


@given(records=payloads_of, data=st.data())
def test_a_changed_bit_in_a_sealed_segment_is_found(
    records: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    damaged = bytearray(build(records, sealed=True))
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    for check in (segment.read_segment, segment.verify_segment):
        with pytest.raises(AitradingError):
            check(damaged)


@given(records=payloads_of, data=st.data())
def test_pieces_read_like_the_whole(records: list[tuple[int, bytes]], data: st.DataObject) -> None:
    content = build(records, sealed=True)[segment.HEADER_BYTES :]
    step = data.draw(st.integers(80, 400))
    read: list[tuple[int, bytes]] = []
    offset, position = 0, HEADER.first_position
    while True:
        piece = content[offset : offset + step]
        found, used = segment.read_records(piece, HEADER, position)
        if not used:
            break
        read += plain(found)
        offset, position = offset + used, position + len(found)
    assert read == records


@given(st.binary(max_size=300))
def test_garbage_is_refused_with_an_error_of_ours(data: bytes) -> None:
    for prefix in (b"", HEADER.encode()):
        with pytest.raises(AitradingError):
            segment.read_segment(prefix + data)


def test_a_record_has_a_limit() -> None:
    with pytest.raises(AitradingError) as caught:
        segment.encode_record(bytes(segment.RECORD_BYTES_MAX + 1), kind=1, index=0, seed=0)
    assert caught.value.code == "SEGMENT_RECORD_TOO_LARGE"
