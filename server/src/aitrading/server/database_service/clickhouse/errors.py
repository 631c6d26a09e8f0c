"""What can go wrong between the service and ClickHouse; no row data gets into a message."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity

CLICKHOUSE_UNAVAILABLE: Final = ErrorSpec(
    code="CLICKHOUSE_UNAVAILABLE",
    category=Category.RETRYABLE,
    message="ClickHouse is not usable: {reason}.",
    why="The engine is stopping, its folder is locked, or the server is cut off.",
    remedy="Nothing was lost; ticks wait in the spool. `aitrading status` tells how it is.",
    http_status=503,
    impact=Impact.MARKET_DATA,
)
CLICKHOUSE_TOO_SLOW: Final = ErrorSpec(
    code="CLICKHOUSE_TOO_SLOW",
    category=Category.RETRYABLE,
    message="ClickHouse gave up after {limit_s} s.",
    why="The question covers too much, or the machine is overloaded.",
    remedy="Ask for a shorter time, or try again later.",
    http_status=504,
    severity=Severity.WARNING,
)
CLICKHOUSE_OUT_OF_RESOURCES: Final = ErrorSpec(
    code="CLICKHOUSE_OUT_OF_RESOURCES",
    category=Category.RETRYABLE,
    message="ClickHouse has run out of memory or disk space (code {number}).",
    why="The disk is full, or too much is asked at the same time.",
    remedy="Free disk space under the home's `clickhouse` folder, or ask for less at once.",
    http_status=503,
    severity=Severity.CRITICAL,
    impact=Impact.MARKET_DATA,
)
CLICKHOUSE_REJECTED: Final = ErrorSpec(
    code="CLICKHOUSE_REJECTED",
    category=Category.FATAL,
    message="ClickHouse rejected a statement (code {number}).",
    why="Program and schema do not fit together, or the stored data is damaged.",
    remedy="Check that all migrations ran (`aitrading doctor --databases`), then report it.",
    impact=Impact.MARKET_DATA,
)
