"""What code logs with: a named logger with key/values, and the context every line carries."""

import contextlib
import logging
import sys
from collections.abc import Generator, Mapping, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, cast
from uuid import UUID

from aitrading.core.logging.rendering import clean
from aitrading.core.protocol.tracecontext import TraceContext

FIELDS_ATTRIBUTE: Final = "aitrading_fields"
"""Where a record of the standard library carries the key/values of a `Log` call."""
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


@dataclass(frozen=True, slots=True)
class LogContext:
    """What `bind_context` adds to every line below it; texts are safe to print."""

    tenant: str = ""
    trace_id: str = ""
    span_id: str = ""
    fields: Mapping[str, object] = field(default_factory=dict[str, object])


_context: Final[ContextVar[LogContext]] = ContextVar("log_context", default=LogContext())  # noqa: B039 - frozen


@contextlib.contextmanager
def bind_context(
    *,
    tenant: UUID | str | None = None,
    trace: TraceContext | None = None,
    trace_id: str | None = None,
    span_id: str | None = None,
    **fields: object,
) -> Generator[LogContext]:
    """Add tenant, trace and fields to every line logged inside, across awaits and tasks."""
    outer = _context.get()
    if trace is not None:
        trace_id, span_id = trace.trace_id, trace.span_id
    inner = LogContext(
        tenant=outer.tenant if tenant is None else clean(str(tenant)),
        trace_id=outer.trace_id if trace_id is None else clean(trace_id),
        span_id=outer.span_id if span_id is None else clean(span_id),
        fields={**outer.fields, **fields},
    )
    token = _context.set(inner)
    try:
        yield inner
    finally:
        _context.reset(token)


def current_context() -> LogContext:
    """What the next line would carry."""
    return _context.get()


class Log:
    """Logs under one name; key/values become `fields`, `%` arguments fill the message.

    `error=` takes an exception and adds its code, message and fields without a traceback;
    `error_code=` names the code where the exception has none of its own; `exc_info=` (or
    `exception`) adds the traceback.
    """

    __slots__ = ("_bound", "_logger")

    def __init__(self, logger: logging.Logger, bound: Mapping[str, object] | None = None) -> None:
        self._logger = logger
        self._bound = dict(bound or {})

    @property
    def name(self) -> str:
        """The logger's dotted name."""
        return self._logger.name

    def bind(self, **fields: object) -> "Log":
        """A logger that adds these fields to each of its lines."""
        return Log(self._logger, {**self._bound, **fields})

    def is_enabled_for(self, level: int) -> bool:
        """Whether a line of this level would be written; for callers that prepare a lot."""
        return self._logger.isEnabledFor(level)

    def debug(self, message: str, /, *args: object, **fields: object) -> None:
        """What only a developer wants to know."""
        if self._logger.isEnabledFor(logging.DEBUG):
            self._emit(logging.DEBUG, message, args, fields)

    def info(self, message: str, /, *args: object, **fields: object) -> None:
        """What happened, as planned."""
        if self._logger.isEnabledFor(logging.INFO):
            self._emit(logging.INFO, message, args, fields)

    def warning(self, message: str, /, *args: object, **fields: object) -> None:
        """What may become a problem."""
        if self._logger.isEnabledFor(logging.WARNING):
            self._emit(logging.WARNING, message, args, fields)

    def error(self, message: str, /, *args: object, **fields: object) -> None:
        """What failed."""
        if self._logger.isEnabledFor(logging.ERROR):
            self._emit(logging.ERROR, message, args, fields)

    def critical(self, message: str, /, *args: object, **fields: object) -> None:
        """What somebody must look at now."""
        if self._logger.isEnabledFor(logging.CRITICAL):
            self._emit(logging.CRITICAL, message, args, fields)

    def exception(self, message: str, /, *args: object, **fields: object) -> None:
        """`error` with the traceback of the exception being handled."""
        self.error(message, *args, **{"exc_info": True, **fields})

    def _emit(
        self, level: int, message: str, args: tuple[object, ...], fields: dict[str, object]
    ) -> None:
        exc_info = _exc_info(fields.pop("exc_info", None))
        record = self._logger.makeRecord(
            self._logger.name, level, "", 0, message, args, exc_info, extra=None
        )
        record.__dict__[FIELDS_ATTRIBUTE] = {**self._bound, **fields}
        self._logger.handle(record)


def get_logger(name: str) -> Log:
    """The façade over the standard library's logger of this name."""
    return Log(logging.getLogger(name))


def structlog_processor(
    _logger: object, _method: str, event_dict: MutableMapping[str, object]
) -> tuple[tuple[str], dict[str, object]]:
    """Last processor for code that brings structlog: hands event and key/values to a `Log`.

    `structlog.configure(processors=[structlog_processor], logger_factory=get_logger)`.
    """
    fields = dict(event_dict)
    return (str(fields.pop("event", "")),), fields


def _exc_info(value: object) -> ExcInfo | None:
    if isinstance(value, BaseException):
        return type(value), value, value.__traceback__
    if isinstance(value, tuple):
        return cast("ExcInfo", value)
    if not value:
        return None
    kind, error, trace = sys.exc_info()
    return None if kind is None or error is None else (kind, error, trace)
