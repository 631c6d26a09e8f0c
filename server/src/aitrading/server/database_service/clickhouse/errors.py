"""What can go wrong between the service and ClickHouse; no row data gets into a message."""

from typing import Final

from aitrading.core.kit.errors import AitradingError, Category, ErrorSpec, Impact, Severity

CLICKHOUSE_UNAVAILABLE: Final = ErrorSpec(
    code="CLICKHOUSE_UNAVAILABLE",
    category=Category.RETRYABLE,
    message="ClickHouse is not usable: {reason}.",
    why="The engine is stopping, its folder is locked, or the server is cut off.",
    remedy="Nothing was lost; ticks wait in the spool. `aitrading status` tells how it is.",
    http_status=503,
    impact=Impact.MARKET_DATA,
)
CLICKHOUSE_NOT_HERE: Final = ErrorSpec(
    code="CLICKHOUSE_NOT_HERE",
    category=Category.DENIED,
    message="ClickHouse is a server given by URL; its files cannot be backed up from here.",
    why="A backup without it would look whole and could not be restored.",
    remedy="Use that server's own BACKUP together with the other parts, while the platform is down.",
    http_status=409,
    severity=Severity.WARNING,
)
CLICKHOUSE_NOT_USED: Final = ErrorSpec(
    code="CLICKHOUSE_NOT_USED",
    category=Category.DENIED,
    message="This installation has no ClickHouse.",
    why="It keeps everything in PostgreSQL (`stores.postgres_alone`); this needs more.",
    remedy="Install with ClickHouse for it; see `docs/explanation/stores.md`.",
    http_status=409,
    severity=Severity.INFO,
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
    remedy="Free space on the disk of AITRADING_HOME (delete nothing inside), or ask for less at once.",
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

_TOO_SLOW: Final = frozenset({159, 160})
_OUT_OF_RESOURCES: Final = frozenset({158, 173, 241, 243, 252, 307, 396})
_UNAVAILABLE: Final = frozenset({0, 76, 202, 210, 236, 279, 394, 733})


def error_of(number: int, *, limit_s: int) -> AitradingError:
    """The platform's error for one of ClickHouse's numbers; 0 when it gave none."""
    if number in _TOO_SLOW:
        return CLICKHOUSE_TOO_SLOW.error(limit_s=limit_s)
    if number in _OUT_OF_RESOURCES:
        return CLICKHOUSE_OUT_OF_RESOURCES.error(number=number)
    if number in _UNAVAILABLE:
        return CLICKHOUSE_UNAVAILABLE.error(reason=f"code {number}")
    return CLICKHOUSE_REJECTED.error(number=number)
