"""What is needed of a store of points, whichever it is.

Points are kept as they were read for a short time, and rolled up by the store itself into steps of
five minutes and of an hour, which stay longer. All three answer the same question.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple, Protocol

import numpy as np

from aitrading.server.database_service.clickhouse.port import Rows
from aitrading.server.database_service.metrics_history.growth import Part, Point, Reached

HOUR_S: Final = 3_600
DAY_S: Final = 86_400
STEP_LAYOUT: Final = np.dtype(
    [
        ("series", "<i8"),
        ("part", "<i2"),
        ("begins_s", "<i8"),
        ("samples", "<i8"),
        ("total", "<f8"),
        ("low", "<f8"),
        ("high", "<f8"),
        ("last", "<f8"),
    ]
)
"""One step of one part: how many points, the sum of their amounts, the least and the greatest
amount, and what was reached last."""


class Grain(NamedTuple):
    """How fine points are kept, and how long."""

    name: str
    step_s: int
    kept_s: int


class Resolution(Enum):
    """From fine to coarse; a question takes the coarsest that answers it."""

    SAMPLES = Grain("samples", 1, 2 * DAY_S)
    FIVE_MINUTES = Grain("5m", 300, 30 * DAY_S)
    HOURS = Grain("1h", HOUR_S, 400 * DAY_S)


@dataclass(frozen=True, kw_only=True)
class StepsQuestion:
    """Which steps of which series; both moments are whole steps."""

    series: Sequence[int]
    resolution: Resolution
    from_s: int
    to_s: int
    step_s: int
    limit: int


class PointStore(Protocol):
    """Keeps points and rolls them up."""

    async def write(self, at_s: int, points: Sequence[Point]) -> None:
        """Store the points of one moment, all or none; each part at most once."""
        ...

    async def holds(self, series: int, at_s: int) -> bool:
        """Whether the points of a moment are stored, also when `write` said nothing or failed."""
        ...

    async def reached(self, since_s: int) -> dict[Part, Reached]:
        """The newest of each part since a moment."""
        ...

    async def steps(self, question: StepsQuestion) -> Rows:
        """Rows of `STEP_LAYOUT` by series, part and time; steps without a point have none."""
        ...

    async def forget(self, now_s: int) -> None:
        """Remove what is kept no longer, where the store does not by itself."""
        ...
