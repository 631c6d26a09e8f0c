"""The logging façade: every line of every process is one JSON object with tenant and trace.

`get_logger` is what code uses. `configure_logging` is called once by a process's composition
root; it also catches what libraries log through the standard library, warnings and uncaught
exceptions. A log call never raises and never waits for anything but the stream.
"""

import contextlib
import logging
import sys
import threading
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import IO, Final, Self, cast

import msgspec
from typing_extensions import override

from aitrading.core.kit.clock import NS_PER_S, Clock, rfc3339_of_ns
from aitrading.core.kit.errors import AitradingError, Category, ErrorSpec, Severity
from aitrading.core.logging.facade import (
    FIELDS_ATTRIBUTE,
    ExcInfo,
    Log,
    bind_context,
    current_context,
    get_logger,
    structlog_processor,
)
from aitrading.core.logging.rendering import (
    MESSAGE_CHARS_MAX,
    NAMES_CACHED_MAX,
    Json,
    clean,
    render_error,
    render_exception,
    render_fields,
)

__all__ = [
    "LOG_LEVEL_UNKNOWN",
    "Log",
    "LogRouter",
    "LogStatistics",
    "bind_context",
    "configure_logging",
    "current_context",
    "get_logger",
    "structlog_processor",
]

LEVELS: Final = {
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARNING": logging.WARNING,
    "ERROR": logging.ERROR,
    "CRITICAL": logging.CRITICAL,
}
LINE_BYTES_MAX: Final = 65_536
LOG_LEVEL_UNKNOWN: Final = ErrorSpec(
    code="LOG_LEVEL_UNKNOWN",
    category=Category.FATAL,
    message="{level} is not a log level.",
    why="The setting holds another word.",
    remedy="Use one of DEBUG, INFO, WARNING, ERROR, CRITICAL.",
    severity=Severity.WARNING,
)
_STANDARD_ATTRIBUTES: Final = frozenset(
    [*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName", FIELDS_ATTRIBUTE]
)
_encode: Final = msgspec.json.Encoder().encode


class LogLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line, in the order it is written; what is empty is left out."""

    ts: str
    level: str
    service: str
    instance: str
    logger: str
    msg: str
    tenant: str = ""
    trace_id: str = ""
    span_id: str = ""
    error_code: str = ""
    fields: dict[str, Json] = {}
    exception: list[Json] = []


@dataclass(frozen=True, slots=True)
class LogStatistics:
    """What became of the lines."""

    written: int
    dropped: int
    truncated: int


class LogRouter(logging.Handler):
    """Writes each record as one JSON line; a line that cannot be written is counted."""

    def __init__(self, *, service: str, instance: str, clock: Clock, stream: IO[str]) -> None:
        super().__init__()
        self._service = service
        self._instance = instance
        self._clock = clock
        self._sink: IO[bytes] | None = getattr(stream, "buffer", None)
        self._stream = stream
        self._written = self._dropped = self._truncated = 0
        self._second, self._second_text = -1, ""
        self._restore = contextlib.ExitStack()

    def statistics(self) -> LogStatistics:
        """Lines written, dropped because the stream refused them, and cut."""
        return LogStatistics(self._written, self._dropped, self._truncated)

    def set_level(self, level: str) -> None:
        """Change what is written from now on, for every logger without a level of its own."""
        if level.upper() not in LEVELS:
            raise LOG_LEVEL_UNKNOWN.error(level=level)
        logging.getLogger().setLevel(LEVELS[level.upper()])

    def install(self, level: str) -> Self:
        """Become the one handler of the process; `close` puts back what was there."""
        root = logging.getLogger()
        handlers, old_level = root.handlers[:], root.level
        self.set_level(level)
        root.handlers[:] = [self]
        self._restore.callback(root.setLevel, old_level)
        self._restore.callback(root.handlers.__setitem__, slice(None), handlers)
        logging.captureWarnings(capture=True)
        self._restore.callback(logging.captureWarnings, capture=False)
        self._catch_uncaught()
        return self

    @override
    def close(self) -> None:
        self._restore.close()
        super().close()

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.render(record)
        except Exception as exc:  # noqa: BLE001 - logging must not break the code that logs
            line = self._broken(record, exc)
        try:
            self._write(line + b"\n")
        except (OSError, ValueError):
            self._dropped += 1
        else:
            self._written += 1

    def render(self, record: logging.LogRecord) -> bytes:
        """The record as one line of JSON, without the line end."""
        context = current_context()
        fields = {**context.fields, **_fields_of(record)}
        code = clean(str(fields.pop("error_code", "")))
        error = fields.get("error")
        if isinstance(error, BaseException):
            code = code or (error.code if isinstance(error, AitradingError) else "")
            fields["error"] = render_error(error)
        raised = _raised(record)
        if raised and isinstance(raised[1], AitradingError):
            code = code or raised[1].code
        line = LogLine(
            ts=self._timestamp(),
            level=record.levelname,
            service=self._service,
            instance=self._instance,
            logger=_clean_name(record.name),
            msg=clean(_message_of(record), MESSAGE_CHARS_MAX),
            tenant=context.tenant,
            trace_id=context.trace_id,
            span_id=context.span_id,
            error_code=code,
            fields=render_fields(fields),
            exception=render_exception(*raised) if raised else [],
        )
        return self._fit(line)

    def _timestamp(self) -> str:
        second, rest_ns = divmod(self._clock.now_ns(), NS_PER_S)
        if second != self._second:
            self._second = second
            self._second_text = rfc3339_of_ns(second * NS_PER_S)[:-7]
        return f"{self._second_text}{rest_ns // 1_000:06d}Z"

    def _fit(self, line: LogLine) -> bytes:
        encoded = _encode(line)
        if len(encoded) <= LINE_BYTES_MAX:
            return encoded
        self._truncated += 1
        note: dict[str, Json] = {"truncated": f"{len(encoded)} bytes of JSON"}
        return _encode(msgspec.structs.replace(line, fields=note, exception=line.exception[-4:]))

    def _broken(self, record: logging.LogRecord, exc: Exception) -> bytes:
        return _encode(
            LogLine(
                ts=rfc3339_of_ns(self._clock.now_ns()),
                level="ERROR",
                service=self._service,
                instance=self._instance,
                logger=ascii(record.name),
                msg="a log record could not be rendered",
                fields={"reason": type(exc).__name__},
            )
        )

    def _write(self, line: bytes) -> None:
        if self._sink is not None:
            self._sink.write(line)
            self._sink.flush()
        else:
            self._stream.write(line.decode())
            self._stream.flush()

    def _catch_uncaught(self) -> None:
        log = get_logger("uncaught")
        old_hook, old_thread_hook = sys.excepthook, threading.excepthook

        def hook(
            kind: type[BaseException], error: BaseException, trace: TracebackType | None
        ) -> None:
            if issubclass(kind, KeyboardInterrupt):
                old_hook(kind, error, trace)
            else:
                log.critical("uncaught exception", exc_info=(kind, error, trace))

        def thread_hook(args: threading.ExceptHookArgs) -> None:
            name = args.thread.name if args.thread else ""
            log.critical("uncaught exception in a thread", thread=name, exc_info=args.exc_value)

        sys.excepthook, threading.excepthook = hook, thread_hook
        self._restore.callback(setattr, sys, "excepthook", old_hook)
        self._restore.callback(setattr, threading, "excepthook", old_thread_hook)


def configure_logging(
    *, service: str, instance: str, clock: Clock, stream: IO[str] | None = None, level: str
) -> LogRouter:
    """Route everything this process logs to a stream (standard error by default) as JSON lines."""
    router = LogRouter(
        service=service, instance=instance, clock=clock, stream=stream or sys.stderr
    )
    return router.install(level)


_clean_name = lru_cache(maxsize=NAMES_CACHED_MAX)(clean)


def _fields_of(record: logging.LogRecord) -> dict[str, object]:
    own = record.__dict__.get(FIELDS_ATTRIBUTE)
    if own is not None:
        return cast("dict[str, object]", own)
    return {
        key: value for key, value in record.__dict__.items() if key not in _STANDARD_ATTRIBUTES
    }


def _raised(record: logging.LogRecord) -> ExcInfo | None:
    kind, error, trace = record.exc_info or (None, None, None)
    return None if kind is None or error is None else (kind, error, trace)


def _message_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - wrong arguments for the format are shown, not raised
        return f"{record.msg} {record.args!r}"
