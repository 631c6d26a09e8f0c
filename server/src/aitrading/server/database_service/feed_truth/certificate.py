"""Holding what a device counted of a day against what is stored; pure."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec
import numpy as np
from numpy.typing import NDArray

from aitrading.core.domain.stream_days import DayTotal, total_of
from aitrading.server.database_service.clickhouse.port import Rows

EXAMPLES_MAX: Final = 20
"""Most ranges of sequences named in one finding."""
Words = NDArray[np.uint64]


class Completeness(StrEnum):
    """What a certificate says of a day."""

    COMPLETE = "COMPLETE"
    INCOMPLETE = "INCOMPLETE"
    OPEN = "OPEN"
    """The day still runs; what was counted so far is stored."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as the device counted it."""

    what: str
    """`missing`, `doubled`, `altered`, `uncounted` or `unexpected`."""
    ticks: int
    sequences: tuple[tuple[int, int], ...] = ()
    """Where, as far as that can be told; at most the first 20 ranges."""
    text: str = ""


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What the device said."""

    ticks: int
    digest: str
    last_sequence: int
    counted_from: int
    is_over: bool


@dataclass(frozen=True)
class Replaced:
    """Sequences of a stream that were lost, and whose ticks came again under later numbers."""

    stream: UUID
    first: int
    repair_stream: UUID
    repair_first: int
    repair_last: int

    @classmethod
    def of(cls, gap: Any) -> "Replaced | None":
        """A repaired gap that was counted before it was lost; None for any other."""
        first, last, came = gap["first_sequence"], gap["last_sequence"], gap["repair_first"]
        if gap["repaired_at"] is None or None in {first, came}:
            return None
        if gap["repair_last"] - came != last - first:
            return None
        return cls(gap["stream_id"], first, gap["repair_stream"], came, gap["repair_last"])


@dataclass
class StoredDay:
    """Rows of one stream and day, added page by page; memory is 8 bytes a tick."""

    counted: Counted | None
    sequences: list[Words] = field(default_factory=list)
    total: DayTotal = field(default_factory=DayTotal)
    quarantined: int = 0
    replaced: list[Words] = field(default_factory=list)
    """Lost sequences whose ticks are here under others: the device counted them twice."""

    def replace(self, rows: Rows, gap: Replaced) -> None:
        """Let rows that repaired a gap stand for what was lost, too."""
        if self.counted is None or not len(rows):
            return
        _, once = np.unique(rows["sequence"], return_index=True)
        rows = rows[once]
        lost = rows["sequence"].astype(np.int64) - gap.repair_first + gap.first
        was_counted = lost >= self.counted.counted_from
        was_counted &= lost <= self.counted.last_sequence
        rows, sequences = rows[was_counted], lost[was_counted].astype(np.uint64)
        self.replaced.append(sequences)
        self.total = self.total.plus(_total(sequences, rows))

    @property
    def counted_once(self) -> int | None:
        """What the device counted, without what it counted a second time when it came again."""
        if self.counted is None:
            return None
        return self.counted.ticks - sum(len(part) for part in self.replaced)

    def add(self, rows: Rows) -> None:
        """Count further rows; a second copy of a sequence counts in `sequences` alone."""
        sequences = rows["sequence"].astype(np.uint64)
        if self.counted is not None:
            wanted = sequences <= np.uint64(self.counted.last_sequence)
            wanted &= sequences >= np.uint64(self.counted.counted_from)
            rows, sequences = rows[wanted], sequences[wanted]
        self.sequences.append(sequences)
        _, first = np.unique(sequences, return_index=True)
        if self.sequences[:-1]:
            known = np.concatenate(self.sequences[:-1])
            first = first[~np.isin(sequences[first], known)]
        rows, sequences = rows[first], sequences[first]
        self.quarantined += int(np.count_nonzero(rows["doubt"]))
        self.total = self.total.plus(_total(sequences, rows))

    def findings(self, holes: list[tuple[int, int]], stored_through: int) -> list[Finding]:
        """What is wrong; `holes` are what the ledger of the stream lacks below `stored_through`.

        While the day runs, ticks above that are on their way and no finding.
        """
        every = np.sort(np.concatenate(self.sequences)) if self.sequences else np.zeros(0, "<u8")
        alone, copies = np.unique(every, return_counts=True)
        found: list[Finding] = []
        if len(alone) < len(every):
            doubled = alone[copies > 1]
            found.append(
                Finding(what="doubled", ticks=len(every) - len(alone), sequences=runs(doubled))
            )
        counted, expected = self.counted, self.counted_once
        if counted is None or expected is None:
            text = "the device told no count of this day"
            return [*found, Finding(what="uncounted", ticks=len(alone), text=text)]
        on_the_way = 0 if counted.is_over else max(0, counted.last_sequence - stored_through)
        if 0 < expected - len(alone) <= on_the_way:
            return found
        if len(alone) < expected:
            where = _missing(np.sort(np.concatenate([alone, *self.replaced])), holes, counted)
            found.append(Finding(what="missing", ticks=expected - len(alone), sequences=where))
        elif len(alone) > expected:
            text = "more is stored than the device counted"
            found.append(Finding(what="unexpected", ticks=len(alone) - expected, text=text))
        elif self.total.digest != counted.digest:
            text = "as many ticks as counted, and at least one of them differs in a digit"
            found.append(Finding(what="altered", ticks=0, text=text))
        return found

    @property
    def stored(self) -> int:
        """Rows, copies included."""
        return sum(len(part) for part in self.sequences)


def state_of(counted: Counted | None, findings: list[Finding], *, open_gaps: int) -> Completeness:
    """A day is complete when it is over and nothing is wrong or known to be missing."""
    if findings or open_gaps or counted is None:
        return Completeness.INCOMPLETE
    return Completeness.COMPLETE if counted.is_over else Completeness.OPEN


def runs(sequences: NDArray[Any]) -> tuple[tuple[int, int], ...]:
    """Ascending numbers as the first ranges of them."""
    if not len(sequences):
        return ()
    breaks = np.flatnonzero(np.diff(sequences.astype(np.int64)) > 1)
    starts = np.concatenate(([0], breaks + 1))[:EXAMPLES_MAX]
    ends = np.concatenate((breaks, [len(sequences) - 1]))[:EXAMPLES_MAX]
    return tuple(
        (int(sequences[low]), int(sequences[high])) for low, high in zip(starts, ends, strict=True)
    )


def _total(sequences: Words, rows: Rows) -> DayTotal:
    prices = (rows["bid"], rows["bid"] + rows["spread"], rows["last"])
    return total_of(sequences, rows["event_ms"], prices, rows["flags"])


def _missing(
    here: NDArray[Any], holes: list[tuple[int, int]], counted: Counted
) -> tuple[tuple[int, int], ...]:
    """Between the day's first and last tick that is here, and what the ledger knows to be missing."""
    gaps = [
        hole
        for hole in holes
        if hole[0] <= counted.last_sequence and not np.isin(np.uint64(hole[0]), here)
    ]
    if len(here):
        steps = np.flatnonzero(np.diff(here.astype(np.int64)) > 1)
        gaps += [(int(here[at]) + 1, int(here[at + 1]) - 1) for at in steps[:EXAMPLES_MAX]]
    return tuple(sorted(set(gaps)))[:EXAMPLES_MAX]
