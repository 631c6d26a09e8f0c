"""`/api/v1/metrics/history`: what the service's metrics were, for operators."""

import re
from typing import Final

import msgspec

from aitrading.core.kit.clock import Clock
from aitrading.core.security.claims import Scope
from aitrading.server.database_service.guards import Guards
from aitrading.server.database_service.metrics_history.sampler import SERVICE
from aitrading.server.database_service.metrics_history.steps import Step, steps_of
from aitrading.server.database_service.metrics_history.store import MAX_SAMPLES, SampleStore
from aitrading.server.database_service.operators import OPERATOR_NEEDED, Operators
from aitrading.server.database_service.ticks.rendering import LATEST_MS, ms_of_rfc3339
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import QueryField, endpoint, scope
from aitrading.server.kit.http_errors import REQUEST_INVALID

HOUR_MS: Final = 3_600_000
DEFAULT_STEP_S: Final = 60
MAX_STEP_S: Final = 86_400
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,127}", re.ASCII)


class MetricHistory(msgspec.Struct, frozen=True, kw_only=True):
    """Steps in order; `cut` when the question covered more samples than one answer may."""

    service: str
    name: str
    step_s: int
    cut: bool
    items: tuple[Step, ...]


class HistoryEndpoints:
    """Metrics concern every organisation, so only operators see them."""

    def __init__(
        self, store: SampleStore, guards: Guards, operators: Operators, clock: Clock
    ) -> None:
        self._store = store
        self._guards = guards
        self._operators = operators
        self._clock = clock

    @endpoint(
        "GET",
        "/api/v1/metrics/history",
        access=scope(Scope.ADMIN),
        answer=MetricHistory,
        query=(
            QueryField(
                name="name", doc="A counter or gauge of the database service.", required=True
            ),
            QueryField(name="from", doc="Earliest moment, RFC 3339; default: an hour ago."),
            QueryField(name="to", doc="First moment that is too late, RFC 3339; default: now."),
            QueryField(name="step", doc=f"Seconds per step, 1 to {MAX_STEP_S}; default 60."),
        ),
        errors=(OPERATOR_NEEDED,),
    )
    async def history(self, call: Call) -> MetricHistory:
        """What a metric was, step by step."""
        await self._operators.require(call.token)
        name, step_s = call.query("name"), call.number("step", DEFAULT_STEP_S, MAX_STEP_S)
        if not _NAME.fullmatch(name):
            raise REQUEST_INVALID.error(reason="`name` is not the name of a metric")
        to_ms = _moment(call, "to", self._clock.now_ns() // 1_000_000 + 1)
        from_ms = _moment(call, "from", to_ms - HOUR_MS)
        async with self._guards.reads.slot():
            samples = await self._guards.clickhouse_reads.run(
                lambda: self._store.read(SERVICE, name, from_ms, to_ms)
            )
        return MetricHistory(
            service=SERVICE,
            name=name,
            step_s=step_s,
            cut=len(samples) == MAX_SAMPLES,
            items=tuple(steps_of(samples, step_s, counter=name.endswith("_total"))),
        )


def _moment(call: Call, name: str, default_ms: int) -> int:
    text = call.query_or(name, None)
    return default_ms if text is None else min(LATEST_MS, max(0, ms_of_rfc3339(name, text)))
