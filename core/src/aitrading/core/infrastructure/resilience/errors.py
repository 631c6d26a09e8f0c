"""What the resilience kit refuses, and what a caller should do then."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity

TIMED_OUT: Final = ErrorSpec(
    code="TIMED_OUT",
    category=Category.RETRYABLE,
    message="{what} did not finish within {limit_s} s.",
    why="The other side is overloaded, unreachable, or the work is larger than its time class.",
    remedy="Try again; if it repeats, look at the health of the part that was called.",
    http_status=504,
    severity=Severity.WARNING,
)
BREAKER_OPEN: Final = ErrorSpec(
    code="BREAKER_OPEN",
    category=Category.RETRYABLE,
    message="{breaker} is not called for another {retry_after_s} s: its circuit breaker is open.",
    why="It failed {failures} times in a row, so calls are held back until it had time to recover.",
    remedy="Nothing to do: it is probed again by itself. `/health` names the last error.",
    http_status=503,
    severity=Severity.WARNING,
)
BULKHEAD_FULL: Final = ErrorSpec(
    code="BULKHEAD_FULL",
    category=Category.RETRYABLE,
    message="{bulkhead} has {limit} calls running and {queue_limit} waiting; this one is refused.",
    why="More work arrives than this part may use, and it must not take room from the others.",
    remedy="Send less at once or try again shortly; raise the limit only if the machine has room.",
    http_status=503,
    severity=Severity.WARNING,
)
ISOLATED: Final = ErrorSpec(
    code="ISOLATED",
    category=Category.RETRYABLE,
    message="{key} is isolated by {isolation} for another {retry_after_s} s.",
    why="It caused {faults} faults in a row; the others go on without it meanwhile.",
    remedy="Correct the sender; it is let in again by itself after a trial succeeds.",
    http_status=503,
    severity=Severity.WARNING,
)
RETRIES_EXHAUSTED: Final = ErrorSpec(
    code="RETRIES_EXHAUSTED",
    category=Category.FATAL,
    message="{retry} gave up after {attempts} attempts.",
    why="Every attempt failed in a way that is worth a repeat; the cause is the last of them.",
    remedy="Look at the cause below this error and at the health of the part that was called.",
    http_status=503,
    impact=Impact.VISIBILITY,
)
