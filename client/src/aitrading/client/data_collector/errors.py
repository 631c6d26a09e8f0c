"""What the data collector refuses."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Severity

SOURCE_UNREACHABLE: Final = ErrorSpec(
    code="SOURCE_UNREACHABLE",
    category=Category.RETRYABLE,
    message="{source} cannot be read: {reason}.",
    why="The file is away, or the address does not answer as it should.",
    remedy="Look at `[data_sources]` in aitrading.toml; it is tried again.",
    http_status=503,
    severity=Severity.WARNING,
)
SOURCE_MALFORMED: Final = ErrorSpec(
    code="SOURCE_MALFORMED",
    category=Category.DENIED,
    message="{source} is not understood: {reason}.",
    why="It is not written as docs/how-to/collect-news.md says, or is too large.",
    remedy="Correct it; what was understood before stays.",
    http_status=422,
    severity=Severity.WARNING,
)
