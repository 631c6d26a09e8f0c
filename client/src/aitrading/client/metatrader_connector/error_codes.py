"""What the connector refuses or reports."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity

JOURNAL_STATE_UNREADABLE: Final = ErrorSpec(
    code="JOURNAL_STATE_UNREADABLE",
    category=Category.FATAL,
    message="The client's stream state {path} cannot be read.",
    why="The file was damaged or belongs to another version of the client.",
    remedy="Move the file away: the client opens new epochs and repeats nothing. Keep the file "
    "for support.",
    impact=Impact.MARKET_DATA,
)
STREAMS_FULL: Final = ErrorSpec(
    code="STREAMS_FULL",
    category=Category.DENIED,
    message="The client holds {count} streams; the limit is {limit}.",
    why="Too many symbols are selected, or many old epochs wait to be sent.",
    remedy="Select fewer symbols, or let the client reach the server to empty its spool.",
    http_status=409,
    severity=Severity.WARNING,
)
