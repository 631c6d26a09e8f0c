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
SYMBOL_SILENT: Final = ErrorSpec(
    code="TERMINAL_SYMBOL_SILENT",
    category=Category.RETRYABLE,
    message="The terminal gives no ticks of {symbol}: {text} ({number}).",
    why="The symbol is hidden, not synchronised yet, or the terminal cannot read its history.",
    remedy="Show the symbol in Market Watch and open a chart of it. It is asked for again by itself, "
    "and what came meanwhile is taken from the terminal's history; other symbols go on.",
    http_status=503,
    severity=Severity.WARNING,
    impact=Impact.MARKET_DATA,
)
SYMBOL_WITHOUT_TICK: Final = ErrorSpec(
    code="TERMINAL_SYMBOL_WITHOUT_TICK",
    category=Category.RETRYABLE,
    message="There has been no tick of {symbol} yet.",
    why="The terminal was just started, or nobody trades now; no symbol tells the broker's time.",
    remedy="Nothing to do: it is collected from its first tick on.",
    http_status=503,
    severity=Severity.INFO,
    impact=Impact.MARKET_DATA,
)
