"""The real day whose bytes a tick is counted with, if somebody gave one."""

import csv
import io
import os
import zipfile
import zlib
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from aitrading.core.domain.market import TICK_DTYPE, TickArray
from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity

REAL_TICKS: Final = "AITRADING_REAL_TICKS"
NOT_GIVEN: Final = f"set {REAL_TICKS} to a zipped CSV of a day: ms,bid,ask"
"""Why a figure is absent that needs the day."""
DAY_MS: Final = 86_400_000
BEGAN_MS: Final = 1_700_006_400_000
POINTS_PER_PRICE: Final = 1_000
COLUMNS: Final = 3

REAL_TICKS_INVALID: Final = ErrorSpec(
    code="BENCH_REAL_TICKS_INVALID",
    category=Category.DENIED,
    message=f"The day of ticks that {REAL_TICKS} names, {{file}}, cannot be used: {{problem}}.",
    why="Bytes a tick are counted with a zip whose first file has a line `ms,bid,ask` for each tick of a day.",
    remedy=f"Let {REAL_TICKS} name such a zip, or unset it: the figure is then absent.",
    http_status=422,
    severity=Severity.WARNING,
    impact=Impact.NONE,
)


class GivenDay(NamedTuple):
    """A file somebody named, and its ticks."""

    path: Path
    rows: TickArray

    def bytes_per_tick(self, stored_bytes: float) -> float:
        """Raises `BENCH_REAL_TICKS_INVALID` for a day so short that the engine tells no size."""
        if not stored_bytes:
            count = len(self.rows)
            raise _invalid(
                self.path, f"{count} ticks are too few for the store to tell their size"
            )
        return stored_bytes / len(self.rows)


def given_day() -> GivenDay | None:
    """The day somebody named, None without one; raises `BENCH_REAL_TICKS_INVALID`."""
    given = os.environ.get(REAL_TICKS, "").strip()
    return GivenDay(Path(given), real_day(Path(given))) if given else None


def real_day(path: Path) -> TickArray:
    """Ticks of three digits; raises `BENCH_REAL_TICKS_INVALID`."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as raw:
            lines = list(csv.reader(io.TextIOWrapper(raw, "ascii")))
        table = np.array(lines, dtype=np.float64)
    except IndexError as exc:
        raise _invalid(path, "there is no file in the zip") from exc
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, csv.Error) as exc:
        raise _invalid(path, str(exc)) from exc
    if table.ndim != 2 or table.shape[1] != COLUMNS:  # noqa: PLR2004 - rows and columns
        raise _invalid(path, "its lines are not three numbers each")
    milliseconds, prices = table[:, 0], table[:, 1:]
    if not ((milliseconds >= 0) & (milliseconds < DAY_MS)).all():
        raise _invalid(path, f"a time is not from 0 to {DAY_MS - 1} ms")
    if not ((prices > 0) & np.isfinite(prices)).all():
        raise _invalid(path, "a price is not above 0")
    rows = np.zeros(len(table), TICK_DTYPE)
    rows["event_ms"] = BEGAN_MS + milliseconds.astype(np.int64)
    rows["bid"] = np.rint(prices[:, 0] * POINTS_PER_PRICE)
    rows["ask"] = np.rint(prices[:, 1] * POINTS_PER_PRICE)
    rows["flags"] = 6
    return rows


def _invalid(path: Path, problem: str) -> Exception:
    return REAL_TICKS_INVALID.error(file=path.name, problem=problem)
