"""Refusals and failures of the spool."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity

SPOOL_FULL: Final = ErrorSpec(
    code="SPOOL_FULL",
    category=Category.RETRYABLE,
    message="The spool holds {used_bytes} of {limit_bytes} bytes; {wanted_bytes} more do not fit.",
    why="Its reader (the link or the database service) has not taken the data away.",
    remedy="Bring the reader back; the spool then empties itself. Or raise its limit.",
    http_status=503,
    impact=Impact.MARKET_DATA,
)
SPOOL_BACKLOG: Final = ErrorSpec(
    code="SPOOL_BACKLOG",
    category=Category.RETRYABLE,
    message="{pending_bytes} bytes wait for the disk, the limit is {limit_bytes}.",
    why="The disk is slower than the data that comes in.",
    remedy="Send more slowly; look at the disk if it lasts.",
    http_status=503,
    severity=Severity.WARNING,
    impact=Impact.MARKET_DATA,
)
SPOOL_DISK_FULL: Final = ErrorSpec(
    code="SPOOL_DISK_FULL",
    category=Category.RETRYABLE,
    message="The disk is full: the spool in {folder} cannot grow.",
    why="Something else filled the disk, or the spool's limit is larger than the disk.",
    remedy="Free space; writing goes on by itself. What was acknowledged is intact.",
    http_status=507,
    severity=Severity.CRITICAL,
    impact=Impact.MARKET_DATA,
)
SPOOL_FAILED: Final = ErrorSpec(
    code="SPOOL_FAILED",
    category=Category.FATAL,
    message="The disk refused the spool's data in {folder}: {reason}.",
    why="After a failed write or sync nobody knows what reached the disk, so the spool stops.",
    remedy="Check the disk (dmesg, SMART), then restart the service: it recovers what is intact.",
    http_status=500,
    severity=Severity.CRITICAL,
    impact=Impact.MARKET_DATA,
)
SPOOL_IN_USE: Final = ErrorSpec(
    code="SPOOL_IN_USE",
    category=Category.FATAL,
    message="The spool in {folder} is in use by another process.",
    why="Two processes would write the same files.",
    remedy="Stop the other process, or give this one a folder of its own.",
    http_status=409,
)
SPOOL_CLOSED: Final = ErrorSpec(
    code="SPOOL_CLOSED",
    category=Category.RETRYABLE,
    message="The spool is closed.",
    why="The service is stopping.",
    remedy="Nothing; unacknowledged data is sent again after the restart.",
    http_status=503,
    severity=Severity.INFO,
)
SPOOL_POSITION_UNKNOWN: Final = ErrorSpec(
    code="SPOOL_POSITION_UNKNOWN",
    category=Category.FATAL,
    message="Position {position} is not in the spool.",
    why="The records were deleted, or never written.",
    remedy="Start reading at the first position the spool holds.",
    http_status=404,
)
