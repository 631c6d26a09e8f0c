"""The edge's own part of each trace, from the access log it writes anyway.

Envoy times every request, also those that reach no service. Its records are read where the
supervisor keeps them; on another machine there are none, and traces say that the edge's span is
missing. What was written while this service was away is not read again.
"""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from aitrading.core.infrastructure.tracing import Outcome, Span, SpanKind, TracePart
from aitrading.core.infrastructure.tracing.tracer import CANCELLED
from aitrading.core.kit.clock import NS_PER_MS
from aitrading.core.kit.ids import IdFactory
from aitrading.core.protocol.tracecontext import TraceContext
from aitrading.server.database_service.traces.sampling import EDGE
from aitrading.server.kit.log_tail import LogTail

_UPGRADED: Final = 101
"""A connection that stayed: its record is written at its end, and being long is not being slow."""
_HUNG_UP: Final = 0
"""The caller went before there was an answer; whatever they do it again for, nothing failed."""
_BAD_REQUEST: Final = 400
_SERVER_ERROR: Final = 500
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TRACE_ID: Final = re.compile(r"(?!0{32})[0-9a-f]{32}", re.ASCII)
_WORD: Final = re.compile(r"[A-Za-z0-9_]{1,60}", re.ASCII)
_FROM_SERVICE: Final = "via_upstream"
_NEAR_SERVICE: Final = "upstream"
"""How the reason of an answer begins when the request was on its way to a service."""


class _Fields(msgspec.Struct):
    method: str | None = None
    status: int | None = None
    details: str | None = None
    duration_ms: int | None = None
    upstream: str | None = None
    traceparent: str | None = None
    tenant: str | None = None
    """Of the token that the edge verified."""


class _Record(msgspec.Struct):
    """What counts of one record of the access log."""

    ts: str
    logger: str
    trace_id: str | None
    fields: _Fields


_decoder: Final = msgspec.json.Decoder(_Record)


async def edge_parts(tail: LogTail, ids: IdFactory) -> list[TracePart]:
    """Parts of the requests that ended since the last time."""
    return [part for line in await tail.read() if (part := part_of(line, ids)) is not None]


def part_of(line: bytes, ids: IdFactory) -> TracePart | None:
    """One record as the edge's part of a trace; None for any other line."""
    if b'"traceparent"' not in line:
        return None
    try:
        record = _decoder.decode(line)
        began = datetime.fromisoformat(record.ts)
        began_ns = (began - _EPOCH) // timedelta(microseconds=1) * 1_000
    except (msgspec.MsgspecError, ValueError, TypeError):
        return None
    fields, details = record.fields, record.fields.details or ""
    if record.logger != "access":
        return None
    # The header is the edge's own only where the request was sent on; else it is the caller's.
    was_sent_on = _was_sent_on(details) or fields.status == _UPGRADED
    sent_on = TraceContext.parse(fields.traceparent) if was_sent_on else None
    trace_id = sent_on.trace_id if sent_on else record.trace_id or ""
    if not _TRACE_ID.fullmatch(trace_id):
        return None
    outcome = _outcome(fields.status or 0)
    span = Span(
        id=sent_on.span_id if sent_on else ids.span_id(),
        kind=SpanKind.CONNECTION if fields.status == _UPGRADED else SpanKind.EDGE,
        name=f"{(fields.method or '?')[:16]} {(fields.upstream or 'nobody')[:60]}",
        began_ns=began_ns,
        took_ns=max(0, fields.duration_ms or 0) * NS_PER_MS,
        outcome=outcome,
        code=None if outcome is Outcome.OK else _code(details, fields.status or 0),
    )
    return TracePart(trace_id=trace_id, service=EDGE, spans=(span,), tenant=_tenant(fields))


def _tenant(fields: _Fields) -> str | None:
    with suppress(ValueError):
        return str(UUID(fields.tenant)) if fields.tenant else None
    return None


def _was_sent_on(details: str) -> bool:
    return details.startswith((_FROM_SERVICE, _NEAR_SERVICE))


def _outcome(status: int) -> Outcome:
    if status >= _SERVER_ERROR:
        return Outcome.FAILED
    return Outcome.REFUSED if status >= _BAD_REQUEST or status == _HUNG_UP else Outcome.OK


def _code(details: str, status: int) -> str:
    """Why the edge answered itself, else the status of the service's answer."""
    if status == _HUNG_UP:
        return CANCELLED
    reason = _WORD.match(details)
    if reason is None or reason[0] == _FROM_SERVICE:
        return f"HTTP_{status}"
    return f"EDGE_{reason[0].upper()}"
