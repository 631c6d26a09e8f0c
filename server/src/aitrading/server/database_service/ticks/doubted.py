"""Ticks in quarantine, counted by stream, day of receipt and reason."""

from collections import Counter
from collections.abc import Iterable
from datetime import date
from typing import NamedTuple
from uuid import UUID

import msgspec
import numpy as np

from aitrading.core.domain.market import TICK_DTYPE
from aitrading.core.domain.tick_doubts import counts_of
from aitrading.server.database_service.ticks.blocks import Piece, received_day


class DoubtedDay(NamedTuple):
    """What is counted together."""

    tenant: UUID
    stream: UUID
    day: int
    """Days since 1970, by the bridge's clock."""
    reason: str


class QuarantinedDay(msgspec.Struct, frozen=True, kw_only=True):
    """How many ticks of a stream went into quarantine on a day of receipt (UTC)."""

    day: date
    symbol: str
    device: UUID
    stream: UUID
    ticks: int
    reasons: dict[str, int]
    """Ticks by reason; a tick with several counts for the first."""


class QuarantinePage(msgspec.Struct, frozen=True, kw_only=True):
    """The newest day first."""

    items: list[QuarantinedDay]
    next_cursor: str | None


def doubted_days(pieces: Iterable[Piece]) -> dict[DoubtedDay, int]:
    """How many rows of these pieces the bridge did not believe."""
    counts: Counter[DoubtedDay] = Counter()
    for piece in pieces:
        doubts = np.frombuffer(piece.rows(), TICK_DTYPE)["doubt"]
        if not doubts.any():
            continue
        header = piece.header
        for doubt, ticks in counts_of(doubts).items():
            day = DoubtedDay(header.tenant, header.stream, received_day(header), str(doubt.name))
            counts[day] += ticks
    return dict(counts)
