"""Rows, batches and stream ids have the layout that files and peers rely on."""

from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.domain.instruments import Instrument, StreamKey
from aitrading.core.domain.market import ROW_BYTES, TICK_DTYPE, TickBatch, make_batch
from aitrading.core.kit.errors import AitradingError

STREAM = UUID("0190a1b2-0000-8000-8000-0000000000ff")
KEY = StreamKey(
    tenant=UUID("0190a1b2-0000-7000-8000-00000000000a"),
    device=UUID("0190a1b2-0000-7000-8000-00000000000b"),
    broker="Demo-Server",
    login=1234567,
    symbol="EURUSD",
    epoch=1,
)


def batch(first: int, count: int) -> TickBatch:
    rows = np.zeros(count, TICK_DTYPE)
    rows["event_ms"] = range(first, first + count)
    return make_batch(STREAM, first, rows, receive_ns=1, broker_offset_s=7200)


def test_the_row_is_24_little_endian_bytes() -> None:
    row = np.zeros(1, TICK_DTYPE)
    row[0] = (0x0102030405060708, 0x0A0B0C0D, -2, 3, 6, 0)
    assert ROW_BYTES == 24
    assert row.tobytes().hex() == "08070605040302010d0c0b0afeffffff0300000006000000"


@given(count=st.integers(1, 30), cut=st.integers(-5, 40))
def test_cutting_a_batch_keeps_the_right_rows(count: int, cut: int) -> None:
    whole = batch(10, count)
    rest = whole.after(10 + cut - 1)
    expected = [sequence for sequence in range(10, 10 + count) if sequence > 10 + cut - 1]
    assert (rest.array()["event_ms"].tolist() if rest else []) == expected
    if rest:
        assert (rest.first_sequence, rest.count) == (expected[0], len(expected))
        assert rest.last_sequence == whole.last_sequence
    head = whole.up_to(max(1, cut))
    assert head.array()["event_ms"].tolist() == list(range(10, 10 + min(count, max(1, cut))))


@pytest.mark.parametrize(
    "rows", [np.zeros(0, TICK_DTYPE), np.zeros((2, 2), TICK_DTYPE), np.ones(3)]
)
def test_another_array_is_no_batch(rows: np.ndarray) -> None:
    with pytest.raises(AitradingError) as caught:
        make_batch(STREAM, 1, rows, receive_ns=0, broker_offset_s=0)
    assert caught.value.code == "TICKS_MALFORMED"


def test_the_stream_id_is_fixed_for_good() -> None:
    assert str(KEY.stream_id()) == "5a97c65c-f1b5-8d09-8151-fe22b9900df4"


@pytest.mark.parametrize(
    "change",
    [
        {"tenant": UUID(int=1)},
        {"device": UUID(int=1)},
        {"broker": "Demo-Serve"},
        {"symbol": "rEURUSD"},
        {"login": 1234568},
        {"epoch": 2},
    ],
)
def test_every_part_of_the_key_changes_the_id(change: dict[str, object]) -> None:
    assert replace(KEY, **change).stream_id() != KEY.stream_id()


def test_texts_cannot_run_into_each_other() -> None:
    left = replace(KEY, broker="AB", symbol="C")
    right = replace(KEY, broker="A", symbol="BC")
    assert left.stream_id() != right.stream_id()


@pytest.mark.parametrize("symbol", ["", " EURUSD", "EUR\x00USD", "E\u202eUR", "x" * 65, "e\u0301"])
def test_a_name_nobody_could_read_is_refused(symbol: str) -> None:
    with pytest.raises(AitradingError) as caught:
        Instrument(broker="B", symbol=symbol, digits=5)
    assert caught.value.code == "INSTRUMENT_MALFORMED"


@pytest.mark.parametrize("digits", [-1, 11])
def test_digits_have_limits(digits: int) -> None:
    with pytest.raises(AitradingError):
        Instrument(broker="B", symbol="EURUSD", digits=digits)


def test_real_names_are_accepted() -> None:
    for symbol in ("EURUSD", "EURUSDm", "US30.cash", "#AAPL", "BTCUSD_i", "Gold €", "XAU-USD!"):
        assert Instrument(broker="ICMarketsSC-Demo", symbol=symbol, digits=2).symbol == symbol
