"""What the connector refuses or reports."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity

TERMINAL_UNAVAILABLE: Final = ErrorSpec(
    code="TERMINAL_UNAVAILABLE",
    category=Category.RETRYABLE,
    message="The terminal does not answer: {text} ({number}).",
    why="The terminal is not running, not logged in, or still starting.",
    remedy="Start the terminal and log in; the client connects again by itself.",
    http_status=503,
    severity=Severity.WARNING,
    impact=Impact.MARKET_DATA,
)
TERMINAL_SYMBOL_UNKNOWN: Final = ErrorSpec(
    code="TERMINAL_SYMBOL_UNKNOWN",
    category=Category.DENIED,
    message="The broker does not know the symbol {symbol}.",
    why="The name is spelt differently at this broker; suffixes and case count.",
    remedy="Compare with Market Watch in the terminal and correct `connector.symbols`.",
    http_status=404,
    severity=Severity.WARNING,
    impact=Impact.MARKET_DATA,
)
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
