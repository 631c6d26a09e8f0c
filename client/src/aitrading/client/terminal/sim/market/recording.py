"""Recorded days: `milliseconds_of_day,bid,ask` a line, as CSV or inside a zip archive.

A day is read in pieces and becomes whole numbers; nothing of it is kept here.
"""

import re
import zipfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from aitrading.client.terminal.errors import RECORDING_INVALID
from aitrading.client.terminal.sim.market.ticks import US_PER_MS, US_PER_S, Whole

LINES_PER_READ: Final = 65_536
QUOTES_PER_DAY_MAX: Final = 20_000_000
DIGITS_MAX: Final = 8
DAY_S: Final = 86_400
_NAME: Final = re.compile(r"(?P<day>\d{8})_(?P<symbol>[A-Za-z0-9.#-]+?)_")


@dataclass(frozen=True, slots=True)
class RecordedDay:
    """The quotes of one day, oldest first; times in microseconds since the epoch, UTC."""

    time_us: Whole
    bid: Whole
    ask: Whole


class Recording:
    """The recorded days of one symbol; raises `RECORDING_INVALID` for what cannot be read."""

    def __init__(self, symbol: str, days: dict[int, Path]) -> None:
        self.symbol = symbol
        self._files = dict(sorted(days.items()))
        self.digits = _digits_of(next(iter(self._files.values())))

    @property
    def days(self) -> tuple[int, ...]:
        """The first second, UTC, of each recorded day."""
        return tuple(self._files)

    def price_points(self) -> int:
        """The first price, in points."""
        return int(self.day(self.days[0]).bid[0])

    def day(self, day_s: int) -> RecordedDay:
        """Read one day; whoever needs it again keeps it."""
        path = self._files.get(day_s)
        if path is None:
            return RecordedDay(*(np.empty(0, np.int64) for _ in range(3)))
        parts: list[RecordedDay] = []
        quotes = 0
        with _lines(path) as lines:
            while len(rows := _parsed(path, islice(lines, LINES_PER_READ))):
                parts.append(self._quotes(path, day_s, rows))
                quotes += len(rows)
                if quotes > QUOTES_PER_DAY_MAX:
                    raise RECORDING_INVALID.error(
                        file=path.name, problem=f"more than {QUOTES_PER_DAY_MAX} quotes"
                    )
        time_us = np.concatenate([part.time_us for part in parts])
        order = np.argsort(time_us, kind="stable")
        bid = np.concatenate([part.bid for part in parts])
        ask = np.concatenate([part.ask for part in parts])
        return RecordedDay(time_us[order], bid[order], ask[order])

    def _quotes(self, path: Path, day_s: int, rows: NDArray[np.float64]) -> RecordedDay:
        inside = (rows[:, 0] >= 0) & (rows[:, 0] < DAY_S * 1_000)
        if not np.isfinite(rows).all() or not inside.all():
            raise RECORDING_INVALID.error(file=path.name, problem="a number is out of range")
        time_us = day_s * US_PER_S + np.floor(rows[:, 0] * US_PER_MS).astype(np.int64)
        points = np.rint(rows[:, 1:] * 10**self.digits).astype(np.int64)
        return RecordedDay(time_us, points[:, 0], points[:, 1])


def open_recordings(place: Path) -> list[Recording]:
    """The recordings of one file, or of every file in a folder, by symbol.

    Files say what they hold: `20140508_eurusd_tick_quote.csv`, or a zip with one such member.
    """
    files = sorted(place.iterdir()) if place.is_dir() else [place]
    symbols: dict[str, dict[int, Path]] = {}
    for path in files:
        if path.suffix.lower() not in {".csv", ".zip"}:
            continue
        day_s, symbol = _label(path)
        symbols.setdefault(symbol, {}).setdefault(day_s, path)
    if not symbols:
        raise RECORDING_INVALID.error(file=place.name, problem="no CSV or zip file there")
    return [Recording(symbol, days) for symbol, days in symbols.items()]


def _label(path: Path) -> tuple[int, str]:
    name = _member(path) if path.suffix.lower() == ".zip" else path.name
    match = _NAME.match(name)
    if match is None:
        raise RECORDING_INVALID.error(
            file=path.name, problem=f"{name!r} is not named like 20140508_eurusd_quote.csv"
        )
    try:
        day = datetime.strptime(match["day"], "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        raise RECORDING_INVALID.error(
            file=path.name, problem=f"{match['day']} is not a day"
        ) from None
    return int(day.timestamp()), match["symbol"].upper()


def _member(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile) as exc:
        raise RECORDING_INVALID.error(file=path.name, problem=str(exc)) from exc
    if len(names) != 1:
        raise RECORDING_INVALID.error(file=path.name, problem=f"{len(names)} files, not one")
    return names[0]


@contextmanager
def _lines(path: Path) -> Generator[Iterator[bytes]]:
    try:
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as archive, archive.open(_member(path)) as member:
                yield iter(member)
        else:
            with path.open("rb") as plain:
                yield iter(plain)
    except (OSError, zipfile.BadZipFile) as exc:
        raise RECORDING_INVALID.error(file=path.name, problem=str(exc)) from exc


def _parsed(path: Path, lines: Iterator[bytes]) -> NDArray[np.float64]:
    first = next(lines, None)
    if first is None:
        return np.empty((0, 3), np.float64)
    try:
        rows = np.loadtxt(chain((first,), lines), delimiter=",", ndmin=2)
    except ValueError as exc:
        raise RECORDING_INVALID.error(file=path.name, problem=str(exc)) from exc
    if rows.shape[1] != 3:  # noqa: PLR2004 - time, bid, ask
        raise RECORDING_INVALID.error(file=path.name, problem=f"{rows.shape[1]} columns, not 3")
    return rows


def _digits_of(path: Path) -> int:
    """As many decimals as the first prices have at most."""
    with _lines(path) as lines:
        prices = [
            price for line in islice(lines, LINES_PER_READ) for price in line.split(b",")[1:]
        ]
    decimals = (len(price.strip().partition(b".")[2].rstrip(b"0")) for price in prices)
    return min(DIGITS_MAX, max(decimals, default=0))
