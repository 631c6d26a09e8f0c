"""Traces as they are told."""

from datetime import datetime
from typing import Any

import msgspec

from aitrading.core.infrastructure.tracing import (
    AssembledTrace,
    Outcome,
    Span,
    SpanKind,
    TraceLine,
    TracePart,
)
from aitrading.core.kit.clock import NS_PER_MS, datetime_of_ns

BY_RANK = {outcome.rank: outcome for outcome in Outcome}


class TraceSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One kept trace: where it began, how long it took, how it ended."""

    trace_id: str
    began_at: datetime
    took_ms: float
    outcome: Outcome
    code: str | None
    name: str
    service: str


class TracesPage(msgspec.Struct, frozen=True, kw_only=True):
    """Kept traces: failed ones first, then refused ones, then the rest; each the newest first."""

    items: list[TraceSummary]
    next_cursor: str | None


class SpanLine(msgspec.Struct, frozen=True, kw_only=True):
    """One step, below what called it; `fingerprint` is that of `/api/v1/errors`."""

    id: str
    parent: str | None
    depth: int
    service: str
    kind: SpanKind
    name: str
    offset_ms: float
    took_ms: float
    outcome: Outcome
    code: str | None
    fingerprint: str | None
    orphan: bool


class TraceDetails(msgspec.Struct, frozen=True, kw_only=True):
    """One trace, step by step in the order of time.

    `complete` is false while a step is named by others and not there (`missing`), or where a part
    had more steps than are kept (`cut`). Nothing is made up in its place.
    """

    trace_id: str
    began_at: datetime
    took_ms: float
    outcome: Outcome
    complete: bool
    missing: list[str]
    cut: int
    spans: list[SpanLine]


def summary(row: Any) -> TraceSummary:
    """From a row of `page`."""
    took = row["ended_at"] - row["began_at"]
    return TraceSummary(
        trace_id=row["trace_id"],
        began_at=row["began_at"],
        took_ms=took.total_seconds() * 1_000,
        outcome=BY_RANK[row["rank"]],
        code=row["code"],
        name=row["name"],
        service=row["service"],
    )


def parts_of(trace_id: str, rows: list[Any]) -> list[TracePart]:
    """From rows of `spans`: as they were reported, as far as they are there."""
    grouped: dict[str, list[Any]] = {}
    for row in rows:
        grouped.setdefault(row["part_id"], []).append(row)
    parts: list[TracePart] = []
    for part_id, members in grouped.items():
        members.sort(key=lambda row: row["span_id"] != part_id)
        parts.append(
            TracePart(
                trace_id=trace_id,
                service=members[0]["service"],
                spans=tuple(map(_span, members)),
                cut=members[0]["cut"],
            )
        )
    return parts


def details(trace_id: str, trace: AssembledTrace) -> TraceDetails:
    """For people and programs."""
    return TraceDetails(
        trace_id=trace_id,
        began_at=datetime_of_ns(trace.began_ns),
        took_ms=_ms(trace.took_ns),
        outcome=trace.outcome,
        complete=trace.complete,
        missing=list(trace.missing),
        cut=trace.cut,
        spans=[_line(each) for each in trace.lines],
    )


def _span(row: Any) -> Span:
    return Span(
        id=row["span_id"],
        parent=row["parent_id"],
        kind=SpanKind(row["kind"]),
        name=row["name"],
        began_ns=row["began_ns"],
        took_ns=row["took_ns"],
        outcome=Outcome(row["outcome"]),
        code=row["code"],
        fingerprint=row["fingerprint"],
    )


def _line(line: TraceLine) -> SpanLine:
    span = line.span
    return SpanLine(
        id=span.id,
        parent=span.parent,
        depth=line.depth,
        service=line.service,
        kind=span.kind,
        name=span.name,
        offset_ms=_ms(line.offset_ns),
        took_ms=_ms(span.took_ns),
        outcome=span.outcome,
        code=span.code,
        fingerprint=span.fingerprint,
        orphan=line.orphan,
    )


def _ms(ns: int) -> float:
    return round(ns / NS_PER_MS, 3)
