"""ClickHouse's side: every statement about `market.metric_samples` is in this file."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from aitrading.server.database_service.clickhouse.port import ClickHouse
from aitrading.server.kit.queries import Queries

SAMPLE_LAYOUT: Final = np.dtype([("at_ms", "<i8"), ("value", "<f8")])
MAX_SAMPLES: Final = 200_000
"""Of one question: 30 days, one every 15 s, fit."""
_SQL: Final = Queries.load(__package__ or "", "history.sql")


class SampleStore:
    """Samples of metrics, exact to a thousandth."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    async def write(self, service: str, at_ms: int, values: Mapping[str, float]) -> None:
        """Store one sample of each; a crash of the machine may lose the newest."""
        await self._clickhouse.execute(
            _SQL["write"],
            {
                "service": service,
                "at_ms": at_ms,
                "names": ",".join(values),
                "thousandths": [round(value * 1_000) for value in values.values()],
            },
        )

    async def read(
        self, service: str, name: str, from_ms: int, to_ms: int
    ) -> list[tuple[int, float]]:
        """Moments and values in order, the first `MAX_SAMPLES`."""
        rows = await self._clickhouse.select(
            _SQL["read"],
            SAMPLE_LAYOUT,
            {
                "service": service,
                "name": name,
                "from_ms": from_ms,
                "to_ms": to_ms,
                "limit": MAX_SAMPLES,
            },
        )
        return [(int(row["at_ms"]), float(row["value"])) for row in rows]
