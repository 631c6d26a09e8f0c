"""`/api/v1/metrics`: what the metrics of every service were, for operators and the host."""

import re
from typing import Final

from aitrading.core.security.claims import Scope
from aitrading.server.authority.installation import ADMIN_SERVICE
from aitrading.server.database_service.metrics_history.errors import (
    METRIC_ANSWER_TOO_LARGE,
    METRIC_LABELS_UNKNOWN,
    METRIC_RANGE_REFUSED,
    METRIC_SERVICE_UNKNOWN,
    METRIC_STEP_TOO_FINE,
    METRIC_UNKNOWN,
)
from aitrading.server.database_service.metrics_history.question import (
    MAX_POINTS,
    MAX_STEPS,
    QUANTILES,
    MetricQuestion,
)
from aitrading.server.database_service.metrics_history.reader import HistoryReader
from aitrading.server.database_service.metrics_history.shapes import (
    MetricHistory,
    MetricNames,
)
from aitrading.server.database_service.metrics_history.sources import SERVICE_NAME
from aitrading.server.database_service.operators import OPERATOR_NEEDED, Operators
from aitrading.server.database_service.ticks.rendering import LATEST_MS, ms_of_rfc3339
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import QueryField, endpoint, peers, scope
from aitrading.server.kit.http_errors import REQUEST_INVALID

HOST: Final = peers(ADMIN_SERVICE)
MAX_STEP_S: Final = 31 * 86_400
MAX_LABELS: Final = 8
MAX_QUANTILES: Final = 5
_PATH: Final = "/api/v1/metrics"
_HOST_PATH: Final = "/internal/v1/admin/metrics"
_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,127}", re.ASCII)
_SERVICE_FIELD: Final = QueryField(name="service", doc="One service, or leave it out for all.")
_QUERY: Final = (
    QueryField(name="name", doc="The metric.", required=True),
    _SERVICE_FIELD,
    QueryField(name="labels", doc="Values of labels: `route:/api/v1/ticks,status:5xx`."),
    QueryField(name="from", doc="Earliest moment, RFC 3339; default: an hour before `to`."),
    QueryField(name="to", doc="First moment that is too late, RFC 3339; default: now."),
    QueryField(
        name="step",
        doc=f"Seconds per step; chosen by the range when left out. At most {MAX_STEPS} steps and "
        f"{MAX_POINTS} points are given.",
    ),
    QueryField(
        name="quantiles",
        doc=f"Of a distribution, 1 to {MAX_QUANTILES} numbers between 0 and 1; default "
        + ",".join(f"{each:g}" for each in QUANTILES)
        + ".",
    ),
)
_REFUSALS: Final = (
    METRIC_UNKNOWN,
    METRIC_SERVICE_UNKNOWN,
    METRIC_LABELS_UNKNOWN,
    METRIC_RANGE_REFUSED,
    METRIC_STEP_TOO_FINE,
    METRIC_ANSWER_TOO_LARGE,
)


class HistoryEndpoints:
    """Metrics concern every organisation, so only operators and the host see them."""

    def __init__(self, reader: HistoryReader, operators: Operators) -> None:
        self._reader = reader
        self._operators = operators

    @endpoint(
        "GET",
        _PATH,
        access=scope(Scope.ADMIN),
        answer=MetricNames,
        query=(_SERVICE_FIELD,),
        errors=(OPERATOR_NEEDED, METRIC_SERVICE_UNKNOWN),
    )
    async def names(self, call: Call) -> MetricNames:
        """Every metric that was seen, by service."""
        await self._operators.require(call.token)
        return self._reader.names(_service_of(call))

    @endpoint(
        "GET",
        f"{_PATH}/history",
        access=scope(Scope.ADMIN),
        answer=MetricHistory,
        query=_QUERY,
        errors=(OPERATOR_NEEDED, *_REFUSALS),
    )
    async def history(self, call: Call) -> MetricHistory:
        """What a metric was, step by step; a service that was not read has a gap."""
        await self._operators.require(call.token)
        return await self._reader.history(question_of(call))


class HostHistoryEndpoints:
    """For the administrator of the host."""

    def __init__(self, reader: HistoryReader) -> None:
        self._reader = reader

    @endpoint(
        "GET",
        _HOST_PATH,
        access=HOST,
        answer=MetricNames,
        query=(_SERVICE_FIELD,),
        errors=(METRIC_SERVICE_UNKNOWN,),
    )
    async def names(self, call: Call) -> MetricNames:
        """Every metric that was seen, by service."""
        return self._reader.names(_service_of(call))

    @endpoint(
        "GET",
        f"{_HOST_PATH}/history",
        access=HOST,
        answer=MetricHistory,
        query=_QUERY,
        errors=_REFUSALS,
    )
    async def history(self, call: Call) -> MetricHistory:
        """What a metric was, step by step; a service that was not read has a gap."""
        return await self._reader.history(question_of(call))


def question_of(call: Call) -> MetricQuestion:
    """Read the query completely; raises `REQUEST_INVALID` and names the parameter."""
    name = call.query("name")
    if not _NAME.fullmatch(name):
        raise REQUEST_INVALID.error(reason="`name` is not the name of a metric")
    step = call.query_or("step", None)
    return MetricQuestion(
        name=name,
        service=_service_of(call),
        labels=_labels(call.query_or("labels", "")),
        from_s=_moment(call, "from"),
        to_s=_moment(call, "to"),
        step_s=None if step is None else call.number("step", 1, MAX_STEP_S),
        quantiles=_quantiles(call.query_or("quantiles", "")),
    )


def _service_of(call: Call) -> str | None:
    service = call.query_or("service", None)
    if service is not None and not SERVICE_NAME.fullmatch(service):
        raise REQUEST_INVALID.error(reason="`service` is not the name of a service")
    return service


def _moment(call: Call, name: str) -> int | None:
    text = call.query_or(name, None)
    return None if text is None else min(LATEST_MS, max(0, ms_of_rfc3339(name, text))) // 1_000


def _labels(text: str) -> dict[str, str]:
    parts = [part.partition(":") for part in text.split(",") if part]
    if len(parts) > MAX_LABELS or any(not name or not colon for name, colon, _ in parts):
        raise REQUEST_INVALID.error(reason="`labels` is not of the form label:value,label:value")
    return {name: value for name, _, value in parts}


def _quantiles(text: str) -> tuple[float, ...]:
    if not text:
        return QUANTILES
    try:
        shares = tuple(float(part) for part in text.split(","))
    except ValueError:
        shares = ()
    if not 1 <= len(shares) <= MAX_QUANTILES or not all(0 < share < 1 for share in shares):
        raise REQUEST_INVALID.error(
            reason=f"`quantiles` is not 1 to {MAX_QUANTILES} numbers between 0 and 1"
        )
    return shares
