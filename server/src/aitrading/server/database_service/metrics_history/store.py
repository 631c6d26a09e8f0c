"""Points in ClickHouse, which rolls them up and forgets them by itself."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from typing_extensions import override

from aitrading.server.database_service.clickhouse.native import Column, encode_block
from aitrading.server.database_service.clickhouse.port import ClickHouse, Rows
from aitrading.server.database_service.metrics_history.growth import Part, Point, Reached
from aitrading.server.database_service.metrics_history.port import (
    STEP_LAYOUT,
    PointStore,
    Resolution,
    StepsQuestion,
)
from aitrading.server.kit.queries import Queries

LABEL: Final = "metrics"
INTO: Final = "market.metric_points (series, part, at_s, amount, reached)"
_COUNT: Final = np.dtype([("n", "<u8")])
_REACHED: Final = np.dtype([("series", "<i8"), ("part", "<i2"), ("at_s", "<i8"), ("value", "<f8")])
_SQL: Final = Queries.load(__package__ or "", "store.sql")
_STEPS: Final = {
    Resolution.SAMPLES: _SQL["steps_of_samples"],
    Resolution.FIVE_MINUTES: _SQL["steps_of_five_minutes"],
    Resolution.HOURS: _SQL["steps_of_hours"],
}


class ClickHousePointStore(PointStore):
    """A crash of the machine may lose the newest points: they are no evidence, nothing is fsynced."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    @override
    async def write(self, at_s: int, points: Sequence[Point]) -> None:
        rows = sorted(points)
        columns = (
            Column("series", "Int64", np.array([each.series for each in rows], "<i8")),
            Column("part", "Int16", np.array([each.part for each in rows], "<i2")),
            Column("at_s", "Int64", np.full(len(rows), at_s, "<i8")),
            Column("amount", "Float64", np.array([each.amount for each in rows], "<f8")),
            Column("reached", "Float64", np.array([each.reached for each in rows], "<f8")),
        )
        await self._clickhouse.insert(INTO, encode_block(columns, len(rows)), label=LABEL)

    @override
    async def holds(self, series: int, at_s: int) -> bool:
        rows = await self._clickhouse.select(
            _SQL["holds"], _COUNT, {"series": series, "at_s": at_s}, after_writes=True
        )
        return bool(rows["n"][0])

    @override
    async def reached(self, since_s: int) -> dict[Part, Reached]:
        rows = await self._clickhouse.select(
            _SQL["reached"], _REACHED, {"since_s": since_s}, after_writes=True
        )
        return {
            (series, part): Reached(at_s, value) for series, part, at_s, value in rows.tolist()
        }

    @override
    async def steps(self, question: StepsQuestion) -> Rows:
        return await self._clickhouse.select(
            _STEPS[question.resolution],
            STEP_LAYOUT,
            {
                "series": list(question.series),
                "from_s": question.from_s,
                "to_s": question.to_s,
                "step_s": question.step_s,
                "limit": question.limit,
            },
        )

    @override
    async def forget(self, now_s: int) -> None:
        """The tables' own TTL does."""
