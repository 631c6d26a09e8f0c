"""Refusals of the domain types."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Impact

PRICE_NOT_REPRESENTABLE: Final = ErrorSpec(
    code="PRICE_NOT_REPRESENTABLE",
    category=Category.DENIED,
    message="{value} is not a price with {digits} digits that fits the wire.",
    why="The number has more decimals than the instrument, is not finite, or exceeds 32 bits of "
    "points.",
    remedy="Check the digits of the symbol; when the broker changed them, open a new epoch.",
    http_status=422,
    impact=Impact.MARKET_DATA,
)
AMOUNT_NOT_REPRESENTABLE: Final = ErrorSpec(
    code="AMOUNT_NOT_REPRESENTABLE",
    category=Category.DENIED,
    message="{value} is not an exact {kind}.",
    why="The text is not a plain decimal number, is not finite, or has too many digits.",
    remedy="Send a decimal string such as 0.10, without exponent, sign of infinity or spaces.",
    http_status=422,
)
CURRENCY_MISMATCH: Final = ErrorSpec(
    code="CURRENCY_MISMATCH",
    category=Category.DENIED,
    message="{left} and {right} cannot be added: they are different currencies.",
    why="Amounts of two currencies met without a conversion.",
    remedy="Convert one of them with a named rate first.",
    http_status=422,
)
INSTRUMENT_MALFORMED: Final = ErrorSpec(
    code="INSTRUMENT_MALFORMED",
    category=Category.DENIED,
    message="{field} of an instrument is malformed: expected {expected}, was {actual}.",
    why="The terminal reported a name or number outside what MetaTrader 5 allows.",
    remedy="Compare the symbol's properties in the terminal's Market Watch.",
    http_status=422,
)
TICKS_MALFORMED: Final = ErrorSpec(
    code="TICKS_MALFORMED",
    category=Category.FATAL,
    message="A batch of ticks is malformed: {field} expected {expected}, was {actual}.",
    why="Sender and receiver disagree about the layout of a row, or bytes were lost.",
    remedy="Compare the versions of both sides; the batch is not stored.",
    http_status=422,
    impact=Impact.MARKET_DATA,
)
CALENDAR_MALFORMED: Final = ErrorSpec(
    code="CALENDAR_MALFORMED",
    category=Category.DENIED,
    message="{what} of a trading calendar was not understood: {reason}.",
    why="A setting of the section `calendar`, or a calendar file, is not written as it should be.",
    remedy="Compare with `docs/explanation/feed-truth.md`; the calendar before stays in force.",
    http_status=422,
    impact=Impact.MARKET_DATA,
)
ALERT_RULE_MALFORMED: Final = ErrorSpec(
    code="ALERT_RULE_MALFORMED",
    category=Category.DENIED,
    message="The alert rule {rule} was not understood: {reason}.",
    why="`market_monitor.thresholds` (`ALERT_THRESHOLDS`) is not written as it should be.",
    remedy="Compare with `docs/how-to/market-alerts.md`; the rules before stay in force.",
    http_status=422,
)
