"""Points in PostgreSQL, for installations that have no other store.

A row holds the points of everybody at one moment, or of one whole step: PostgreSQL compresses long
values and nothing else. Whole steps are made by the write that comes after their end; the steps
that are not over are made of points when somebody asks.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from typing_extensions import override

from aitrading.server.database_service.clickhouse.port import Rows
from aitrading.server.database_service.metrics_history.growth import Part, Point, Reached
from aitrading.server.database_service.metrics_history.port import (
    STEP_LAYOUT,
    PointStore,
    Resolution,
    StepsQuestion,
)
from aitrading.server.kit.postgres import PostgresPool
from aitrading.server.kit.queries import Queries

_SQL: Final = Queries.load(__package__ or "", "store_postgres.sql")
_STEPS: Final = {
    Resolution.SAMPLES: _SQL["steps_of_samples"],
    Resolution.FIVE_MINUTES: _SQL["steps_of_five_minutes"],
    Resolution.HOURS: _SQL["steps_of_hours"],
}
_FORGET: Final = {
    Resolution.SAMPLES: _SQL["forget_samples"],
    Resolution.FIVE_MINUTES: _SQL["forget_five_minutes"],
    Resolution.HOURS: _SQL["forget_hours"],
}


class PostgresPointStore(PointStore):
    """A moment that is written again changes nothing. Moments come in their order."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    @override
    async def write(self, at_s: int, points: Sequence[Point]) -> None:
        rows = sorted(points)  # numbers of one series side by side compress best
        async with self._pool.platform_tx() as tx:
            await tx.execute(
                _SQL["write"],
                at_s,
                [each.series for each in rows],
                [each.part for each in rows],
                [each.amount for each in rows],
                [each.reached for each in rows],
            )
            await tx.execute(_SQL["roll_up_five_minutes"], at_s)
            await tx.execute(_SQL["roll_up_hours"], at_s)

    @override
    async def holds(self, series: int, at_s: int) -> bool:
        async with self._pool.platform_read() as tx:
            return bool(await tx.fetch_value(_SQL["holds"], series, at_s))

    @override
    async def reached(self, since_s: int) -> dict[Part, Reached]:
        async with self._pool.platform_read() as tx:
            rows = await tx.fetch(_SQL["reached"], since_s)
        return {(row["series"], row["part"]): Reached(row["at_s"], row["value"]) for row in rows}

    @override
    async def steps(self, question: StepsQuestion) -> Rows:
        async with self._pool.platform_read() as tx:
            found = await tx.fetch(
                _STEPS[question.resolution],
                list(question.series),
                question.from_s,
                question.to_s,
                question.step_s,
                question.limit,
            )
        rows = np.zeros(len(found), STEP_LAYOUT)
        for name in STEP_LAYOUT.names or ():
            rows[name] = [row[name] for row in found]
        return rows

    @override
    async def forget(self, now_s: int) -> None:
        for resolution, statement in _FORGET.items():
            async with self._pool.platform_tx() as tx:
                await tx.execute(statement, now_s - resolution.value.kept_s)
