"""What the client counted and lost, told to the server in the order of its importance."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Final
from uuid import UUID

from aitrading.client.metatrader_connector.gap_ledger import GapRecord
from aitrading.client.metatrader_connector.journal import TickJournal
from aitrading.core.domain.stream_days import DAY_MS
from aitrading.core.kit.clock import NS_PER_S, Clock, now_ms
from aitrading.core.protocol.link.messages import (
    DAY_MAX,
    DAYS_PER_FRAME_MAX,
    GAPS_PER_FRAME_MAX,
    Days,
    DaySummary,
    FeedNote,
    GapNote,
    Gaps,
    RepairDone,
)
from aitrading.core.protocol.link.session import ClientSession

DAYS_EVERY_NS: Final = 15 * NS_PER_S
"""How often running days are told: longer than ticks are on their way to the server's store."""
OVER_AFTER_MS: Final = 300_000
"""How long after midnight (UTC) a day's ticks may still be on their way from the terminal."""
TOLD_REPAIRS_MAX: Final = 256
WHY_CHARS_MAX: Final = 200
"""A terminal's own words may be long; a frame that says more than the server takes ends the link."""


class FeedTruth:
    """Remembers what this connection was told; a new one is told everything again."""

    def __init__(self, journal: TickJournal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._days: dict[tuple[UUID, int], DaySummary] = {}
        self._days_told_ns: int | None = None
        self._gaps: set[GapRecord] = set()
        self._repairs: dict[UUID, RepairDone] = {}
        self._unsaid: set[UUID] = set()
        self.silent: Callable[[], Mapping[UUID, str]] = dict[UUID, str]
        """Streams without ticks, and why."""
        self._silent: dict[UUID, str] = {}

    def forget(self) -> None:
        """The connection is gone."""
        self._days.clear()
        self._days_told_ns = None
        self._gaps.clear()
        self._silent.clear()
        self._unsaid = set(self._repairs)

    def repaired(self, done: RepairDone) -> None:
        """Say this with the next round, and again after every loss of the connection."""
        self._repairs.pop(done.gap, None)
        self._repairs[done.gap] = done
        while len(self._repairs) > TOLD_REPAIRS_MAX:
            self._unsaid.discard(next(iter(self._repairs)))
            self._repairs.pop(next(iter(self._repairs)))
        self._unsaid.add(done.gap)

    def tell(self, session: ClientSession, handles: Mapping[UUID, int]) -> None:
        """Send what changed, one frame of each kind."""
        now_ns, told_ns = self._clock.monotonic_ns(), self._days_told_ns
        changed: list[tuple[tuple[UUID, int], DaySummary]] = []
        if told_ns is None or now_ns - told_ns >= DAYS_EVERY_NS:
            changed = list(islice(self._changed_days(handles), DAYS_PER_FRAME_MAX))
        if changed:
            self._days_told_ns = now_ns if len(changed) < DAYS_PER_FRAME_MAX else None
            session.tell_days(Days(days=tuple(summary for _, summary in changed)))
            self._days |= dict(changed)
        gaps = [gap for gap in self._journal.gaps.newest if gap not in self._gaps]
        gaps = gaps[:GAPS_PER_FRAME_MAX]
        repairs = [self._repairs[gap] for gap in list(self._unsaid)[:GAPS_PER_FRAME_MAX]]
        feeds = self._news_of_silence(handles)
        if gaps or repairs or feeds:
            told = Gaps(gaps=tuple(map(_note, gaps)), repaired=tuple(repairs), feeds=feeds)
            session.tell_gaps(told)
            self._gaps = self._gaps.union(gaps).intersection(self._journal.gaps.newest)
            self._unsaid -= {done.gap for done in repairs}

    def _news_of_silence(self, handles: Mapping[UUID, int]) -> tuple[FeedNote, ...]:
        """Why streams are silent, where that changed; nothing for those that give ticks again."""
        now = self.silent()
        changed = {
            stream: now.get(stream, "")
            for stream in handles.keys() & (now.keys() | self._silent.keys())
            if now.get(stream, "") != self._silent.get(stream, "")
        }
        said = dict(islice(changed.items(), GAPS_PER_FRAME_MAX))
        self._silent |= said
        return tuple(
            FeedNote(handle=handles[one], why=why[:WHY_CHARS_MAX]) for one, why in said.items()
        )

    def _changed_days(
        self, handles: Mapping[UUID, int]
    ) -> Iterator[tuple[tuple[UUID, int], DaySummary]]:
        today_ms = now_ms(self._clock)
        for stream in self._journal.streams:
            handle = handles.get(stream.id)
            if handle is None:
                continue
            for day, total in stream.days.items():
                if not 0 <= day <= DAY_MAX:
                    continue  # its terminal's clock was broken
                known = self._days.get((stream.id, day))
                is_over = today_ms >= (day + 1) * DAY_MS + OVER_AFTER_MS
                if known and (known.ticks, known.is_over) == (total.ticks, is_over):
                    continue
                summary = DaySummary(
                    handle=handle,
                    day=day,
                    ticks=total.ticks,
                    digest=total.digest,
                    last_sequence=stream.next_sequence - 1,
                    counted_from=stream.counted_from,
                    is_over=is_over,
                )
                yield (stream.id, day), summary


def _note(gap: GapRecord) -> GapNote:
    return GapNote(
        stream=gap.stream,
        reason=gap.reason,
        noticed_ns=gap.noticed_ns,
        first=gap.first_missing,
        last=gap.last_missing,
        from_ms=gap.from_ms,
        until_ms=gap.until_ms,
    )
