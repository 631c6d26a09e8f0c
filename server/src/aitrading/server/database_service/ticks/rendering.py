"""Rows as people and programs read them: decimal strings, RFC 3339, opaque cursors."""

import base64
import binascii
import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
import numpy as np

from aitrading.core.domain.price import decimal_text
from aitrading.core.domain.tick_doubts import names_of
from aitrading.server.database_service.clickhouse.native import uuid_of
from aitrading.server.database_service.clickhouse.port import Rows
from aitrading.server.database_service.ticks.port import Position
from aitrading.server.kit.http_errors import REQUEST_INVALID

_CURSOR: Final = struct.Struct(">qQ16s")
_CURSOR_CHARS: Final = 43
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
LATEST_MS: Final = 253_402_300_800_000
"""The year 10000, where RFC 3339 ends."""


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """One quote as the broker gave it; a price is null when there was none."""

    time: str
    bid: str | None
    ask: str | None
    last: str | None
    flags: int
    sequence: int
    stream: UUID


class TicksPage(msgspec.Struct, frozen=True, kw_only=True):
    """Ticks by time; `next_cursor` asks for the next page and is null on the last one."""

    symbol: str
    items: list[Tick]
    next_cursor: str | None


class DoubtedTick(msgspec.Struct, frozen=True, kw_only=True):
    """A tick in quarantine, as the broker gave it, and why the platform does not believe it."""

    time: str | None
    """Null when the time is not one of this calendar."""
    event_ms: int
    """The same as milliseconds since 1970."""
    bid: str | None
    ask: str | None
    last: str | None
    flags: int
    sequence: int
    stream: UUID
    reasons: tuple[str, ...]


class DoubtedPage(msgspec.Struct, frozen=True, kw_only=True):
    """Ticks in quarantine by time; `next_cursor` asks for the next page."""

    symbol: str
    items: list[DoubtedTick]
    next_cursor: str | None


def render_doubted(rows: Rows, digits: Mapping[UUID, int]) -> list[DoubtedTick]:
    """All rows; `digits` by stream."""
    moments = rows["event_ms"]
    known = (moments >= 0) & (moments < LATEST_MS)
    shown = rows.copy()
    shown["event_ms"] = np.where(known, moments, 0)
    return [
        DoubtedTick(
            time=tick.time if is_known else None,
            event_ms=event_ms,
            bid=tick.bid,
            ask=tick.ask,
            last=tick.last,
            flags=tick.flags,
            sequence=tick.sequence,
            stream=tick.stream,
            reasons=names_of(doubt),
        )
        for tick, is_known, event_ms, doubt in zip(
            render_ticks(shown, digits),
            known.tolist(),
            moments.tolist(),
            rows["doubt"].tolist(),
            strict=True,
        )
    ]


def render_ticks(rows: Rows, digits: Mapping[UUID, int]) -> list[Tick]:
    """All rows; `digits` by stream."""
    times = rfc3339_of_ms(rows["event_ms"])
    asks = rows["bid"] + rows["spread"]
    streams = [uuid_of(halves) for halves in rows["stream"]]
    return [
        Tick(
            time=time,
            bid=price_text(bid, digits[stream]),
            ask=price_text(ask, digits[stream]),
            last=price_text(last, digits[stream]),
            flags=flags,
            sequence=sequence,
            stream=stream,
        )
        for time, bid, ask, last, flags, sequence, stream in zip(
            times,
            rows["bid"].tolist(),
            asks.tolist(),
            rows["last"].tolist(),
            rows["flags"].tolist(),
            rows["sequence"].tolist(),
            streams,
            strict=True,
        )
    ]


def price_text(points: int, digits: int) -> str | None:
    """An exact decimal; 0 points mean that there was no price."""
    return decimal_text(points, digits) if points else None


def rfc3339_of_ms(times: "np.ndarray[Any, Any]") -> list[str]:
    """UTC with microseconds."""
    texts = np.datetime_as_string(times.astype("M8[ms]"), unit="us")
    return [f"{text}Z" for text in texts.tolist()]


def ms_of_rfc3339(name: str, text: str) -> int:
    """Read a time of a request, rounding up to the millisecond; raises `REQUEST_INVALID`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise REQUEST_INVALID.error(reason=f"`{name}` is not an RFC 3339 time") from None
    if moment.tzinfo is None:
        raise REQUEST_INVALID.error(reason=f"`{name}` has no time zone; write Z for UTC")
    return -((_EPOCH - moment) // _MS)


def cursor_of(position: Position) -> str:
    """Where a page ended, as one opaque word."""
    raw = _CURSOR.pack(position.event_ms, position.sequence, position.stream.bytes)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def position_of(cursor: str) -> Position:
    """Read a cursor given out before; raises `REQUEST_INVALID`."""
    try:
        raw = base64.b64decode(cursor.encode() + b"=", altchars=b"-_", validate=True)
        event_ms, sequence, stream = _CURSOR.unpack(raw)
    except (binascii.Error, struct.error, ValueError):
        raise REQUEST_INVALID.error(reason="`cursor` was not given out here") from None
    position = Position(event_ms=event_ms, stream=UUID(bytes=stream), sequence=sequence)
    if len(cursor) != _CURSOR_CHARS or cursor_of(position) != cursor:
        raise REQUEST_INVALID.error(reason="`cursor` was not given out here")
    return position
