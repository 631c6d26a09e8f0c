"""The ingest record: fixed bytes, complete parsing, nothing accepted that was not written."""

import contextlib
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.kit.errors import AitradingError
from aitrading.core.protocol.ingest import (
    HEADER_BYTES,
    IngestHeader,
    decode_record,
    encode_header,
)

TENANT = UUID("0190a1b2-0000-7000-8000-00000000000a")
STREAM = UUID("0190a1b2-0000-7000-8000-0000000000ff")


def header(**changes: object) -> bytes:
    fields: dict[str, object] = {
        "tenant": TENANT,
        "stream": STREAM,
        "first_sequence": 7,
        "count": 2,
        "receive_ns": 1_700_000_000_123_456_789,
        "broker_offset_s": -7_200,
        "trace_id": bytes(range(16)),
        "span_id": bytes(range(8)),
        "row_bytes": 4,
    }
    return encode_header(IngestHeader(**(fields | changes)))


def test_the_bytes_are_fixed() -> None:
    assert header().hex() == (
        "0100040002000000070000000000000015cd853dfe9c9717"
        "e0e3ffff00000000"
        "0190a1b200007000800000000000000a0190a1b20000700080000000000000ff"
        "000102030405060708090a0b0c0d0e0f0001020304050607"
    )
    assert HEADER_BYTES == len(header()) == 88


@given(
    first_sequence=st.integers(0, (1 << 63) - 100),
    count=st.integers(1, 50),
    receive_ns=st.integers(-(1 << 63), (1 << 63) - 1),
    broker_offset_s=st.integers(-86_400, 86_400),
    row_bytes=st.integers(1, 40),
)
def test_what_is_written_is_read(
    first_sequence: int, count: int, receive_ns: int, broker_offset_s: int, row_bytes: int
) -> None:
    fields = {
        "first_sequence": first_sequence,
        "count": count,
        "receive_ns": receive_ns,
        "broker_offset_s": broker_offset_s,
        "row_bytes": row_bytes,
    }
    record = decode_record(header(**fields) + bytes(count * row_bytes))
    assert {name: getattr(record.header, name) for name in fields} == fields
    assert (record.header.tenant, record.header.stream) == (TENANT, STREAM)
    assert record.header.last_sequence == first_sequence + count - 1


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (b"", "length"),
        (header()[:-1], "length"),
        (b"\x02" + header()[1:] + bytes(8), "version"),
        (header()[:1] + b"\x01" + header()[2:] + bytes(8), "reserved"),
        (header(count=0), "count"),
        (header(count=(1 << 20) + 1), "count"),
        (header(row_bytes=0), "row_bytes"),
        (header(first_sequence=(1 << 63) - 1) + bytes(8), "last_sequence"),
        (header() + bytes(7), "rows"),
        (header() + bytes(9), "rows"),
    ],
)
def test_malformed_records_are_refused(payload: bytes, field: str) -> None:
    with pytest.raises(AitradingError) as caught:
        decode_record(payload)
    assert caught.value.code == "INGEST_RECORD_MALFORMED"
    assert caught.value.fields["field"] == field


@given(st.binary(max_size=200))
def test_garbage_never_escapes_as_a_foreign_exception(payload: bytes) -> None:
    with contextlib.suppress(AitradingError):
        decode_record(payload)
