"""What people read: decimals, times and cursors."""

import contextlib
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrading.core.kit.errors import AitradingError
from aitrading.server.database_service.clickhouse.native import uuid_columns, uuid_of
from aitrading.server.database_service.ticks.port import TICK_LAYOUT, Position
from aitrading.server.database_service.ticks.rendering import (
    LATEST_MS,
    cursor_of,
    ms_of_rfc3339,
    position_of,
    render_ticks,
    rfc3339_of_ms,
)

STREAM = UUID("0190a1b2-0000-7000-8000-0000000000ff")


@given(st.integers(0, LATEST_MS - 1))
def test_times_round_trip(ms: int) -> None:
    (text,) = rfc3339_of_ms(np.array([ms], "<i8"))
    assert ms_of_rfc3339("from", text) == ms
    assert text.endswith("000Z")


def test_a_fraction_of_a_millisecond_rounds_up() -> None:
    """`from` and `to` then mean exactly what they say."""
    assert ms_of_rfc3339("from", "1970-01-01T00:00:00.001001Z") == 2
    assert ms_of_rfc3339("from", "1970-01-01T01:00:00+01:00") == 0


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-11-21", "2026-11-21T03:00:00", "1.5", "2026-13-01T00:00:00Z"]
)
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(AitradingError, match="REQUEST_INVALID"):
        ms_of_rfc3339("from", text)


@given(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, (1 << 64) - 1), st.uuids())
def test_cursors_round_trip(event_ms: int, sequence: int, stream: UUID) -> None:
    position = Position(event_ms=event_ms, stream=stream, sequence=sequence)
    assert position_of(cursor_of(position)) == position


@given(st.text(max_size=60))
def test_other_cursors_are_refused(text: str) -> None:
    with contextlib.suppress(AitradingError):
        assert cursor_of(position_of(text)) == text


@given(st.uuids())
def test_uuids_round_trip_through_clickhouse_halves(each: UUID) -> None:
    assert uuid_of(uuid_columns([each])[0]) == each


def test_prices_are_exact_and_absent_ones_null() -> None:
    rows = np.zeros(3, TICK_LAYOUT)
    rows["stream"] = uuid_columns([STREAM])[0]
    rows["bid"], rows["spread"] = [108_345, 0, -5], [6, 7, 5]
    first, second, third = render_ticks(rows, {STREAM: 5})
    assert (first.bid, first.ask, first.last) == ("1.08345", "1.08351", None)
    assert (second.bid, second.ask) == (None, "0.00007")
    assert (third.bid, third.ask) == ("-0.00005", None)


def test_the_far_end_is_the_year_ten_thousand() -> None:
    assert rfc3339_of_ms(np.array([LATEST_MS - 1], "<i8")) == ["9999-12-31T23:59:59.999000Z"]
