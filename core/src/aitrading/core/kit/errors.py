"""Errors are data: a specification written once, an exception that carries the facts.

A module declares its refusals as constants and raises them with the numbers::

    SPOOL_FULL = ErrorSpec(code="SPOOL_FULL", category=Category.RETRYABLE, ...)
    raise SPOOL_FULL.error(used_bytes=used, limit_bytes=limit)
"""

from dataclasses import dataclass, field
from enum import StrEnum

from typing_extensions import override

FieldValue = str | int | float | bool | None


class Category(StrEnum):
    """What a caller may do about an error."""

    DENIED = "denied"
    RETRYABLE = "retryable"
    FATAL = "fatal"


class Severity(StrEnum):
    """How loud an error is in logs and health; an expected refusal pages nobody."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class Impact(StrEnum):
    """What the business loses while the error lasts."""

    NONE = "none"
    VISIBILITY = "visibility"
    MARKET_DATA = "market_data"
    NEW_EXPOSURE = "new_exposure"
    TRADING = "trading"
    EVIDENCE = "evidence"


@dataclass(frozen=True, kw_only=True)
class ErrorSpec:
    """One stable code with everything a person or a program needs to know about it.

    `message` says what happened and may name fields in braces, `why` explains the usual cause,
    `remedy` says what to do next.
    """

    code: str
    category: Category
    message: str
    why: str
    remedy: str
    http_status: int = 500
    severity: Severity = Severity.ERROR
    impact: Impact = Impact.NONE

    def error(self, **fields: FieldValue) -> "AitradingError":
        """Make the exception; every field the message names must be given."""
        return AitradingError(self, fields)


@dataclass(eq=False)
class AitradingError(Exception):
    """The one base of everything this platform raises on purpose."""

    spec: ErrorSpec
    fields: dict[str, FieldValue] = field(default_factory=dict[str, FieldValue])

    @property
    def code(self) -> str:
        """The stable code that scripts and documents rely on."""
        return self.spec.code

    @property
    def message(self) -> str:
        """What happened, with the numbers filled in."""
        return self.spec.message.format_map(_Missing(self.fields))

    @override
    def __str__(self) -> str:
        return f"{self.message} ({self.code}) Remedy: {self.spec.remedy}"


class _Missing(dict[str, FieldValue]):
    def __missing__(self, key: str) -> str:
        return f"<{key}>"
