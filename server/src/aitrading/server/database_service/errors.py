"""What the database service refuses."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity

SEGMENT_QUARANTINED: Final = ErrorSpec(
    code="SEGMENT_QUARANTINED",
    category=Category.FATAL,
    message="The segment {segment} can never be stored ({cause}) and was set aside.",
    why="Its bytes are damaged, or its ticks belong to streams that nobody opened.",
    remedy="Keep the sender's copy aside and go on; `aitrading quarantine list` and `open` show the "
    "copy.",
    http_status=422,
    impact=Impact.MARKET_DATA,
)
SEGMENT_MISNAMED: Final = ErrorSpec(
    code="SEGMENT_MISNAMED",
    category=Category.FATAL,
    message="The segment calls itself {actual}, the request calls it {expected}.",
    why="Files of the spool were mixed up.",
    remedy="Send each segment under its own name.",
    http_status=422,
    impact=Impact.MARKET_DATA,
)
SEGMENT_CONFLICT: Final = ErrorSpec(
    code="SEGMENT_CONFLICT",
    category=Category.FATAL,
    message="Another segment named {segment} was stored before.",
    why="A spool was restored from a backup, or two bridges use one spool.",
    remedy="Give each bridge a spool of its own.",
    http_status=422,
    impact=Impact.MARKET_DATA,
)
SEGMENT_RECORD_UNKNOWN: Final = ErrorSpec(
    code="SEGMENT_RECORD_UNKNOWN",
    category=Category.FATAL,
    message="The segment has a record of kind {kind} with rows of {row_bytes} bytes.",
    why="Bridge and database service are of different versions.",
    remedy="Update the older one, then restore the segment.",
    http_status=422,
    impact=Impact.MARKET_DATA,
)
STREAM_UNKNOWN: Final = ErrorSpec(
    code="STREAM_UNKNOWN",
    category=Category.FATAL,
    message="The segment has ticks of {count} streams that were never opened, first {stream}.",
    why="The sender did not open the stream, or names one of another organisation.",
    remedy="Open streams before sending their ticks; after a restore, open them again.",
    http_status=422,
    impact=Impact.MARKET_DATA,
)
STREAM_DIGITS_CHANGED: Final = ErrorSpec(
    code="STREAM_DIGITS_CHANGED",
    category=Category.DENIED,
    message="The stream of {symbol}, epoch {epoch}, has {expected} digits, not {actual}.",
    why="The broker changed the digits and the client did not open a new epoch.",
    remedy="Open the stream again with a later epoch.",
    http_status=409,
    severity=Severity.WARNING,
    impact=Impact.MARKET_DATA,
)
SYMBOL_UNKNOWN: Final = ErrorSpec(
    code="SYMBOL_UNKNOWN",
    category=Category.DENIED,
    message="There are no ticks of {symbol}.",
    why="No device of your organisation ever sent this symbol, or it is spelt differently.",
    remedy="Ask for a symbol as the broker spells it; `/api/v1/quotes` lists yours.",
    http_status=404,
    severity=Severity.DEBUG,
)
READ_BUDGET_SPENT: Final = ErrorSpec(
    code="READ_BUDGET_SPENT",
    category=Category.DENIED,
    message="Your organisation read {limit} pages in a minute; the next in {retry_after_s} s.",
    why="One organisation's questions may not take the place of another's.",
    remedy="Wait, ask for larger pages, or let the operator raise `reads.pages_per_minute`.",
    http_status=429,
    severity=Severity.INFO,
)
TOO_MANY_STREAMS: Final = ErrorSpec(
    code="TOO_MANY_STREAMS",
    category=Category.DENIED,
    message="{count} streams carry {symbol}; one question may cover {limit}.",
    why="Many devices or many epochs delivered this symbol.",
    remedy="Name one stream with `stream=`.",
    http_status=422,
    severity=Severity.INFO,
)
