"""ErrorDNA: what an error is, regardless of where and how often it happens.

The fingerprint is made of the exception's type, the functions it came through and its message
with the varying parts taken out, so the same defect has the same fingerprint on every machine,
and a line moving within a function does not change it.
"""

import hashlib
import re
from collections.abc import Generator
from types import TracebackType
from typing import Final

import msgspec

from aitrading.core.infrastructure.resilience.errors import TIMED_OUT
from aitrading.core.kit.errors import AitradingError, Category, ErrorSpec, Impact, Severity

MAX_FRAMES: Final = 8
MAX_CAUSES: Final = 4
MAX_MESSAGE_CHARS: Final = 500
FINGERPRINT_CHARS: Final = 16

UNEXPECTED: Final = ErrorSpec(
    code="UNEXPECTED",
    category=Category.FATAL,
    message="Something happened that nobody foresaw: {problem}",
    why="A defect in this platform, or a library that fails in a way that was not mapped.",
    remedy="Report it with the fingerprint; the log has the details under the same fingerprint.",
)
CONNECTION_LOST: Final = ErrorSpec(
    code="CONNECTION_LOST",
    category=Category.RETRYABLE,
    message="A connection failed: {problem}",
    why="The other side is down, restarting or unreachable.",
    remedy="It is tried again by itself; `aitrading status` shows what is down.",
    http_status=503,
    severity=Severity.WARNING,
    impact=Impact.VISIBILITY,
)
DISK_FULL: Final = ErrorSpec(
    code="DISK_FULL",
    category=Category.FATAL,
    message="The disk cannot take more data: {problem}",
    why="The file system is full, read-only or broken.",
    remedy="Free space below AITRADING_HOME (`aitrading doctor` shows what uses it).",
    http_status=507,
    severity=Severity.CRITICAL,
    impact=Impact.MARKET_DATA,
)
FORBIDDEN_BY_SYSTEM: Final = ErrorSpec(
    code="FORBIDDEN_BY_SYSTEM",
    category=Category.FATAL,
    message="The operating system refused access: {problem}",
    why="A file or socket belongs to another user or has other permissions than expected.",
    remedy="Run `aitrading doctor`; it names the path and the permissions it should have.",
    severity=Severity.CRITICAL,
)
OUT_OF_MEMORY: Final = ErrorSpec(
    code="OUT_OF_MEMORY",
    category=Category.FATAL,
    message="The process ran out of memory.",
    why="The machine is too small for the load, or something grows without a limit.",
    remedy="Look at the memory per service in `aitrading status`; report growth as a defect.",
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)

_DISK_ERRNOS: Final = frozenset({5, 27, 28, 30, 122})
"""EIO, EFBIG, ENOSPC, EROFS, EDQUOT."""

_FOREIGN: Final[tuple[tuple[type[BaseException], ErrorSpec], ...]] = (
    (TimeoutError, TIMED_OUT),
    (MemoryError, OUT_OF_MEMORY),
    (PermissionError, FORBIDDEN_BY_SYSTEM),
    (OSError, CONNECTION_LOST),
    (EOFError, CONNECTION_LOST),
)

_VARYING: Final = (
    (
        re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE),
        "<id>",
    ),
    (re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{12,}\b", re.IGNORECASE), "<hex>"),
    (re.compile(r"(?:/[\w.@+-]+){2,}/?"), "<path>"),
    (re.compile(r"'[^']*'|\"[^\"]*\""), "<text>"),
    (re.compile(r"\d+(?:\.\d+)*"), "<n>"),
)


class ErrorDna(msgspec.Struct, frozen=True, kw_only=True):
    """What stays the same when an error repeats."""

    code: str
    fingerprint: str
    category: Category
    severity: Severity
    impact: Impact
    remedy: str
    kind: str
    """The exception's type, or the code of an error of ours."""
    frames: tuple[str, ...]
    """`module:function`, the innermost last."""
    summary: str
    """The message with the varying parts taken out."""


class SimilarError(msgspec.Struct, frozen=True, kw_only=True):
    """An earlier error of another fingerprint, and what people wrote that solved it."""

    fingerprint: str
    code: str
    message: str
    similarity: float
    resolutions: tuple[str, ...] = ()


class ErrorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An error with its history; `message`, `tenant` and `trace_id` are of the last time."""

    code: str
    fingerprint: str
    category: Category
    severity: Severity
    impact: Impact
    message: str
    remedy: str
    tenant: str | None
    trace_id: str | None
    first_seen_ns: int
    last_seen_ns: int
    count: int
    rate_per_min: float
    similar: tuple[SimilarError, ...] = ()
    """Earlier errors like it, once the database service has compared them."""


def dna_of(exc: BaseException) -> ErrorDna:
    """Classify an exception; pure."""
    spec = spec_of(exc)
    return ErrorDna(
        code=spec.code,
        fingerprint=fingerprint_of(exc),
        category=spec.category,
        severity=spec.severity,
        impact=spec.impact,
        remedy=spec.remedy,
        kind=_type_name(exc),
        frames=tuple(_functions(exc.__traceback__)),
        summary=normal_message(exc),
    )


def spec_of(exc: BaseException) -> ErrorSpec:
    """The specification of our own errors, the nearest one for foreign exceptions."""
    if isinstance(exc, AitradingError):
        return exc.spec
    if isinstance(exc, OSError) and exc.errno in _DISK_ERRNOS:
        return DISK_FULL
    return next((spec for kind, spec in _FOREIGN if isinstance(exc, kind)), UNEXPECTED)


def message_of(exc: BaseException) -> str:
    """What happened, for a person, within `MAX_MESSAGE_CHARS`."""
    text = exc.message if isinstance(exc, AitradingError) else f"{type(exc).__name__}: {exc}"
    return text[:MAX_MESSAGE_CHARS]


def fingerprint_of(exc: BaseException) -> str:
    """16 hexadecimal digits that repeat with the error."""
    digest = hashlib.sha256()
    for link in _causes(exc):
        parts = (_type_name(link), normal_message(link), *_functions(link.__traceback__))
        digest.update("\n".join(parts).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:FINGERPRINT_CHARS]


def _causes(exc: BaseException) -> Generator[BaseException]:
    link: BaseException | None = exc
    for _ in range(MAX_CAUSES):
        if link is None:
            return
        yield link
        link = link.__cause__


def _type_name(exc: BaseException) -> str:
    if isinstance(exc, AitradingError):
        return exc.code
    return f"{type(exc).__module__}.{type(exc).__qualname__}"


def normal_message(exc: BaseException) -> str:
    """The message without paths, numbers and names: it repeats, and tells nobody's data."""
    if isinstance(exc, AitradingError):
        return exc.spec.message
    text = str(exc)[:MAX_MESSAGE_CHARS]
    for pattern, replacement in _VARYING:
        text = pattern.sub(replacement, text)
    return text


def _functions(traceback: TracebackType | None) -> list[str]:
    functions: list[str] = []
    while traceback is not None:
        frame = traceback.tb_frame
        module = frame.f_globals.get("__name__", "?")
        functions.append(f"{module}:{frame.f_code.co_qualname}")
        traceback = traceback.tb_next
    return functions[-MAX_FRAMES:]
